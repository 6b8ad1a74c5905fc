import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import type { CommandFailure, CommandOptions } from './run-command.ts';
import { runCommand, streamCommand } from './run-command.ts';
import { ok } from '../model/result.ts';

/** skopeo: what reads registries. Flags as of 1.9 (Debian 12), which later versions still have. */
export interface SkopeoAccess {
  /** Plain http and unknown certificates are allowed. */
  readonly insecure: boolean;
  /** Path of credentials, skopeo's own default without it. */
  readonly authfile?: string | undefined;
}

export interface SkopeoRun {
  readonly signal: AbortSignal;
  readonly report: Report;
  /** Milliseconds without a byte after which it is ended. */
  readonly stall: number;
}

export type SkopeoFailure =
  CommandFailure | { readonly reason: 'stalled'; readonly milliseconds: number };

/**
 * How often skopeo tries again by itself what it holds for a hiccup: resets and refused connections, after 1 s.
 * More would hide the attempts that we count, and 429 takes it half a minute each time.
 */
const OWN_RETRIES = '1';

/** What `inspect` prints: the manifest or index byte for byte, or the config with `config`. */
export async function inspectRaw(
  reference: string,
  access: SkopeoAccess,
  run: SkopeoRun,
  config = false,
): Promise<Result<Buffer, SkopeoFailure>> {
  const args = [
    'inspect',
    '--raw',
    ...(config ? ['--config'] : []),
    '--retry-times',
    OWN_RETRIES,
    ...(access.insecure ? ['--tls-verify=false'] : []),
    ...(access.authfile === undefined ? [] : ['--authfile', access.authfile]),
    `docker://${reference}`,
  ];
  const chunks: Buffer[] = [];
  const options = { ...commandOptions(run), signal: run.signal, deadline: run.stall };
  const result = await streamCommand('skopeo', args, options, async (stdout) => {
    for await (const chunk of stdout as AsyncIterable<Buffer>) chunks.push(chunk);
  });
  if (result.ok) return ok(Buffer.concat(chunks));
  return result.failure.reason === 'deadline-passed'
    ? fail({ reason: 'stalled', milliseconds: run.stall })
    : result;
}

export interface CopyToLayout extends SkopeoAccess {
  /** `host/path@sha256:…`: a manifest's, never an index's. */
  readonly reference: string;
  /** An OCI layout that is made, with one entry. */
  readonly layout: string;
  /** Where the blobs go: `sha256/<hex>` in it. What is there already is not downloaded, and not checked. */
  readonly blobs: string;
  /** Path of the trust policy; undefined for the user's or the system's own. */
  readonly policy: string | undefined;
  readonly platform: { readonly os: string; readonly arch: string; readonly variant?: string };
  /** Called now and then while it runs. */
  readonly onProgress: (bytes: number) => void;
}

/** Copies one image, byte for byte. A download without progress for `run.stall` milliseconds is ended. */
export async function copyToLayout(
  copy: CopyToLayout,
  run: SkopeoRun,
): Promise<Result<void, SkopeoFailure>> {
  const { platform } = copy;
  const args = [
    ...(copy.policy === undefined ? [] : ['--policy', copy.policy]),
    '--override-os',
    platform.os,
    '--override-arch',
    platform.arch,
    ...(platform.variant === undefined ? [] : ['--override-variant', platform.variant]),
    'copy',
    '--preserve-digests',
    '--remove-signatures',
    '--retry-times',
    OWN_RETRIES,
    ...(copy.insecure ? ['--src-tls-verify=false'] : []),
    ...(copy.authfile === undefined ? [] : ['--src-authfile', copy.authfile]),
    '--dest-shared-blob-dir',
    copy.blobs,
    `docker://${copy.reference}`,
    `oci:${copy.layout}:image`,
  ];
  const stalled = new AbortController();
  const watch = watchBytes(copy, run.stall, () => {
    stalled.abort();
  });
  try {
    const result = await runCommand('skopeo', args, {
      ...commandOptions(run),
      signal: AbortSignal.any([run.signal, stalled.signal]),
    });
    if (result.ok) return ok();
    return stalled.signal.aborted && !run.signal.aborted
      ? fail({ reason: 'stalled', milliseconds: run.stall })
      : result;
  } finally {
    clearInterval(watch);
  }
}

/** Milliseconds between two looks at how much has arrived. */
const WATCH = 250;

function watchBytes(copy: CopyToLayout, stall: number, onStall: () => void): NodeJS.Timeout {
  let seen = -1;
  let since = performance.now();
  let looking = false;
  return setInterval(() => {
    if (looking) return;
    looking = true;
    void bytesUnder(copy).then((bytes) => {
      looking = false;
      if (bytes !== seen) {
        seen = bytes;
        since = performance.now();
        copy.onProgress(bytes);
      } else if (performance.now() - since > stall) onStall();
    });
  }, WATCH);
}

/** What skopeo has written: finished blobs, and those under way as `oci-put-blob*` in the layout. Links are not its own. */
async function bytesUnder(copy: CopyToLayout): Promise<number> {
  let bytes = 0;
  for (const directory of [copy.layout, join(copy.blobs, 'sha256')]) {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      bytes += (await stat(join(directory, entry.name)).catch(() => undefined))?.size ?? 0;
    }
  }
  return bytes;
}

function commandOptions(run: SkopeoRun): CommandOptions {
  return {
    diesWithUs: true,
    onErrorLine: (line) => {
      run.report({ type: 'tool-output', tool: 'skopeo', line });
    },
  };
}

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import type { CommandFailure, CommandOptions } from './run-command.ts';
import { runCommand, streamCommand } from './run-command.ts';
import { ok } from '../model/result.ts';

/** skopeo: what reads images. Flags as of 1.9 (Debian 12), which later versions still have. */
export interface SkopeoAccess {
  /** Plain http and unknown certificates are allowed. */
  readonly insecure?: boolean | undefined;
  /** Path of credentials, skopeo's own default without it. */
  readonly authfile?: string | undefined;
  /** Directory of the registry's own `*.crt`, and of a client's `*.cert` and `*.key`. */
  readonly certificates?: string | undefined;
  /** Directory of `registries.d` files: where signatures are (containers-registries.d(5)). */
  readonly registriesDirectory?: string | undefined;
  /** The engine behind `docker-daemon:`, as in DOCKER_HOST. */
  readonly daemonHost?: string | undefined;
  /** Where archives are unpacked; /var/tmp without it. */
  readonly temporary?: string | undefined;
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

/**
 * What `inspect` prints: the manifest or index byte for byte, or the config with `config`. `source` is in skopeo's
 * words, `docker://…`.
 */
export async function inspectRaw(
  source: string,
  access: SkopeoAccess,
  run: SkopeoRun,
  config = false,
): Promise<Result<Buffer, SkopeoFailure>> {
  const args = [
    ...globalOptions(access),
    'inspect',
    '--raw',
    ...(config ? ['--config'] : []),
    '--retry-times',
    OWN_RETRIES,
    ...(access.insecure === true ? ['--tls-verify=false'] : []),
    ...(access.certificates === undefined ? [] : ['--cert-dir', access.certificates]),
    ...(access.authfile === undefined ? [] : ['--authfile', access.authfile]),
    ...(access.daemonHost === undefined ? [] : ['--daemon-host', access.daemonHost]),
    source,
  ];
  const chunks: Buffer[] = [];
  let bytes = 0;
  const watch = watchBytes(run, () => Promise.resolve(bytes));
  try {
    const result = await streamCommand('skopeo', args, watch.options, async (stdout) => {
      for await (const chunk of stdout as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        bytes += chunk.length;
      }
    });
    return result.ok ? ok(Buffer.concat(chunks)) : fail(watch.failure(result.failure));
  } finally {
    watch.end();
  }
}

/** What every copy is told. */
interface Copy extends SkopeoAccess {
  /** In skopeo's words: `docker://host/path@sha256:…`, `oci-archive:PATH:NAME`. */
  readonly source: string;
  /** Path of the trust policy. */
  readonly policy: string;
  /** The one that is taken where the source is an index. */
  readonly platform: { readonly os: string; readonly arch: string; readonly variant?: string };
  /** Called now and then while it runs, with the bytes written so far. */
  readonly onProgress: (bytes: number) => void;
}

export interface CopyToLayout extends Copy {
  /** An OCI layout that is made, with one entry. */
  readonly layout: string;
  /** Where the blobs go: `sha256/<hex>` in it. What is there already is not downloaded, and not checked. */
  readonly blobs: string;
}

/** Copies one image, byte for byte. A download without progress for `run.stall` milliseconds is ended. */
export async function copyToLayout(
  copy: CopyToLayout,
  run: SkopeoRun,
): Promise<Result<void, SkopeoFailure>> {
  const written = [copy.layout, join(copy.blobs, 'sha256')];
  return runCopy(copy, run, written, [
    '--preserve-digests',
    // It can't put them into a layout, and fails where there are any (the policy is enforced all the same).
    '--remove-signatures',
    '--dest-shared-blob-dir',
    copy.blobs,
    copy.source,
    `oci:${copy.layout}:image`,
  ]);
}

export interface CopyToDirectory extends Copy {
  /** A directory that is made, of skopeo's `dir:`: manifest.json, blobs by their hex digits, signature-1 and so on. */
  readonly directory: string;
  /** Fails where the manifest would not stay as it is, and keeps signatures. Not for sources that make theirs up. */
  readonly exact: boolean;
}

/** Copies one image with its signatures. */
export async function copyToDirectory(
  copy: CopyToDirectory,
  run: SkopeoRun,
): Promise<Result<void, SkopeoFailure>> {
  return runCopy(
    copy,
    run,
    [copy.directory],
    [
      copy.exact ? '--preserve-digests' : '--remove-signatures',
      copy.source,
      `dir:${copy.directory}`,
    ],
  );
}

export interface CopyBlob extends SkopeoAccess {
  /** `docker://host/path@sha256:…`: an image that the blob is of. */
  readonly source: string;
  readonly digest: string;
  /** An empty directory. */
  readonly directory: string;
  readonly onProgress: (bytes: number) => void;
}

/**
 * Downloads one blob of an image, not verified, and resolves to its path. By a command that skopeo calls deprecated and
 * has to this day; a skopeo without it fails in a way that nobody knows.
 */
export async function copyBlob(
  copy: CopyBlob,
  run: SkopeoRun,
): Promise<Result<string, SkopeoFailure>> {
  const { directory, digest } = copy;
  const args = [
    ...globalOptions(copy),
    'layers',
    '--retry-times',
    OWN_RETRIES,
    ...(copy.insecure === true ? ['--tls-verify=false'] : []),
    ...(copy.certificates === undefined ? [] : ['--cert-dir', copy.certificates]),
    ...(copy.authfile === undefined ? [] : ['--authfile', copy.authfile]),
    copy.source,
    digest,
  ];
  // It makes a directory of its own in its working directory, in the form of `dir:`.
  const made = async (): Promise<string[]> =>
    (await readdir(directory).catch(() => [])).map((name) => join(directory, name));
  const watch = watchBytes(run, async () => bytesIn(await made()), copy.onProgress);
  try {
    const result = await runCommand('skopeo', args, { ...watch.options, cwd: directory });
    if (!result.ok) return fail(watch.failure(result.failure));
    return ok(join((await made())[0] ?? directory, digest.slice('sha256:'.length)));
  } finally {
    watch.end();
  }
}

/** `written` is where the bytes appear that tell progress from a stall. */
async function runCopy(
  copy: Copy,
  run: SkopeoRun,
  written: readonly string[],
  rest: readonly string[],
): Promise<Result<void, SkopeoFailure>> {
  const { platform } = copy;
  const args = [
    ...globalOptions(copy),
    '--policy',
    copy.policy,
    '--override-os',
    platform.os,
    '--override-arch',
    platform.arch,
    ...(platform.variant === undefined ? [] : ['--override-variant', platform.variant]),
    'copy',
    '--retry-times',
    OWN_RETRIES,
    ...(copy.insecure === true ? ['--src-tls-verify=false'] : []),
    ...(copy.certificates === undefined ? [] : ['--src-cert-dir', copy.certificates]),
    ...(copy.authfile === undefined ? [] : ['--src-authfile', copy.authfile]),
    ...(copy.daemonHost === undefined ? [] : ['--src-daemon-host', copy.daemonHost]),
    ...rest,
  ];
  const watch = watchBytes(run, () => bytesIn(written), copy.onProgress);
  try {
    const result = await runCommand('skopeo', args, watch.options);
    return result.ok ? ok() : fail(watch.failure(result.failure));
  } finally {
    watch.end();
  }
}

function globalOptions(access: SkopeoAccess): readonly string[] {
  const { registriesDirectory, temporary } = access;
  return [
    // It tells of the waits that registries ask for only so; what it says goes no further than our own --debug.
    '--debug',
    ...(registriesDirectory === undefined ? [] : ['--registries.d', registriesDirectory]),
    ...(temporary === undefined ? [] : ['--tmpdir', temporary]),
  ];
}

/** Milliseconds between two looks at how much has arrived. */
const WATCH = 250;

interface Watch {
  readonly options: CommandOptions;
  /** What a failed run came to: a stall, where that is what ended it. */
  failure(failure: CommandFailure): SkopeoFailure;
  end(): void;
}

/** Ends a run in which no byte came for `run.stall` milliseconds, the waits not counted that a registry asked for. */
function watchBytes(
  run: SkopeoRun,
  look: () => Promise<number>,
  onProgress: (bytes: number) => void = () => undefined,
): Watch {
  const stalled = new AbortController();
  let seen = -1;
  let since = performance.now();
  let looking = false;
  let ended = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().then((bytes) => {
      looking = false;
      // A look that was still going on when the run ended: whoever is told of it would publish what is published.
      if (ended) return;
      if (bytes !== seen) {
        seen = bytes;
        since = Math.max(since, performance.now());
        onProgress(bytes);
      } else if (performance.now() - since > run.stall) stalled.abort();
    });
  }, WATCH);
  return {
    options: {
      diesWithUs: true,
      signal: AbortSignal.any([run.signal, stalled.signal]),
      onErrorLine: (line) => {
        const wait = askedWait(line);
        if (wait !== undefined) since = performance.now() + wait;
        run.report({ type: 'tool-output', tool: 'skopeo', line });
      },
    },
    failure: (failure) =>
      stalled.signal.aborted && !run.signal.aborted
        ? { reason: 'stalled', milliseconds: run.stall }
        : failure,
    end: () => {
      ended = true;
      clearInterval(timer);
    },
  };
}

/** Milliseconds that skopeo waits before it asks a registry again that answered 429; undefined for other lines. */
export function askedWait(line: string): number | undefined {
  const seconds = /Too many requests to .*: sleeping for ([\d.]+) seconds/.exec(line)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** What skopeo has written: finished blobs, and those under way beside them. Links are not its own. */
async function bytesIn(directories: readonly string[]): Promise<number> {
  let bytes = 0;
  for (const directory of directories) {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      bytes += (await stat(join(directory, entry.name)).catch(() => undefined))?.size ?? 0;
    }
  }
  return bytes;
}

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createReadStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { digestOf } from '../model/digest.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { PinContradicted } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { contradictedSize } from '../plan/compare-parts.ts';
import { claimMissing } from '../store/claims.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import { publish } from '../store/publish.ts';
import { makeStaging } from '../store/staging.ts';
import type { Store } from '../store/store.ts';
import { download } from '../tools/http.ts';
import type { Fault, NetworkAccess } from './access.ts';
import { askOnce, httpFault, mayBeInsecure, mismatch, stallOf } from './access.ts';
import { readCertificates } from './certificates.ts';
import { redact } from './redact.ts';

/** A file to have in the store, from its URL or from the bundle itself. */
export interface FileToFetch {
  /** Path on the partition. */
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
  readonly from:
    | {
        readonly url: string;
        /** Where a path that is relative to its bundle is. */
        readonly location?: string | undefined;
      }
    | { readonly content: Uint8Array };
}

const REMOTE = /^https?:\/\//i;

/** Takes the chunks of a document as they come. */
type Take = (chunk: Buffer) => Promise<void>;

/** Brings one file into the store; resolves to the bytes downloaded, 0 where it was there. */
export async function fetchFile(
  store: Store,
  file: FileToFetch,
  access: NetworkAccess,
  context: Context,
): Promise<Result<number>> {
  const claims = await claimMissing(store, 'files', [file], context, file.path);
  if (!claims.ok) return claims;
  if (claims.value.missing.length === 0) return ok(0);
  try {
    const staging = await makeStaging(store);
    if (!staging.ok) return staging;
    try {
      return await stageAndPublish(
        store,
        file,
        join(staging.value.directory, 'file'),
        access,
        context,
      );
    } finally {
      await staging.value.remove();
    }
  } finally {
    await claims.value.freeAll();
  }
}

async function stageAndPublish(
  store: Store,
  file: FileToFetch,
  staged: string,
  access: NetworkAccess,
  context: Context,
): Promise<Result<number>> {
  const ask = async (): Promise<Result<number, Fault>> => {
    const written = await writeStaged(file, staged, access, context);
    if (!written.ok) return written;
    const published = await publish(store, 'files', staged, file);
    if (published.ok) return ok('url' in file.from ? file.size : 0);
    const { failure } = published;
    if (failure.reason !== 'content-wrong') return fail({ kind: 'final', failure });
    const { digest, size } = failure.actual;
    if (digest === file.digest) return fail({ kind: 'final', failure: wrongSize(file, size) });
    const detail = `it is pinned as ${file.digest}, and came as ${digest}; if it was changed on purpose, pin it again`;
    // A local file is not damaged on its way: no use to read it again.
    return isRemote(file)
      ? mismatch(detail)
      : fail({ kind: 'network', class: { kind: 'refused', why: 'wrong-content' }, detail });
  };
  return askOnce(fileName(file), access, context, ask);
}

async function writeStaged(
  file: FileToFetch,
  staged: string,
  access: NetworkAccess,
  context: Context,
): Promise<Result<void, Fault>> {
  let handle: FileHandle | undefined;
  try {
    const opened = (handle = await open(staged, 'w'));
    const take: Take = async (chunk) => {
      await opened.writeFile(chunk);
    };
    if ('url' in file.from) {
      const { url, location } = file.from;
      return await readAddress(location ?? url, access, context, take);
    }
    await take(Buffer.from(file.from.content));
    return ok();
  } catch (error) {
    return fail({ kind: 'final', failure: fileFailure(error, staged, 'writing to the store') });
  } finally {
    await handle?.close();
  }
}

/** Reads https, http where allowed, `file:` and plain paths, each chunk handed to `take`. */
export async function readAddress(
  address: string,
  access: NetworkAccess,
  context: Context,
  take: Take,
): Promise<Result<void, Fault>> {
  if (REMOTE.test(address)) {
    if (access.mirrorOnly === true)
      return fail({
        kind: 'network',
        class: { kind: 'refused', why: 'denied' },
        detail: `${redact(address)} is no mirror, and with --mirror-only nothing else is asked`,
      });
    const got = await download(
      address,
      {
        signal: context.signal,
        stall: stallOf(access),
        mayBePlain: (host) => mayBeInsecure(host, access),
        proxies: access.proxies,
        certificates: (host) => readCertificates(host, access.certificates),
      },
      take,
    );
    return got.ok ? ok() : fail(httpFault(got.failure, address, context));
  }
  const path = address.startsWith('file:') ? fileURLToPath(address) : address;
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
    if (!(await handle.stat()).isFile()) {
      await handle.close();
      return notThere(`${path} is not a file`);
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return notThere(`there is no file ${path}`);
    return fail({ kind: 'final', failure: fileFailure(error, path, 'reading') });
  }
  const stream = createReadStream(path, { fd: handle });
  for await (const chunk of stream as AsyncIterable<Buffer>) await take(chunk);
  return ok();
}

function notThere(detail: string): Result<never, Fault> {
  return fail({ kind: 'network', class: { kind: 'refused', why: 'not-found' }, detail });
}

/** The digest and size of what an address serves now: for pins. With a store, it is kept there. */
export async function resolveFile(
  path: string,
  url: string,
  location: string | undefined,
  store: Store | undefined,
  access: NetworkAccess,
  context: Context,
): Promise<Result<{ readonly sha256: Digest; readonly size: number }>> {
  const what = `${path} (${redact(url)})`;
  const read = await readWhole(what, location ?? url, access, context);
  if (!read.ok) return read;
  const content = read.value;
  const pin = { sha256: digestOf(content), size: content.length };
  if (store === undefined) return ok(pin);
  const kept = await fetchFile(
    store,
    { path, digest: pin.sha256, size: pin.size, from: { content } },
    access,
    context,
  );
  return kept.ok ? ok(pin) : kept;
}

/** A small text: the catalog. Fails as a download does. */
export async function loadText(
  address: string,
  access: NetworkAccess,
  context: Context,
): Promise<Result<string>> {
  const read = await readWhole(redact(address), address, access, context);
  return read.ok ? ok(read.value.toString('utf8')) : read;
}

async function readWhole(
  what: string,
  address: string,
  access: NetworkAccess,
  context: Context,
): Promise<Result<Buffer>> {
  return askOnce(what, access, context, async (): Promise<Result<Buffer, Fault>> => {
    const chunks: Buffer[] = [];
    const got = await readAddress(address, access, context, (chunk) => {
      chunks.push(chunk);
      return Promise.resolve();
    });
    return got.ok ? ok(Buffer.concat(chunks)) : got;
  });
}

function wrongSize(file: FileToFetch, actual: number): PinContradicted {
  const reference = 'url' in file.from ? redact(file.from.url) : 'its content';
  const contradiction = contradictedSize(file, actual);
  return { reason: 'pin-contradicted', image: file.path, reference, ...contradiction };
}

function isRemote(file: FileToFetch): boolean {
  return 'url' in file.from && REMOTE.test(file.from.url);
}

function fileName(file: FileToFetch): string {
  return 'url' in file.from ? `${file.path} (${redact(file.from.url)})` : file.path;
}

import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestOf, hexOf } from '../model/digest.ts';
import type { BlobBad, Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { hashHandle, replaceFile, stampOf } from './content.ts';
import { errorCode, fileFailure, isWriteRefused } from '../model/file-failure.ts';
import { noteUse } from './last-use.ts';

/**
 * The store: stowage's directory of downloads, safe for many processes on many machines.
 *
 *     stowage-store.json                 {"format":1}
 *     blobs/sha256/<hex>                 every manifest, config and layer once, verified, 0444
 *     files/sha256/<hex>                 the bundles' extra files, verified, 0444
 *     images/<name>@sha256_<hex>/        OCI layout of one image, <hex> being the manifest digest's
 *         oci-layout  index.json  blobs -> ../../blobs
 *     verified/{blobs,files}/<hex>       size, mtime and ctime (nanoseconds) that the content had when it was verified;
 *                                        its own mtime is the content's last use: last-use.ts
 *     built/<hex>/                       data images that were built from it, for builds that want the same: finished.ts
 *     staging/<uuid>/                    downloads under way: owner.json, and what its owner makes
 *     locks/<hex>/                       the claim on a blob: store-lock.ts
 *
 * Correctness rests on one thing: a name appears in blobs/ and files/ only by the rename of a file that was
 * hashed and fsynced. Locks only keep two processes from downloading the same thing. A record in verified/ is
 * written after that rename and names the very inode's times; a record that is lost, late or of another
 * process's copy does not match and costs one more hashing, never a wrong answer. A reader without the right
 * to write records hashes again each time.
 */
export interface Store {
  /** Absolute, or as it was given. */
  readonly directory: string;
  blobPath(digest: Digest): string;
  filePath(digest: Digest): string;
  /** `name` as users know the image, `ghcr.io/x/y:1`; what a file name can't hold becomes `_`. */
  imagePath(name: string, manifest: Digest): string;
}

export type Shelf = 'blobs' | 'files';
export type ContentState = 'good' | BlobBad['problem'];

const FORMAT = 1;
const MARK = 'stowage-store.json';
const DIRECTORIES = [
  'blobs/sha256',
  'files/sha256',
  'images',
  'verified/blobs',
  'verified/files',
  'staging',
  'locks',
];

/**
 * For reading: takes no lock, makes nothing, and needs no right to write. A directory that is missing or empty
 * is a store in which everything is missing, so that the message can name what to fetch. Fails with
 * store-invalid and access-denied.
 */
export async function openStore(directory: string): Promise<Result<Store>> {
  const format = await readFormat(directory);
  return format.ok ? ok(storeAt(directory)) : format;
}

/**
 * For writing: makes what is missing, any number of processes at once. An older format would be upgraded here;
 * there is none yet. Fails with store-invalid (a directory of something else, a newer format), access-denied
 * and no-space.
 */
export async function createStore(directory: string): Promise<Result<Store>> {
  const format = await readFormat(directory);
  if (!format.ok) return format;
  try {
    if (format.value === undefined) {
      await makeDirectories(resolve(directory));
      // First of all: another process that looks now must not take our directories for somebody else's.
      await replaceFile(join(directory, MARK), `${JSON.stringify({ format: FORMAT })}\n`);
    }
    for (const name of DIRECTORIES) await mkdir(join(directory, name), { recursive: true });
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOTDIR' || code === 'EEXIST')
      return fail({ reason: 'store-invalid', store: directory, detail: 'it is not a directory' });
    // mkdir makes whatever is missing above it, so what is there is a link to nowhere.
    if (code === 'ENOENT')
      return fail({ reason: 'store-invalid', store: directory, detail: 'it leads nowhere' });
    return fail(fileFailure(error, directory, 'making the store'));
  }
  return ok(storeAt(directory));
}

/** Node's own recursive mkdir never ends where a file system has no way to make directories, as in /proc. */
async function makeDirectories(directory: string): Promise<void> {
  const parent = dirname(directory);
  const exists = await stat(parent).catch(() => undefined);
  if (exists === undefined && parent !== directory) await makeDirectories(parent);
  try {
    await mkdir(directory);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/**
 * For `store …`: a directory that is missing or empty is no store here, but a mistake in its name. Fails with
 * store-invalid and access-denied.
 */
export async function openExistingStore(directory: string): Promise<Result<Store>> {
  const format = await readFormat(directory);
  if (!format.ok) return format;
  return format.value === undefined
    ? fail({ reason: 'store-invalid', store: directory, detail: 'there is nothing in it' })
    : ok(storeAt(directory));
}

/**
 * The warm check: a few stats where the record of the verification still fits, else the content is hashed, and
 * recorded if that is allowed. Counts as a use: whoever removes what is not used looks for that once more after it
 * took the name away, so what is good here stays while it is used (prune.ts).
 */
export async function checkContent(
  store: Store,
  shelf: Shelf,
  expected: Pick<Descriptor, 'digest' | 'size'>,
): Promise<ContentState> {
  const path = contentPath(store, shelf, expected.digest);
  // Before the look, or what is removed in between would count as there.
  await noteUse(store, shelf, expected.digest);
  try {
    const found = await stat(path, { bigint: true });
    if (!found.isFile() || found.size !== BigInt(expected.size)) return 'wrong size';
    const record = await readFile(recordPath(store, shelf, expected.digest), 'utf8').catch(
      () => undefined,
    );
    if (record === stampOf(found)) return 'good';
  } catch (error) {
    return isMissing(error) ? 'missing' : 'unreadable';
  }
  return hashAgain(store, shelf, expected, path);
}

/** Whether a blob is there and is what its name says. */
export async function hasBlob(
  store: Store,
  expected: Pick<Descriptor, 'digest' | 'size'>,
): Promise<boolean> {
  return (await checkContent(store, 'blobs', expected)) === 'good';
}

/** A small blob's bytes, hashed on the way: a manifest or a config. `owner` is whose it is, for the message. */
export async function readBlob(
  store: Store,
  expected: Pick<Descriptor, 'digest' | 'size'>,
  owner: string,
): Promise<Result<Buffer>> {
  const bad = (problem: BlobBad['problem']): Result<never> =>
    fail({
      reason: 'blob-bad',
      problem,
      digest: expected.digest,
      owner,
      store: store.directory,
    });
  let bytes: Buffer;
  try {
    bytes = await readFile(store.blobPath(expected.digest));
  } catch (error) {
    return bad(isMissing(error) ? 'missing' : 'unreadable');
  }
  if (bytes.length !== expected.size) return bad('wrong size');
  return digestOf(bytes) === expected.digest ? ok(bytes) : bad('wrong digest');
}

export function contentPath(store: Store, shelf: Shelf, digest: Digest): string {
  return shelf === 'blobs' ? store.blobPath(digest) : store.filePath(digest);
}

/** Notes the times of content that was just verified. Nothing depends on its being written. */
export async function recordVerified(
  store: Store,
  shelf: Shelf,
  digest: Digest,
  stamp: string,
): Promise<void> {
  try {
    await replaceFile(recordPath(store, shelf, digest), stamp, false);
  } catch (error) {
    const code = errorCode(error);
    if (!isWriteRefused(error) && code !== 'ENOENT' && code !== 'ENOSPC') throw error;
  }
}

function storeAt(directory: string): Store {
  return {
    directory,
    blobPath: (digest) => join(directory, 'blobs', 'sha256', hexOf(digest)),
    filePath: (digest) => join(directory, 'files', 'sha256', hexOf(digest)),
    imagePath: (name, manifest) =>
      join(
        directory,
        'images',
        `${name.replace(/[^A-Za-z0-9._-]/g, '_')}@sha256_${hexOf(manifest)}`,
      ),
  };
}

export function recordPath(store: Store, shelf: Shelf, digest: Digest): string {
  return join(store.directory, 'verified', shelf, hexOf(digest));
}

async function hashAgain(
  store: Store,
  shelf: Shelf,
  expected: Pick<Descriptor, 'digest' | 'size'>,
  path: string,
): Promise<ContentState> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const before = await handle.stat({ bigint: true });
    const hashed = await hashHandle(handle);
    if (hashed.size !== expected.size) return 'wrong size';
    if (hashed.digest !== expected.digest) return 'wrong digest';
    // Written to while it was read: what was hashed is not certain to be what is there now.
    const stamp = stampOf(await handle.stat({ bigint: true }));
    if (stamp === stampOf(before)) await recordVerified(store, shelf, expected.digest, stamp);
    // The record is the note of this use, so here too the look comes after it.
    await stat(path);
    return 'good';
  } catch (error) {
    return isMissing(error) ? 'missing' : 'unreadable';
  } finally {
    await handle?.close();
  }
}

/** The format of the store, or undefined where nothing is there yet. */
async function readFormat(directory: string, again = false): Promise<Result<number | undefined>> {
  const invalid = (detail: string): Result<never> =>
    fail({ reason: 'store-invalid', store: directory, detail });
  let text: string;
  try {
    text = await readFile(join(directory, MARK), 'utf8');
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOTDIR') return invalid('it is not a directory');
    if (code === 'EISDIR') return invalid(`its ${MARK} is a directory`);
    if (code !== 'ENOENT') return fail(unreadable(error, directory));
    const names = await namesIn(directory);
    if (!names.ok) return names;
    // Another process has made it a store since: the mark comes first, then everything else.
    if (names.value.includes(MARK) && !again) return readFormat(directory, true);
    return names.value.every(isOfNobody)
      ? ok(undefined)
      : invalid(
          `it holds other things and no ${MARK}; name an empty directory, or one that does not exist yet`,
        );
  }
  const format = formatIn(text);
  if (format === undefined)
    return invalid(`its ${MARK} can't be understood; name another directory, or remove this one`);
  if (format > FORMAT)
    return invalid(
      `it has format ${format}, and this stowage knows ${FORMAT}; use the newer stowage that made it, or another directory`,
    );
  return ok(format);
}

function formatIn(text: string): number | undefined {
  try {
    const format = (JSON.parse(text) as { format?: unknown } | null)?.format;
    return typeof format === 'number' && Number.isInteger(format) && format > 0
      ? format
      : undefined;
  } catch {
    return undefined;
  }
}

/** Nothing for a directory that is not there. */
async function namesIn(directory: string): Promise<Result<readonly string[]>> {
  try {
    return ok(await readdir(directory));
  } catch (error) {
    return isMissing(error) ? ok([]) : fail(unreadable(error, directory));
  }
}

/** lost+found is a fresh file system's; .new-* is the mark that another process is just writing. */
function isOfNobody(name: string): boolean {
  return name === 'lost+found' || name.startsWith('.new-');
}

function unreadable(error: unknown, directory: string): Failure {
  return fileFailure(error, directory, 'reading the store');
}

function isMissing(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

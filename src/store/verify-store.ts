import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { BlobBad } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import { removeFinished } from './finished.ts';
import type { FileHash } from './hash-threads.ts';
import { hashFiles } from './hash-threads.ts';
import type { Inventory, InventoryImage } from './inventory.ts';
import { takeInventory } from './inventory.ts';
import { removeContent, removeLayout } from './remove.ts';
import type { Staging } from './staging.ts';
import { makeStaging } from './staging.ts';
import { tryLock } from './store-lock.ts';
import type { Shelf, Store } from './store.ts';
import { contentPath } from './store.ts';
import { sweepStore } from './sweep.ts';

/** One thing that is not as it should be. */
export interface StoreFinding {
  readonly what: 'blob' | 'file' | 'image';
  /** Content's digest; of an image, its manifest's. */
  readonly digest: Digest;
  readonly problem: BlobBad['problem'] | 'incomplete';
  /** Names of the images that use it, or the image's own. */
  readonly images: readonly string[];
  /** For an image what it lacks; a phrase. */
  readonly detail?: string;
  /** Whether it was removed, so that `fetch` brings it anew. */
  readonly removed: boolean;
}

export interface StoreVerified {
  readonly images: number;
  readonly blobs: number;
  readonly files: number;
  /** Finished data images, and how many of them were written to since: no damage, as nobody takes those. */
  readonly finished: number;
  readonly changed: number;
  /** Bytes hashed. */
  readonly bytes: number;
  readonly findings: readonly StoreFinding[];
}

export interface VerifyStoreOptions {
  /** Removes what is bad, and staging that dead processes left. Without it nothing is written. */
  readonly repair: boolean;
  /** One for each processor without it. */
  readonly threads?: number;
}

interface Item {
  readonly shelf: Shelf;
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Hashes all content, whatever its records say, and looks whether every layout has all it names. Fetches that run
 * meanwhile are not disturbed: what they claim is theirs to replace, and content that changes under the reading is
 * read again. Fails with access-denied, no-space and interrupted; what is found is no failure here.
 */
export async function verifyStore(
  store: Store,
  options: VerifyStoreOptions,
  context: Context,
): Promise<Result<StoreVerified>> {
  const inventory = await takeInventory(store);
  if (!inventory.ok) return inventory;
  const { images, blobs, files, finished } = inventory.value;
  let staging: Staging | undefined;
  try {
    if (options.repair) {
      await sweepStore(store, context.report);
      const made = await makeStaging(store);
      if (!made.ok) return made;
      staging = made.value;
    }
    const items: Item[] = [
      ...[...blobs.values()].map((blob): Item => ({ ...blob, shelf: 'blobs' })),
      ...[...files.values()].map((file): Item => ({ ...file, shelf: 'files' })),
    ].sort((a, b) => b.size - a.size);
    const bad: StoreFinding[] = [];
    let bytes = 0;
    const take = async (item: Item, hash: FileHash): Promise<void> => {
      if ('size' in hash) bytes += hash.size;
      const problem = problemOf(item, hash);
      if (problem === undefined) return;
      const found = await judge(store, item, problem, context.signal);
      if (found === undefined) return;
      const removed =
        staging !== undefined && (await removeBad(store, item, found, staging, context));
      bad.push({
        what: item.shelf === 'blobs' ? 'blob' : 'file',
        digest: item.digest,
        problem: found.problem,
        images: item.shelf === 'blobs' ? usersOf(item.digest, images) : [],
        removed,
      });
    };
    const path = (item: Item): string => contentPath(store, item.shelf, item.digest);
    await hashFiles(items, path, take, context.signal, options.threads);
    if (context.signal.aborted) return fail(interruption(context.signal));
    const findings = [...bad, ...(await checkLayouts(store, inventory.value, bad, staging))];
    const stale = finished.filter(({ state }) => state === 'changed');
    if (options.repair)
      for (const { fingerprint } of stale) await removeFinished(store, fingerprint);
    const counts = {
      ...{ images: images.length, blobs: blobs.size, files: files.size },
      ...{ finished: finished.length, changed: stale.length, bytes },
    };
    return ok({ ...counts, findings: findings.sort(byDigest) });
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'repairing the store'));
  } finally {
    await staging?.remove();
  }
}

function byDigest(a: StoreFinding, b: StoreFinding): number {
  return `${a.what} ${a.digest}` < `${b.what} ${b.digest}` ? -1 : 1;
}

function usersOf(digest: Digest, images: readonly InventoryImage[]): string[] {
  return images
    .filter(({ blobs }) => blobs.some((blob) => blob.digest === digest))
    .map(({ name }) => name);
}

function problemOf(item: Item, hash: FileHash): BlobBad['problem'] | undefined {
  if ('error' in hash) return hash.error === 'ENOENT' ? undefined : 'unreadable';
  return hash.hex === hexOf(item.digest) ? undefined : 'wrong digest';
}

interface Bad {
  readonly problem: BlobBad['problem'];
  /** Of the file that is bad; undefined for what can't be opened. */
  readonly inode?: string;
}

/** Once more, for good: what was replaced while it was read is not bad. */
async function judge(
  store: Store,
  item: Item,
  first: BlobBad['problem'],
  signal: AbortSignal,
): Promise<Bad | undefined> {
  let bad: Bad | undefined = { problem: first };
  for (let round = 0; round < 3; round++) {
    let hash: FileHash | undefined;
    const keep = (_: Item, found: FileHash): Promise<void> => {
      hash = found;
      return Promise.resolve();
    };
    await hashFiles([item], () => contentPath(store, item.shelf, item.digest), keep, signal, 1);
    if (hash === undefined) return undefined;
    const problem = problemOf(item, hash);
    if (problem === undefined) return undefined;
    bad = { problem, ...('inode' in hash ? { inode: hash.inode } : {}) };
    if ('error' in hash || hash.still) break;
  }
  return bad;
}

/** Under the claim on it, so that nobody's fresh copy is taken; who has that claim brings a good one anyway. */
async function removeBad(
  store: Store,
  item: Item,
  bad: Bad,
  staging: Staging,
  context: Context,
): Promise<boolean> {
  const path = contentPath(store, item.shelf, item.digest);
  const claim = await tryLock(join(store.directory, 'locks', hexOf(item.digest)));
  if (!claim.ok || !('lock' in claim.value)) return false;
  try {
    const isRight = async (aside: string): Promise<boolean> => {
      const found = await stat(aside, { bigint: true });
      return bad.inode === undefined ? !found.isFile() : String(found.ino) === bad.inode;
    };
    return await removeContent(store, item.shelf, item.digest, staging, isRight);
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    context.report({ type: 'warning', about: path, detail: (error as Error).message });
    return false;
  } finally {
    await claim.value.lock.release();
  }
}

/** Images that lack something; those with a bad blob are named with that blob, and only lose their layout. */
async function checkLayouts(
  store: Store,
  before: Inventory,
  bad: readonly StoreFinding[],
  staging: Staging | undefined,
): Promise<StoreFinding[]> {
  const now = await takeInventory(store);
  if (!now.ok) return [];
  const badBlobs = new Set(bad.filter(({ what }) => what === 'blob').map(({ digest }) => digest));
  const findings: StoreFinding[] = [];
  for (const image of now.value.images) {
    const hasBadBlob = image.blobs.some((blob) => badBlobs.has(blob.digest));
    const isNew = !before.images.some(({ directory }) => directory === image.directory);
    if (isNew || (image.problem === undefined && !hasBadBlob)) continue;
    const removed =
      staging !== undefined &&
      (await removeLayout(store, image.directory, staging, () => Promise.resolve(true)));
    if (hasBadBlob) continue;
    const { manifest: digest, name, problem: detail = '' } = image;
    findings.push({
      what: 'image',
      digest,
      problem: 'incomplete',
      images: [name],
      detail,
      removed,
    });
  }
  return findings;
}

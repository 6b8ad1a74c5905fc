import { join } from 'node:path';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { fileFailure, interruption } from '../model/file-failure.ts';
import type { FinishedImage } from './finished.ts';
import { ownBytes, removeFinished } from './finished.ts';
import type { Inventory, InventoryContent, InventoryImage } from './inventory.ts';
import { blobsNeeded, takeInventory } from './inventory.ts';
import { lastUse, USE_INTERVAL } from './last-use.ts';
import { removeContent, removeLayout } from './remove.ts';
import type { Staging } from './staging.ts';
import { makeStaging, oldestDownload } from './staging.ts';
import { acquireLock } from './store-lock.ts';
import type { Shelf, Store } from './store.ts';
import { sweepStore } from './sweep.ts';

export interface PruneOptions {
  /**
   * `unused`: images and files that `keep` does not name go. `unreferenced`: only blobs that no image has.
   * What was used since `cutoff` stays in any case.
   */
  readonly what: 'unused' | 'unreferenced';
  /** Digests of blobs and files that stay, and whose images stay. */
  readonly keep: ReadonlySet<Digest>;
  /** Milliseconds since 1970. */
  readonly cutoff: number;
  /** Removes nothing. */
  readonly dryRun: boolean;
}

export interface Pruned {
  readonly images: readonly InventoryImage[];
  readonly files: readonly InventoryContent[];
  readonly blobs: readonly InventoryContent[];
  /** Data images that no output has any more; they can be built again. */
  readonly finished: readonly FinishedImage[];
  /** Of blobs, files and finished images. */
  readonly bytes: number;
  /** Images that no pins keep, and that are spared because they were used since the cutoff. */
  readonly spared: readonly InventoryImage[];
}

/**
 * Removes what is not used any more: layouts first, then blobs that no image needs; finished data images, whatever
 * `what` says, as a build makes them again. Each is looked at once more
 * after its name was taken away, and put back if it was used meanwhile. One process prunes a store at a time; no
 * fetch and no build waits for it. Fails with access-denied, no-space, interrupted.
 */
export async function prune(
  store: Store,
  options: PruneOptions,
  context: Context,
): Promise<Result<Pruned>> {
  if (options.dryRun) {
    const inventory = await takeInventory(store);
    if (!inventory.ok) return inventory;
    return ok(summary(await choose(store, inventory.value, await withDownloads(store, options))));
  }
  const lock = await acquireLock(join(store.directory, 'locks', 'prune'), context, {
    what: `pruning ${store.directory}`,
  });
  if (!lock.ok) return lock;
  try {
    await sweepStore(store, context.report);
    const safe = await withDownloads(store, options);
    const inventory = await takeInventory(store);
    if (!inventory.ok) return inventory;
    const chosen = await choose(store, inventory.value, safe);
    const staging = await makeStaging(store);
    if (!staging.ok) return staging;
    try {
      return await remove(store, chosen, safe.cutoff, staging.value, context);
    } finally {
      await staging.value.remove();
    }
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'removing from the store'));
  } finally {
    await lock.value.release();
  }
}

/** A download that is under way has looked at what it uses at most this long before it began. */
async function withDownloads(store: Store, options: PruneOptions): Promise<PruneOptions> {
  const began = await oldestDownload(store);
  if (began === undefined) return options;
  return { ...options, cutoff: Math.min(options.cutoff, began - USE_INTERVAL - 60_000) };
}

interface Chosen {
  readonly images: readonly InventoryImage[];
  readonly files: readonly InventoryContent[];
  readonly blobs: readonly InventoryContent[];
  readonly finished: readonly FinishedImage[];
  readonly spared: readonly InventoryImage[];
}

async function choose(
  store: Store,
  inventory: Inventory,
  { what, keep, cutoff }: PruneOptions,
): Promise<Chosen> {
  const unwanted =
    what === 'unused' ? inventory.images.filter(({ manifest }) => !keep.has(manifest)) : [];
  const images = unwanted.filter((image) => image.lastUse < cutoff);
  const gone = new Set(images);
  const needed = await blobsNeeded(
    store,
    inventory,
    inventory.images.filter((image) => !gone.has(image)),
  );
  const old = ({ digest, lastUse: used }: InventoryContent): boolean =>
    used < cutoff && !keep.has(digest);
  return {
    images,
    files: what === 'unused' ? [...inventory.files.values()].filter(old) : [],
    blobs: [...inventory.blobs.values()].filter((blob) => !needed.has(blob.digest) && old(blob)),
    // One that an output still has takes no space, and its removal would change the output's ctime.
    finished: inventory.finished.filter(
      (image) => image.found.nlink === 1n && image.lastUse < cutoff,
    ),
    spared: unwanted.filter((image) => !gone.has(image)),
  };
}

async function remove(
  store: Store,
  chosen: Chosen,
  cutoff: number,
  staging: Staging,
  context: Context,
): Promise<Result<Pruned>> {
  const unused = async (shelf: Shelf, digest: Digest): Promise<boolean> =>
    ((await lastUse(store, shelf, digest)) ?? 0) < cutoff;
  const images: InventoryImage[] = [];
  const stay = new Set<Digest>();
  for (const image of chosen.images) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    const right = (): Promise<boolean> => unused('blobs', image.manifest);
    if (await removeLayout(store, image.directory, staging, right)) images.push(image);
    else for (const { digest } of image.blobs) stay.add(digest);
  }
  const removeAll = async (
    shelf: Shelf,
    contents: readonly InventoryContent[],
  ): Promise<InventoryContent[]> => {
    const removed: InventoryContent[] = [];
    for (const content of contents) {
      if (context.signal.aborted) break;
      const { digest } = content;
      if (stay.has(digest) || !(await unused(shelf, digest))) continue;
      const right = (): Promise<boolean> => unused(shelf, digest);
      if (await removeContent(store, shelf, digest, staging, right)) removed.push(content);
    }
    return removed;
  };
  const blobs = await removeAll('blobs', chosen.blobs);
  const files = await removeAll('files', chosen.files);
  const finished: FinishedImage[] = [];
  for (const image of chosen.finished)
    if (await removeFinished(store, image.fingerprint)) finished.push(image);
  if (context.signal.aborted) return fail(interruption(context.signal));
  return ok(summary({ images, blobs, files, finished, spared: chosen.spared }));
}

function summary(chosen: Chosen): Pruned {
  const sizes = [
    ...[...chosen.blobs, ...chosen.files].map(({ size }) => size),
    ...chosen.finished.map(ownBytes),
  ];
  return { ...chosen, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

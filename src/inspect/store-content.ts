import type { Result } from '../model/result.ts';
import { ok } from '../model/result.ts';
import { openExistingStore } from '../store/store.ts';
import { takeInventory } from '../store/inventory.ts';
import type { Blobs } from './blobs.ts';
import type { Contents } from './contents.ts';
import { fileBlobs } from './file-blobs.ts';
import { imagesOf } from './image-content.ts';

/** A store: its images by their layouts, and its files. Fails with `store-invalid` and `access-denied`. */
export async function readStoreContent(
  directory: string,
  signal: AbortSignal,
): Promise<Result<{ readonly contents: Contents; readonly blobs: Blobs }>> {
  const store = await openExistingStore(directory);
  if (!store.ok) return store;
  const inventory = await takeInventory(store.value);
  if (!inventory.ok) return inventory;
  const blobs = fileBlobs((digest) => store.value.blobPath(digest), signal);
  const targets = inventory.value.images.map(({ name, manifest }) => ({ name, digest: manifest }));
  const files = [...inventory.value.files.values()]
    .map(({ digest, size }) => ({ sha256: digest, size }))
    .sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
  return ok({
    contents: { kind: 'store', source: directory, images: await imagesOf(blobs, targets), files },
    blobs,
  });
}

import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { Place } from '../partition.ts';
import { findPlace } from '../partition.ts';
import { attempt } from './damage.ts';
import { openFile, type ImageFile } from './image-file.ts';
import { ImageReader } from './image-reader.ts';
import type { ImageFacts, Superblock } from './superblock.ts';
import { readSuperblock } from './superblock.ts';

/**
 * Opens an ext2, ext3 or ext4 file system in a file or block device, by default at its start. Close what it gives.
 * Fails with `invalid-document` or `access-denied` for what can't be read or is no such thing, `partition-missing`,
 * `image-needs-recovery`, `image-unsupported`, `image-corrupt`.
 */
export async function openImage(
  path: string,
  place: Place = { offset: 0 },
): Promise<Result<ImageReader>> {
  return withSuperblock(path, place, async (file, superblock) => {
    if (superblock.needsRecovery) return fail({ reason: 'image-needs-recovery', image: path });
    const reader = new ImageReader(file, superblock);
    const root = await reader.root();
    if (!root.ok) return root;
    if (root.value.type !== 'directory')
      return fail({ reason: 'image-corrupt', image: path, detail: 'its root is no directory' });
    return ok(reader);
  });
}

/** What the superblock says, of a file system with a journal to be replayed too. Fails as `openImage` does. */
export async function readFacts(
  path: string,
  place: Place = { offset: 0 },
): Promise<Result<ImageFacts>> {
  return withSuperblock(path, place, async (file, superblock) => {
    await file.close();
    return ok(superblock);
  });
}

/** The file is closed unless `use` succeeds. */
async function withSuperblock<T>(
  path: string,
  place: Place,
  use: (file: ImageFile, superblock: Superblock) => Promise<Result<T>>,
): Promise<Result<T>> {
  const opened = await openFile(path);
  if (!opened.ok) return opened;
  const file = opened.value;
  const found = await attempt(path, async () => {
    const part = await findPlace(file, place);
    return { part, superblock: await readSuperblock(part) };
  });
  const used = found.ok ? await use(found.value.part, found.value.superblock) : found;
  if (!used.ok) await file.close();
  return used;
}

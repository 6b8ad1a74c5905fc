import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import type { Place } from '../partition.ts';
import { findPlace } from '../partition.ts';
import { attempt, Unreadable } from './damage.ts';
import { openFile, type ImageFile } from './image-file.ts';
import { ImageReader } from './image-reader.ts';
import type { ImageFacts, Superblock } from './superblock.ts';
import { readSuperblock } from './superblock.ts';

/**
 * Opens an ext2, ext3 or ext4 file system in a file or block device, by default at its start. Close what it gives.
 * Fails with `invalid-document` or `access-denied` for what can't be read or is no such thing, `partition-missing`,
 * `image-needs-recovery`, `image-unsupported`, `image-corrupt`.
 */
export async function openImage(path: string, place?: Place): Promise<Result<ImageReader>> {
  const file = await openFile(path);
  return file.ok ? readImage(file.value, place) : file;
}

/** The same of an open file, which is closed unless it succeeds. */
export async function readImage(file: ImageFile, place?: Place): Promise<Result<ImageReader>> {
  const reader = await attempt(file.path, async () => {
    const { part, superblock } = await findSuperblock(file, place);
    if (superblock.needsRecovery) throw needsRecovery();
    const reader = new ImageReader(part, superblock);
    await reader.checkRoot();
    return reader;
  });
  if (!reader.ok) await file.close();
  return reader;
}

/** What the superblock says, of a file system with a journal to be replayed too. Fails as `openImage` does. */
export async function readFacts(path: string, place?: Place): Promise<Result<ImageFacts>> {
  const file = await openFile(path);
  if (!file.ok) return file;
  const found = await attempt(path, () => findSuperblock(file.value, place));
  await file.value.close();
  return found.ok ? ok(found.value.superblock) : found;
}

/** Where in the file the place is, in bytes. Fails as `openImage` does for want of it. */
export async function findOffset(path: string, place: Place): Promise<Result<number>> {
  const file = await openFile(path);
  if (!file.ok) return file;
  const found = await attempt(path, async () => (await findPlace(file.value, place)).start);
  await file.value.close();
  return found;
}

async function findSuperblock(
  file: ImageFile,
  place: Place = { offset: 0 },
): Promise<{ part: ImageFile; superblock: Superblock }> {
  const part = await findPlace(file, place);
  return { part, superblock: await readSuperblock(part) };
}

function needsRecovery(): Unreadable {
  return new Unreadable((image) => ({ reason: 'image-needs-recovery', image }));
}

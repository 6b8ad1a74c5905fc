import { listAt, inodeAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Removal } from '../tools/debugfs-remove.ts';
import { removePaths } from '../tools/debugfs-remove.ts';

/**
 * Removes files and whole directories from an unmounted ext4 image, without root. Paths are absolute within the
 * image; each must be there. The file system needs a repairing e2fsck afterwards.
 */
export async function removeTrees(
  image: string,
  trees: readonly string[],
  signal?: AbortSignal,
): Promise<Result<void>> {
  const reader = await openImage(image);
  if (!reader.ok) return reader;
  const removals: Removal[] = [];
  try {
    for (const tree of trees) {
      const planned = await planRemoval(reader.value, tree, removals);
      if (!planned.ok) return planned;
    }
  } finally {
    await reader.value.close();
  }
  return removePaths(image, removals, signal);
}

/** Children first: debugfs removes empty directories only. */
async function planRemoval(
  image: ImageReader,
  path: string,
  removals: Removal[],
): Promise<Result<void>> {
  const inode = await inodeAt(image, path);
  if (!inode.ok) {
    if (inode.failure.reason === 'not-in-image') throw new Error(`${path} is not in ${image.path}`);
    return fail(inode.failure);
  }
  if (inode.value.type !== 'directory') {
    removals.push({ path, kind: 'other' });
    return ok();
  }
  const listed = await listAt(image, path);
  if (!listed.ok) {
    if (listed.failure.reason === 'not-in-image') throw new Error(`${path} is gone`);
    return fail(listed.failure);
  }
  for (const { name } of listed.value) {
    const planned = await planRemoval(image, `${path}/${name}`, removals);
    if (!planned.ok) return planned;
  }
  removals.push({ path, kind: 'directory' });
  return ok();
}

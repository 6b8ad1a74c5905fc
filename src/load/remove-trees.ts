import { listAt, inodeAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { editImage, quote } from '../tools/debugfs.ts';

/**
 * Removes files and whole directories from an unmounted ext4 image, without root. Paths are absolute within the
 * image; each must be there. The path where it was last mounted goes too. The file system needs a repairing e2fsck
 * afterwards: debugfs leaves the counts of a directory's links to it.
 */
export async function removeTrees(
  image: string,
  trees: readonly string[],
  signal?: AbortSignal,
): Promise<Result<void>> {
  const reader = await openImage(image);
  if (!reader.ok) return reader;
  const script: string[] = [];
  try {
    for (const tree of trees) {
      const planned = await planRemoval(reader.value, tree, script);
      if (!planned.ok) return planned;
    }
  } finally {
    await reader.value.close();
  }
  script.push('set_super_value last_mounted ""');
  return editImage(image, script, 'removing from the data image', signal);
}

/** Children first: debugfs removes empty directories only. */
async function planRemoval(
  image: ImageReader,
  path: string,
  script: string[],
): Promise<Result<void>> {
  const inode = await inodeAt(image, path);
  if (!inode.ok) {
    if (inode.failure.reason === 'not-in-image') throw new Error(`${path} is not in ${image.path}`);
    return fail(inode.failure);
  }
  if (inode.value.type !== 'directory') {
    script.push(`rm ${quote(path)}`);
    return ok();
  }
  const listed = await listAt(image, path);
  if (!listed.ok) {
    if (listed.failure.reason === 'not-in-image') throw new Error(`${path} is gone`);
    return fail(listed.failure);
  }
  for (const { name, bytes } of listed.value) {
    // debugfs has no way to say them.
    if (/[\n\r]/.test(name) || !bytes.equals(Buffer.from(name)))
      return fail({
        reason: 'not-verified',
        image: image.path,
        findings: [`${path} holds a name that can't be removed: ${JSON.stringify(name)}`],
      });
    const planned = await planRemoval(image, `${path}/${name}`, script);
    if (!planned.ok) return planned;
  }
  script.push(`rmdir ${quote(path)}`);
  return ok();
}

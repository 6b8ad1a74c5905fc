import { open, stat, truncate } from 'node:fs/promises';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readSuperblock } from './ext4-superblock.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/** ext4 images by e2fsprogs: mke2fs, e2fsck, resize2fs. None of them needs root on a file of ours. */

export interface NewFileSystem {
  /** Bytes; a multiple of 4096. */
  readonly size: number;
  readonly label: string;
}

/** Makes a sparse file at `image`, which must not be there, with an empty ext4 file system in it. */
export async function makeFileSystem(
  image: string,
  options: NewFileSystem,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const file = await open(image, 'wx', 0o644);
  await file.close();
  await truncate(image, options.size);
  const made = await runCommand(
    'mke2fs',
    [
      '-q',
      '-F',
      '-t',
      'ext4',
      // Fixed, so that neither the builder's mke2fs.conf nor its e2fsprogs decide what a device must read.
      '-O',
      'none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum',
      '-b',
      '4096',
      '-I',
      '256',
      '-m',
      '0',
      '-L',
      options.label,
      '-E',
      // The file is all holes, so nothing need be zeroed: not now, and not by the kernel later.
      'lazy_itable_init=0,lazy_journal_init=1,root_owner=0:0',
      image,
    ],
    { signal },
  );
  if (!made.ok) return fail(commandFailure(made.failure, 'making the file system'));
  return ok();
}

/** Checks the file system and, with `repair`, mends what can be mended without asking. */
export async function checkFileSystem(
  image: string,
  repair: 'repair' | 'read only',
  signal?: AbortSignal,
): Promise<Result<void>> {
  const checked = await runCommand('e2fsck', [repair === 'repair' ? '-fy' : '-fn', image], {
    signal,
  });
  if (checked.ok) return ok();
  const failure = checked.failure;
  // e2fsck(8), exit code: 1 is "errors corrected", which a repair may end with.
  if (failure.reason === 'command-failed' && failure.exitCode === 1 && repair === 'repair')
    return ok();
  if (failure.reason === 'command-failed' && failure.stdout !== '')
    return fail({
      reason: 'not-verified',
      image,
      findings: [`e2fsck: ${lastLines(failure.stdout, 5)}`],
    });
  return fail(commandFailure(failure, 'checking the file system'));
}

/**
 * Shrinks to `bytes`, or to as little as resize2fs reaches where that is more, and cuts the file to match.
 * The file system must be clean: `checkFileSystem` first. Returns the new size in bytes.
 */
export async function shrinkFileSystem(
  image: string,
  bytes: number,
  signal?: AbortSignal,
): Promise<Result<number>> {
  const size = await readSuperblock(image);
  if (!size.ok) return size;
  const { blockSize } = size.value;
  const target = Math.ceil(bytes / blockSize);
  if (target < size.value.blocks) {
    // Forced, because resize2fs refuses what it merely estimates to be too little; what then really is too
    // little leaves the file system damaged or as it was, so it is mended and the estimate is taken.
    const forced = await runCommand('resize2fs', ['-f', image, `${target}`], { signal });
    if (!forced.ok) {
      if (forced.failure.reason !== 'command-failed')
        return fail(commandFailure(forced.failure, 'shrinking the file system'));
      const mended = await checkFileSystem(image, 'repair', signal);
      if (!mended.ok) return mended;
      const least = await runCommand('resize2fs', ['-M', image], { signal });
      if (!least.ok) return fail(commandFailure(least.failure, 'shrinking the file system'));
    }
  }
  const after = await readSuperblock(image);
  if (!after.ok) return after;
  const end = after.value.blocks * blockSize;
  if ((await stat(image)).size !== end) await truncate(image, end);
  return ok(end);
}

import { open, stat, truncate } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readSuperblock } from './ext4-superblock.ts';
import { fakeTime } from './e2fsprogs.ts';
import { commandFailure, runCommand } from './run-command.ts';

/** Changes of a whole ext4 image that is not mounted, and copies of one. None of them needs root. */

/**
 * A copy that shares its blocks with the original where the file system can do that, and has its holes, and more,
 * where it can't. `to` must not be there. Its owner and times are those of a new file. The disk begins to write
 * while it is copied, and ends when it ends: who syncs the file later has less to wait for.
 */
export async function copyImage(
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const options = ['--reflink=auto', '--sparse=always', '--no-target-directory'];
  const copied = await whileSyncing(to, () =>
    runCommand('cp', [...options, '--', from, to], { signal }),
  );
  if (copied.ok) return ok();
  if (copied.failure.reason === 'command-failed' && /No space left/.test(copied.failure.stderr))
    return fail({ reason: 'no-space', where: to });
  return fail(commandFailure(copied.failure, 'copying a data image'));
}

/** Milliseconds between one sync and the next. */
const SYNC_PAUSE = 10;

/** Does `work`, which fills a new file at `path`, and has the disk write meanwhile what is there, and then the rest. */
async function whileSyncing<T>(path: string, work: () => Promise<T>): Promise<T> {
  const file = await open(path, 'wx');
  let done = false;
  const sync = async (): Promise<void> => {
    try {
      while (!done) {
        await sleep(SYNC_PAUSE);
        await file.datasync();
      }
      await file.datasync();
    } catch {
      // Only in advance: whoever needs it on the disk syncs it himself, and hears what is wrong.
    } finally {
      await file.close();
    }
  };
  const syncing = sync();
  void syncing;
  try {
    return await work();
  } finally {
    done = true;
  }
}

/** Makes room for `bytes` more in a clean file system; nothing where there is as much. */
export async function growFileSystem(
  image: string,
  bytes: number,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  const { blocks, freeBlocks, blockSize } = superblock.value;
  const lacking = Math.ceil(bytes / blockSize) - freeBlocks;
  if (lacking <= 0) return ok();
  const target = blocks + lacking;
  if ((await stat(image)).size < target * blockSize) await truncate(image, target * blockSize);
  // Forced, because it asks for a check first, which the caller has had.
  const grown = await runCommand('resize2fs', ['-f', image, `${target}`], { signal });
  return grown.ok ? ok() : fail(commandFailure(grown.failure, 'growing the file system'));
}

/** At most 16 bytes. */
export async function setLabel(
  image: string,
  label: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const set = await runCommand('tune2fs', ['-L', label, image], { signal });
  return set.ok ? ok() : fail(commandFailure(set.failure, 'setting the label'));
}

/**
 * Gives the blocks that no file has back to the file system that the image lies in, and with them what removed files
 * had in them. Checks on the way; the file system must be clean.
 */
export async function discardFree(
  image: string,
  epoch: number | undefined,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const env = fakeTime(epoch);
  const run = await runCommand('e2fsck', ['-fy', '-E', 'discard', image], { signal, env });
  const { failure } = run.ok ? { failure: undefined } : run;
  // e2fsck(8): 1 is "errors corrected".
  if (failure === undefined || (failure.reason === 'command-failed' && failure.exitCode === 1))
    return ok();
  return fail(commandFailure(failure, 'discarding free blocks'));
}

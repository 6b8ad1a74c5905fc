import type { FileHandle } from 'node:fs/promises';
import { open, stat, truncate } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readSuperblock } from './ext4-superblock.ts';
import { fakeTime } from './e2fsprogs.ts';
import { fileFailure, interruption } from '../model/file-failure.ts';
import { commandFailure, findProgram, runCommand } from './run-command.ts';

/** Changes of a whole ext4 image that is not mounted, and copies of one. None of them needs root. */

/** A copy that is complete, and perhaps not yet on the disk. */
export interface ImageCopy {
  /** To be waited for before anybody relies on it: who syncs it later hears of no error that was heard here. */
  readonly synced: Promise<Result<void>>;
}

/**
 * A copy that shares its blocks with the original where the file system can do that, and has its holes where it can't.
 * `to` must not be there. Its owner and times are those of a new file. The disk begins to write while it is copied: who
 * syncs the file later has less to wait for.
 */
export async function copyImage(
  from: string,
  to: string,
  signal?: AbortSignal,
): Promise<Result<ImageCopy>> {
  const file = await open(to, 'wx').catch((error: unknown) =>
    fileFailure(error, to, 'copying a data image'),
  );
  if ('reason' in file) return fail(file);
  const copying = copyInto(from, to, signal);
  const synced = syncUntil(copying, file, to);
  const copied = await copying;
  return copied.ok ? ok({ synced }) : copied;
}

async function copyInto(from: string, to: string, signal?: AbortSignal): Promise<Result<void>> {
  // Everything but this goes without another program.
  if (findProgram('cp') === undefined) return copyPlainly(from, to, signal);
  const options = ['--reflink=auto', '--sparse=auto', '--no-target-directory'];
  const copied = await runCommand('cp', [...options, '--', from, to], { signal });
  if (copied.ok) return ok();
  if (copied.failure.reason === 'command-failed' && /No space left/.test(copied.failure.stderr))
    return fail({ reason: 'no-space', where: to });
  return fail(commandFailure(copied.failure, 'copying a data image'));
}

const CHUNK = 1024 * 1024;
const HOLE = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE);

async function copyPlainly(from: string, to: string, signal?: AbortSignal): Promise<Result<void>> {
  const source = await open(from, 'r');
  try {
    const target = await open(to, 'r+');
    try {
      await target.truncate((await source.stat()).size);
      const buffer = Buffer.allocUnsafe(CHUNK);
      for (let at = 0; ;) {
        if (signal?.aborted === true) return fail(interruption(signal));
        const { bytesRead } = await source.read(buffer, 0, CHUNK, at);
        if (bytesRead === 0) return ok();
        for (let start = 0; start < bytesRead; start += HOLE) {
          const piece = buffer.subarray(start, Math.min(start + HOLE, bytesRead));
          if (ZEROS.compare(piece, 0, piece.length, 0, piece.length) !== 0)
            await target.write(piece, 0, piece.length, at + start);
        }
        at += bytesRead;
      }
    } finally {
      await target.close();
    }
  } catch (error) {
    return fail(fileFailure(error, to, 'copying a data image'));
  } finally {
    await source.close();
  }
}

/** Milliseconds between one sync and the next. */
const SYNC_PAUSE = 10;

/** Has the disk write what is in a file while `filling` goes on, and then the rest. Closes it. */
async function syncUntil(
  filling: Promise<unknown>,
  file: FileHandle,
  path: string,
): Promise<Result<void>> {
  const filled = filling.then(() => true);
  try {
    for (let isFilled = false; !isFilled;) {
      isFilled = await Promise.race([filled, sleep(SYNC_PAUSE, false)]);
      await file.datasync();
    }
    return ok();
  } catch (error) {
    return fail(fileFailure(error, path, 'writing a copy of a data image'));
  } finally {
    await file.close();
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

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Inode } from '../ext4/reader/inode.ts';
import type { ReadFailure } from '../ext4/reader/at-path.ts';
import { hashAt, inodeAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import { editImage, quote } from '../tools/debugfs.ts';
import type { Superblock } from '../tools/ext4-superblock.ts';
import { notAnImage, readSuperblock } from '../tools/ext4-superblock.ts';

/** Puts files into an ext4 image that is not mounted: no root. */

export interface FileToWrite {
  /** Relative to the partition's root, `/` between names, none of them `.` or `..`. */
  readonly path: string;
  /** A file on this machine whose bytes it gets. */
  readonly source: string;
  /** The twelve bits of permissions. */
  readonly mode: number;
  /** Seconds since 1970. */
  readonly mtime: number;
}

const DOING = 'writing files into the data image';

/**
 * Writes the files, owned by root, and the directories they need (0755, root, the first file's mtime). A file
 * that is there is replaced; a directory that is there stays as it is. Everything is read back and compared.
 *
 * Fails with `no-space` before anything is changed where the files cannot fit, and with `tool-failed` where
 * something else came out than was asked for; the image is then not to be used.
 */
export async function writeFiles(
  image: string,
  files: readonly FileToWrite[],
  signal?: AbortSignal,
): Promise<Result<void>> {
  if (files.length === 0) return ok();
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  if (superblock.value.needsRecovery || !superblock.value.clean)
    return notAnImage(image, 'its file system was not unmounted properly: e2fsck first');

  const plan = await reading(image, (reader) => planWrites(reader, files, superblock.value));
  if (!plan.ok) return plan;
  const written = await editImage(image, plan.value.script, DOING, signal);
  if (!written.ok) return written;
  return reading(image, (reader) => compare(reader, files, plan.value, signal));
}

async function reading<T>(
  image: string,
  read: (reader: ImageReader) => Promise<Result<T>>,
): Promise<Result<T>> {
  const opened = await openImage(image);
  if (!opened.ok) return opened;
  try {
    return await read(opened.value);
  } finally {
    await opened.value.close();
  }
}

interface WritePlan {
  readonly script: readonly string[];
  /** Absolute, parents first. */
  readonly newDirectories: readonly string[];
}

async function planWrites(
  image: ImageReader,
  files: readonly FileToWrite[],
  superblock: Superblock,
): Promise<Result<WritePlan>> {
  const seen = new Map<string, Inode | undefined>();
  const look = async (path: string): Promise<Result<Inode | undefined>> => {
    if (seen.has(path)) return ok(seen.get(path));
    const found = await inodeAt(image, path);
    if (!found.ok && found.failure.reason !== 'not-in-image') return fail(found.failure);
    const status = found.ok ? found.value : undefined;
    seen.set(path, status);
    return ok(status);
  };
  const script: string[] = [];
  const newDirectories: string[] = [];
  let blocks = 0;
  let inodes = 0;
  for (const file of files) {
    if (/[\n\r\0]/.test(file.path + file.source))
      return wentWrong(`debugfs takes no line break in a name: ${JSON.stringify(file.path)}`);
    const names = file.path.split('/');
    if (names.some((name) => name === '' || name === '.' || name === '..'))
      throw new Error(`not a path on the partition: ${file.path}`);
    for (let depth = 1; depth < names.length; depth++) {
      const path = `/${names.slice(0, depth).join('/')}`;
      if (newDirectories.includes(path)) continue;
      const there = await look(path);
      if (!there.ok) return there;
      if (there.value !== undefined && there.value.type !== 'directory')
        return wentWrong(`${path} is a ${there.value.type}, and ${file.path} goes below it`);
      if (there.value !== undefined) continue;
      newDirectories.push(path);
      // Relative to the root, where debugfs starts.
      script.push(`mkdir ${quote(path.slice(1))}`);
      script.push(...setInode(path, 0o040755, file.mtime, superblock));
      blocks += 1;
      inodes += 1;
    }
    const path = `/${file.path}`;
    const there = await look(path);
    if (!there.ok) return there;
    if (there.value?.type === 'directory') return wentWrong(`${path} is a directory`);
    if (there.value !== undefined) script.push(`rm ${quote(path)}`);
    script.push(`write ${quote(resolve(file.source))} ${quote(file.path)}`);
    script.push(...setInode(path, 0o100000 | file.mode, file.mtime, superblock));
    const size = await sourceSize(file.source);
    if (!size.ok) return size;
    blocks += Math.ceil(size.value / superblock.blockSize);
    inodes += there.value === undefined ? 1 : 0;
    if (there.value?.type === 'file') blocks -= Math.floor(there.value.size / superblock.blockSize);
  }
  if (blocks > superblock.freeBlocks || inodes > superblock.freeInodes)
    return fail({
      reason: 'no-space',
      where: image.path,
      needed: blocks * superblock.blockSize,
      available: superblock.freeBlocks * superblock.blockSize,
    });
  return ok({ script, newDirectories });
}

/** debugfs leaves mode and times as they are on this machine, or now. */
function setInode(path: string, mode: number, mtime: number, superblock: Superblock): string[] {
  const set = (field: string, value: string): string =>
    `set_inode_field ${quote(path)} ${field} ${value}`;
  // Small inodes have no time of creation.
  const times = ['atime', 'ctime', 'mtime', ...(superblock.inodeSize >= 160 ? ['crtime'] : [])];
  return [
    set('mode', `0${mode.toString(8)}`),
    set('uid', '0'),
    set('gid', '0'),
    ...times.map((field) => set(field, `@${mtime}`)),
  ];
}

async function sourceSize(source: string): Promise<Result<number>> {
  try {
    return ok((await stat(source)).size);
  } catch (error) {
    return unreadable(source, error);
  }
}

async function compare(
  image: ImageReader,
  files: readonly FileToWrite[],
  plan: WritePlan,
  signal: AbortSignal = new AbortController().signal,
): Promise<Result<void>> {
  for (const path of plan.newDirectories) {
    const status = readBack(path, await inodeAt(image, path));
    if (!status.ok) return status;
    if (status.value.type !== 'directory' || !isAs(status.value, 0o755))
      return wentWrong(`${path} did not become a directory of root's with mode 0755`);
  }
  for (const file of files) {
    const path = `/${file.path}`;
    const status = readBack(path, await inodeAt(image, path));
    if (!status.ok) return status;
    if (status.value.type !== 'file' || !isAs(status.value, file.mode))
      return wentWrong(
        `${path} did not become a file of root's with mode ${file.mode.toString(8)}`,
      );
    if (status.value.mtime.seconds !== file.mtime)
      return wentWrong(
        `${path} has the time ${status.value.mtime.seconds} instead of ${file.mtime}`,
      );
    const written = readBack(path, await hashAt(image, path, signal));
    if (!written.ok) return written;
    const wanted = await hashSource(file.source);
    if (!wanted.ok) return wanted;
    if (written.value.sha256 !== wanted.value)
      return wentWrong(`${path} has other bytes than it got`);
  }
  return ok();
}

function isAs(status: Inode, mode: number): boolean {
  return status.mode === mode && status.uid === 0 && status.gid === 0;
}

function readBack<T>(path: string, read: Result<T, ReadFailure>): Result<T> {
  if (read.ok) return read;
  if (read.failure.reason === 'not-in-image') return wentWrong(`${path} is not there afterwards`);
  return fail(read.failure);
}

async function hashSource(source: string): Promise<Result<Digest>> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(source) as AsyncIterable<Buffer>) hash.update(chunk);
  } catch (error) {
    return unreadable(source, error);
  }
  return ok(digestFromHex(hash.digest('hex')));
}

function unreadable(source: string, error: unknown): Result<never> {
  return fail({
    reason: 'access-denied',
    path: source,
    doing: 'reading a file for the data image',
    detail: (error as Error).message,
  });
}

function wentWrong(detail: string): Result<never> {
  return fail({ reason: 'tool-failed', tool: 'debugfs', doing: DOING, detail });
}

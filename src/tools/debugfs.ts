import { createHash } from 'node:crypto';
import { basename, dirname } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { notAnImage } from './ext4-superblock.ts';
import type { CommandFailure } from './run-command.ts';
import { commandFailure, lastLines, streamCommand } from './run-command.ts';

/**
 * Reads files out of an ext4 image by e2fsprogs' debugfs: no root, no mount. Paths in an image are absolute.
 *
 * debugfs exits with 0 whatever happens and follows no symbolic link at a path's end when it lists; what it
 * says on standard error decides. A damaged image may still give wrong bytes: hash what matters.
 */

/** What is at a path in the image is not what was asked for. */
export interface NotInImage {
  readonly reason: 'not-in-image';
  readonly problem: 'missing' | 'not a directory' | 'not a file' | 'not a symbolic link';
  readonly path: string;
}

export type ReadFailure = Failure | NotInImage;

export type NodeType = 'file' | 'directory' | 'symlink' | 'character' | 'block' | 'fifo' | 'socket';

export interface ImageNode {
  readonly type: NodeType;
  /** The twelve bits of permissions. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for directories in a listing. */
  readonly size: number;
}

export interface DirectoryEntry extends ImageNode {
  /** Decoded as UTF-8; `bytes` is what the directory holds. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly inode: number;
}

export interface ImageNodeStatus extends ImageNode {
  /** Seconds since 1970. */
  readonly mtime: number;
}

/** The largest file that `readFile` takes. */
const READ_LIMIT = 256 * 1024 * 1024;

/** Without `.` and `..`, in the directory's own order. */
export async function listDirectory(
  image: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<DirectoryEntry[], ReadFailure>> {
  const said = await collect(image, `ls -p ${quote(path)}`, path, signal);
  return said.ok ? parseListing(image, path, said.value) : said;
}

/** A whole file of at most 256 MiB. */
export async function readFile(
  image: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<Buffer, ReadFailure>> {
  const status = await statPath(image, path, signal);
  if (!status.ok) return status;
  if (status.value.type !== 'file')
    return fail({ reason: 'not-in-image', problem: 'not a file', path });
  if (status.value.size > READ_LIMIT)
    return unexpected(path, `${path} has ${status.value.size} bytes, too many to read at once`);
  const bytes = await collect(image, `cat ${quote(path)}`, path, signal);
  if (!bytes.ok || bytes.value.length === status.value.size) return bytes;
  return unexpected(path, `${path}: ${bytes.value.length} bytes of ${status.value.size}`);
}

/** What a symbolic link holds; one of more than 59 bytes has it in a block, as a file has its bytes. */
export async function readLink(
  image: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<string, ReadFailure>> {
  const said = await collect(image, `stat ${quote(path)}`, path, signal);
  if (!said.ok) return said;
  const text = said.value.toString('utf8');
  if (!/ Type: symlink +Mode:/.test(text))
    return fail({ reason: 'not-in-image', problem: 'not a symbolic link', path });
  const fast = /^Fast link dest: "(.*)"$/ms.exec(text)?.[1];
  if (fast !== undefined) return ok(fast);
  const bytes = await collect(image, `cat ${quote(path)}`, path, signal);
  return bytes.ok ? ok(bytes.value.toString('utf8')) : bytes;
}

/**
 * A file of any size in pieces, in bounded memory. A directory's own bytes are given as readily as a file's:
 * list or stat first. What `onChunk` throws is thrown on.
 */
export async function streamFile(
  image: string,
  path: string,
  onChunk: (chunk: Buffer) => void,
  signal?: AbortSignal,
): Promise<Result<void, ReadFailure>> {
  return request(image, `cat ${quote(path)}`, path, onChunk, signal);
}

/** The size and sha256 of a file's bytes. */
export async function hashFile(
  image: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<{ readonly size: number; readonly sha256: Digest }, ReadFailure>> {
  const hash = createHash('sha256');
  let size = 0;
  const streamed = await streamFile(
    image,
    path,
    (chunk) => {
      hash.update(chunk);
      size += chunk.length;
    },
    signal,
  );
  return streamed.ok ? ok({ size, sha256: digestFromHex(hash.digest('hex')) }) : streamed;
}

const TYPES = new Map<string, NodeType>([
  ['regular', 'file'],
  ['directory', 'directory'],
  ['symlink', 'symlink'],
  ['character special', 'character'],
  ['block special', 'block'],
  ['FIFO', 'fifo'],
  ['socket', 'socket'],
]);

export async function statPath(
  image: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<ImageNodeStatus, ReadFailure>> {
  const said = await collect(image, `stat ${quote(path)}`, path, signal);
  if (!said.ok) return said;
  const text = said.value.toString('utf8');
  const type = TYPES.get(/ Type: (.+?) +Mode:/.exec(text)?.[1] ?? '');
  const mode = /Mode: +([0-7]+)/.exec(text)?.[1];
  const owner = /^User: +(\d+) +Group: +(\d+) .*?Size: (\d+)$/m.exec(text);
  // Below the colon: two bits of the seconds above 32, then nanoseconds.
  const mtime = /^ *mtime: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))?/m.exec(text);
  if (type === undefined || mode === undefined || owner === null || mtime === null)
    return unexpected(path, lastLines(text, 3));
  const epoch = parseInt(mtime[2] ?? '0', 16) & 3;
  return ok({
    type,
    mode: parseInt(mode, 8) & 0o7777,
    uid: Number(owner[1]),
    gid: Number(owner[2]),
    size: Number(owner[3]),
    mtime: (parseInt(mtime[1] ?? '0', 16) | 0) + epoch * 2 ** 32,
  });
}

/**
 * One argument of a debugfs command (e2fsprogs, lib/ss/parse.c): in double quotes only a double quote means
 * something, and two of them are one.
 */
export function quote(argument: string): string {
  return `"${argument.replaceAll('"', '""')}"`;
}

/** Where to run debugfs and how to name the image: e2fsprogs takes what follows a `?` in a name for options. */
export function nameImage(image: string): Result<{ readonly cwd: string; readonly name: string }> {
  const name = basename(image);
  if (name.includes('?')) return notAnImage(image, 'e2fsprogs reads no file with a ? in its name');
  return ok({ cwd: dirname(image), name: `./${name}` });
}

/** What debugfs said on standard error but its banner: empty when all went well. */
export function complaints(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^debugfs \d[\w.]* \(.*\)$/.test(line))
    .join('\n');
}

/** A failure to open the image, or undefined where debugfs complains of something else. */
export function openFailure(image: string, said: string): Result<never> | undefined {
  if (!/ while (trying to open|reading allocation bitmaps|opening filesystem)/.test(said))
    return undefined;
  if (/Permission denied/.test(said))
    return fail({
      reason: 'access-denied',
      path: image,
      doing: 'opening the data image',
      detail: lastLines(said, 1),
    });
  return notAnImage(
    image,
    /Bad magic number/.test(said) ? 'this is no ext4 file system' : lastLines(said, 1),
  );
}

async function collect(
  image: string,
  command: string,
  path: string,
  signal?: AbortSignal,
): Promise<Result<Buffer, ReadFailure>> {
  const chunks: Buffer[] = [];
  const done = await request(image, command, path, (chunk) => chunks.push(chunk), signal);
  return done.ok ? ok(Buffer.concat(chunks)) : done;
}

async function request(
  image: string,
  command: string,
  path: string,
  onChunk: (chunk: Buffer) => void,
  signal?: AbortSignal,
): Promise<Result<void, ReadFailure>> {
  if (!path.startsWith('/') || path.includes('\0'))
    throw new Error(`not a path in an image: ${JSON.stringify(path)}`);
  const named = nameImage(image);
  if (!named.ok) return named;
  const run = await streamCommand(
    'debugfs',
    ['-R', command, named.value.name],
    { cwd: named.value.cwd, signal },
    async (stdout) => {
      for await (const chunk of stdout as AsyncIterable<Buffer>) onChunk(chunk);
    },
  );
  if (!run.ok) return runFailure(image, run.failure);
  const said = complaints(run.value.stderr);
  if (said === '') return ok();
  const unopened = openFailure(image, said);
  if (unopened !== undefined) return unopened;
  if (/File not found by ext2_lookup/.test(said))
    return fail({ reason: 'not-in-image', problem: 'missing', path });
  if (/inode is not a directory/.test(said))
    return fail({ reason: 'not-in-image', problem: 'not a directory', path });
  return unexpected(path, lastLines(said, 3));
}

function runFailure(image: string, failure: CommandFailure): Result<never> {
  if (failure.reason === 'command-failed') {
    const unopened = openFailure(image, failure.stderr);
    if (unopened !== undefined) return unopened;
  }
  return fail(commandFailure(failure, 'reading the data image'));
}

function unexpected(path: string, detail: string): Result<never> {
  return fail({
    reason: 'tool-failed',
    tool: 'debugfs',
    doing: `reading ${path} in the data image`,
    detail,
  });
}

const MODE_TYPES = new Map<number, NodeType>([
  [0o10, 'file'],
  [0o4, 'directory'],
  [0o12, 'symlink'],
  [0o2, 'character'],
  [0o6, 'block'],
  [0o1, 'fifo'],
  [0o14, 'socket'],
]);

/**
 * `/inode/mode/uid/gid/name/size/` and a newline for each (debugfs/ls.c). A name may hold anything but a
 * slash, a newline too, so fields are counted and lines are not.
 */
function parseListing(
  image: string,
  path: string,
  listing: Buffer,
): Result<DirectoryEntry[], ReadFailure> {
  const fields = splitAtSlashes(listing);
  const entries: DirectoryEntry[] = [];
  for (let i = 1; i + 5 < fields.length; i += 7) {
    const record = fields.slice(i, i + 6);
    const [inode, mode, uid, gid] = record
      .slice(0, 4)
      .map((field, column) => parseInt(field.toString('latin1'), column === 1 ? 8 : 10));
    const bytes = record[4] ?? Buffer.alloc(0);
    const name = bytes.toString('utf8');
    const size = Number(record[5]?.toString('latin1') ?? '');
    const type = MODE_TYPES.get((mode ?? 0) >> 12);
    if (inode === 0) continue;
    if (type === undefined || ![inode, mode, uid, gid, size].every(Number.isSafeInteger))
      return notAnImage(image, `the directory ${path} is damaged`);
    if (name === '.' || name === '..') continue;
    entries.push({
      name,
      bytes,
      inode: inode ?? 0,
      type,
      mode: (mode ?? 0) & 0o7777,
      uid: uid ?? 0,
      gid: gid ?? 0,
      size,
    });
  }
  return ok(entries);
}

function splitAtSlashes(bytes: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  let start = 0;
  for (;;) {
    const slash = bytes.indexOf(0x2f, start);
    if (slash < 0) return [...fields, bytes.subarray(start)];
    fields.push(bytes.subarray(start, slash));
    start = slash + 1;
  }
}

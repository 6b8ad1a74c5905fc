import { createHash } from 'node:crypto';
import type { Digest } from '../../model/digest.ts';
import { digestFromHex } from '../../model/digest.ts';
import type { Failure } from '../../model/failure.ts';
import { interruption } from '../../model/file-failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { ImageReader } from './image-reader.ts';
import type { Inode, InodeType } from './inode.ts';

/**
 * What lies at a path in an image: paths are absolute there, in UTF-8, and links in them are followed within the image,
 * but not the last part.
 */

/** What is at a path in the image is not what was asked for. */
export interface NotInImage {
  readonly reason: 'not-in-image';
  readonly problem: 'missing' | `not a ${InodeType}`;
  readonly path: string;
}

export type ReadFailure = Failure | NotInImage;

export interface DirectoryEntry extends Inode {
  /** Decoded as UTF-8; `bytes` is what the directory holds. */
  readonly name: string;
  readonly bytes: Buffer;
}

export async function inodeAt(
  image: ImageReader,
  path: string,
  type?: InodeType,
): Promise<Result<Inode, ReadFailure>> {
  const found = await image.lookUp(Buffer.from(path), 'keep');
  if (!found.ok) return found;
  if (found.value === undefined) return fail({ reason: 'not-in-image', problem: 'missing', path });
  if (type !== undefined && found.value.type !== type)
    return fail({ reason: 'not-in-image', problem: `not a ${type}`, path });
  return ok(found.value);
}

/** Without `.` and `..`, in the directory's own order. */
export async function listAt(
  image: ImageReader,
  path: string,
): Promise<Result<DirectoryEntry[], ReadFailure>> {
  const directory = await inodeAt(image, path, 'directory');
  if (!directory.ok) return directory;
  const entries: DirectoryEntry[] = [];
  for await (const listed of image.list(directory.value)) {
    if (!listed.ok) return listed;
    const inode = await image.inode(listed.value.inode);
    if (!inode.ok) return inode;
    const { name: bytes } = listed.value;
    entries.push({ ...inode.value, name: bytes.toString('utf8'), bytes });
  }
  return ok(entries);
}

/** A whole file, where it has no more than `limit` bytes; else `image-corrupt`, as it should have been small. */
export async function readAt(
  image: ImageReader,
  path: string,
  limit: number,
): Promise<Result<Buffer, ReadFailure>> {
  const file = await inodeAt(image, path, 'file');
  if (!file.ok) return file;
  if (file.value.size > limit)
    return fail({
      reason: 'image-corrupt',
      image: image.path,
      detail: `${path} has ${file.value.size} bytes, more than ${limit}`,
    });
  const pieces: Buffer[] = [];
  for await (const piece of image.readFile(file.value)) {
    if (!piece.ok) return piece;
    pieces.push(Buffer.from(piece.value));
  }
  return ok(Buffer.concat(pieces));
}

/** The size and sha256 of a file's bytes; stops between pieces where `signal` says so. */
export async function hashAt(
  image: ImageReader,
  path: string,
  signal: AbortSignal,
): Promise<Result<{ readonly size: number; readonly sha256: Digest }, ReadFailure>> {
  const file = await inodeAt(image, path, 'file');
  if (!file.ok) return file;
  const hash = createHash('sha256');
  for await (const piece of image.readFile(file.value)) {
    if (!piece.ok) return piece;
    if (signal.aborted) return fail(interruption(signal));
    hash.update(piece.value);
  }
  return ok({ size: file.value.size, sha256: digestFromHex(hash.digest('hex')) });
}

export async function linkAt(
  image: ImageReader,
  path: string,
): Promise<Result<string, ReadFailure>> {
  const link = await inodeAt(image, path, 'symlink');
  if (!link.ok) return link;
  const target = await image.readLink(link.value);
  return target.ok ? ok(target.value.toString('utf8')) : target;
}

import { damaged, unsupported } from './damage.ts';
import { inlineParts } from './inline-data.ts';
import type { RawInode } from './inode.ts';
import { pointersOf } from './inode.ts';
import { runsOf } from './runs.ts';
import type { Volume } from './volume.ts';

/** Bytes of a file from `start` up to, but not including, `end`. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** Bytes read at once. */
const PIECE = 1024 * 1024;
const MOST_BLOCKS = 2 ** 32;
const ZEROS = Buffer.alloc(PIECE);
const LONGEST_TARGET = 4096;

/**
 * What a file holds, in pieces of at most 1 MiB; holes are zeros, and share one buffer. While a piece is looked at,
 * the next one is read.
 */
export async function* contentOf(
  volume: Volume,
  inode: RawInode,
  stretch: Stretch,
): AsyncGenerator<Buffer> {
  checkReadable(volume, inode);
  const { size } = inode.facts;
  const start = Math.max(stretch.start, 0);
  const end = Math.min(stretch.end, size);
  if (start >= end) return;
  if (inode.inline) {
    yield inlineContent(inode).subarray(start, end);
    return;
  }
  let ahead: Promise<Buffer> | undefined;
  for await (const piece of piecesOf(volume, inode, { start, end })) {
    const next = readPiece(volume, piece);
    // Its failure is told when its turn comes, if it does.
    next.catch(() => undefined);
    if (ahead !== undefined) yield await ahead;
    ahead = next;
  }
  if (ahead !== undefined) yield await ahead;
}

/** A stretch of a file's bytes: where in the file system they lie, in bytes from its start, or `at` absent in holes. */
export interface Placed {
  readonly length: number;
  readonly at?: number;
}

/** Where a file's bytes lie, in their order; undefined where that is in its inode. */
export async function placesOf(
  volume: Volume,
  inode: RawInode,
): Promise<readonly Placed[] | undefined> {
  checkReadable(volume, inode);
  if (inode.inline) return undefined;
  const places: Placed[] = [];
  const { blockSize } = volume.superblock;
  for await (const { length, block, offset } of piecesOf(volume, inode, {
    start: 0,
    end: inode.facts.size,
  }))
    places.push(block === undefined ? { length } : { length, at: block * blockSize + offset });
  return places;
}

function checkReadable(volume: Volume, inode: RawInode): void {
  if (inode.encrypted) throw unsupported('encrypt');
  if (inode.verity) throw unsupported('verity');
  const { size } = inode.facts;
  if (!inode.inline && size > MOST_BLOCKS * volume.superblock.blockSize)
    throw damaged(`inode ${inode.number} is said to hold ${size} bytes`);
}

/** Where a symbolic link leads. */
export async function targetOf(volume: Volume, inode: RawInode): Promise<Buffer> {
  const { size } = inode.facts;
  if (inode.encrypted) throw unsupported('encrypt');
  if (size === 0 || size > Math.min(LONGEST_TARGET, volume.superblock.blockSize))
    throw damaged(`the symbolic link of inode ${inode.number} is said to have ${size} bytes`);
  const target = isFastLink(volume, inode)
    ? Buffer.from(pointersOf(inode).subarray(0, size))
    : await wholeContent(volume, inode);
  if (target.length !== size || target.includes(0))
    throw damaged(`the symbolic link of inode ${inode.number} has a NUL in it`);
  return target;
}

/** For content whose size was looked at. */
export async function wholeContent(volume: Volume, inode: RawInode): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of contentOf(volume, inode, { start: 0, end: Infinity }))
    pieces.push(piece);
  return Buffer.concat(pieces);
}

/** As Linux' `ext4_inode_is_fast_symlink`: what takes no blocks for content has it in place of their numbers. */
function isFastLink(volume: Volume, inode: RawInode): boolean {
  if (inode.inline || inode.extents || inode.facts.size >= pointersOf(inode).length) return false;
  const { features, blockSize } = volume.superblock;
  if (features.has('ea_inode')) return true;
  return (
    inode.facts.allocated === 0 || (inode.xattrBlock !== 0 && inode.facts.allocated <= blockSize)
  );
}

function inlineContent(inode: RawInode): Buffer {
  const content = Buffer.concat(inlineParts(inode));
  if (content.length < inode.facts.size)
    throw damaged(
      `inode ${inode.number} has ${content.length} bytes of inline data, and is said to have ${inode.facts.size}`,
    );
  return content;
}

/** `block` is absent in holes; `offset` counts from its start. */
interface Piece {
  readonly length: number;
  readonly block?: number;
  readonly offset: number;
}

async function* piecesOf(
  volume: Volume,
  inode: RawInode,
  { start, end }: Stretch,
): AsyncGenerator<Piece> {
  const { blockSize } = volume.superblock;
  const wanted = { from: Math.floor(start / blockSize), to: Math.ceil(end / blockSize) };
  let position = start;
  for await (const run of runsOf(volume, inode, wanted)) {
    const runStart = run.logical * blockSize;
    const runEnd = Math.min(runStart + run.count * blockSize, end);
    for (const length of lengths(position, runStart)) {
      yield { length, offset: 0 };
      position += length;
    }
    for (const length of lengths(position, runEnd)) {
      yield { length, block: run.physical, offset: position - runStart };
      position += length;
    }
  }
  for (const length of lengths(position, end)) yield { length, offset: 0 };
}

function* lengths(from: number, to: number): Generator<number> {
  for (let position = from; position < to; position += PIECE) yield Math.min(PIECE, to - position);
}

async function readPiece(volume: Volume, { length, block, offset }: Piece): Promise<Buffer> {
  if (block === undefined) return ZEROS.subarray(0, length);
  const bytes = Buffer.allocUnsafeSlow(length);
  await volume.readInto(bytes, block, offset);
  return bytes;
}

import { crc32c } from '../format/crc32c.ts';
import { BlockSet } from './block-set.ts';
import { damaged, unsupported } from './damage.ts';
import { inlineParts } from './inline-data.ts';
import type { InodeType, RawInode } from './inode.ts';
import { typeListed } from './inode.ts';
import { runsOf } from './runs.ts';
import type { Superblock } from './superblock.ts';
import type { Volume } from './volume.ts';

/** A name in a directory. */
export interface Listed {
  readonly name: Buffer;
  readonly inode: number;
  /** Absent where the file system keeps no types with names. */
  readonly type?: InodeType;
}

const HEADER = 8;
const LEAST = 12;
const LONGEST_NAME = 255;
const TAIL = { length: 12, type: 0xde } as const;
const INLINE_PARENT = 4;
const SLASH = 0x2f;

/**
 * The names in a directory, `.` and `..` aside, in the order in which they lie there (Linux,
 * Documentation/filesystems/ext4/directory.rst). Nodes of a hash tree look like blocks with no names. `met` are the
 * blocks of directories that were read before: none belongs to two.
 */
export async function* namesIn(
  volume: Volume,
  directory: RawInode,
  met = new BlockSet(),
): AsyncGenerator<Listed> {
  if (directory.encrypted) throw unsupported('encrypt');
  if (directory.inline) {
    const [first, second] = inlineParts(directory);
    for (const part of [first.subarray(INLINE_PARENT), second])
      yield* parseNames(volume.superblock, directory, part);
    return;
  }
  const { blockSize } = volume.superblock;
  const count = blocksOf(volume, directory);
  let next = 0;
  for await (const run of runsOf(volume, directory, { from: 0, to: count })) {
    if (run.logical !== next) break;
    for (let i = 0; i < run.count; i += 1) {
      if (!met.add(run.physical + i))
        throw damaged(`block ${run.physical + i} belongs to a directory twice`);
      const block = await directoryBlock(volume, directory, next, run.physical + i);
      yield* parseNames(volume.superblock, directory, block.subarray(0, blockSize));
      next += 1;
    }
  }
  if (next < count) throw damaged(`directory inode ${directory.number} has a hole`);
}

/** How many blocks a directory that is not inline says it has: at least one, at most as many as there are. */
export function blocksOf(volume: Volume, directory: RawInode): number {
  const { blockSize, blocks } = volume.superblock;
  const count = directory.facts.size / blockSize;
  if (!Number.isInteger(count) || count === 0 || count > blocks)
    throw damaged(
      `directory inode ${directory.number} is said to have ${directory.facts.size} bytes`,
    );
  return count;
}

/** A block whose checksum, if it has one, is right. `logical` is its place in the directory. */
export async function directoryBlock(
  volume: Volume,
  directory: RawInode,
  logical: number,
  physical: number,
): Promise<Buffer> {
  const block = await volume.block(physical, `directory inode ${directory.number}`);
  if (volume.superblock.checksums !== 'crc32c') return block;
  const wrong = damaged(
    `block ${logical} of directory inode ${directory.number} has a wrong checksum`,
  );
  const countAt = directory.indexed ? indexCountAt(block, logical) : undefined;
  if (countAt === undefined) {
    const tail = block.length - TAIL.length;
    if (
      block.readUInt32LE(tail) !== 0 ||
      block.readUInt16LE(tail + 4) !== TAIL.length ||
      block.readUInt8(tail + 7) !== TAIL.type ||
      crc32c(directory.checksumSeed, block.subarray(0, tail)) !== block.readUInt32LE(tail + 8)
    )
      throw wrong;
    return block;
  }
  const limit = block.readUInt16LE(countAt);
  const count = block.readUInt16LE(countAt + 2);
  const tail = countAt + limit * 8;
  if (count > limit || tail + 8 > block.length) throw wrong;
  const sum = [
    block.subarray(0, countAt + count * 8),
    block.subarray(tail, tail + 4),
    Buffer.alloc(4),
  ].reduce(crc32c, directory.checksumSeed);
  if (sum !== block.readUInt32LE(tail + 4)) throw wrong;
  return block;
}

/** Where a node of a hash tree has its limit and count; undefined for a block of names. */
export function indexCountAt(block: Buffer, logical: number): number | undefined {
  const whole = lengthOf(block, 0);
  // A node below the root is one unused entry.
  if (block.readUInt32LE(0) === 0 && whole === block.length && block.readUInt8(6) === 0) return 8;
  if (logical !== 0 || whole !== LEAST) return undefined;
  const infoLength = block.readUInt8(0x1d);
  return lengthOf(block, LEAST) === block.length - LEAST && infoLength === 8 ? 0x20 : undefined;
}

export function* parseNames(
  superblock: Superblock,
  directory: RawInode,
  block: Buffer,
): Generator<Listed> {
  const wrong = (what: string): Error =>
    damaged(`directory inode ${directory.number} has an entry ${what}`);
  for (let at = 0; at < block.length;) {
    if (at + HEADER > block.length) throw wrong('that is cut off');
    const length = lengthOf(block, at);
    const inode = block.readUInt32LE(at);
    const typed = superblock.features.has('filetype');
    const nameLength = typed ? block.readUInt8(at + 6) : block.readUInt16LE(at + 6);
    if (length < LEAST || length % 4 !== 0 || at + length > block.length)
      throw wrong(`of ${length} bytes`);
    if (inode !== 0) {
      if (nameLength > LONGEST_NAME || HEADER + nameLength > length || nameLength === 0)
        throw wrong(`with a name of ${nameLength} bytes`);
      const name = block.subarray(at + HEADER, at + HEADER + nameLength);
      if (name.includes(0) || name.includes(SLASH)) throw wrong('with a NUL or slash in its name');
      if (inode > superblock.inodes) throw wrong(`of inode ${inode}`);
      const type = typed ? typeListed(block.readUInt8(at + 7)) : undefined;
      if (!isDots(name)) {
        if (inode < superblock.firstInode) throw wrong(`of inode ${inode}`);
        yield { name: Buffer.from(name), inode, ...(type === undefined ? {} : { type }) };
      }
    }
    at += length;
  }
}

/** In blocks of 64 KiB the two low bits are the high ones of a length. */
function lengthOf(block: Buffer, at: number): number {
  const length = block.readUInt16LE(at + 4);
  if (block.length < 65536) return length;
  if (length === 0 || length === 65535) return block.length;
  return (length & 65532) | ((length & 3) << 16);
}

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

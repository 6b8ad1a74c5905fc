import { crc32c } from '../format/crc32c.ts';
import { damaged } from './damage.ts';
import type { RawInode } from './inode.ts';
import { pointersOf } from './inode.ts';
import type { Range, Run } from './runs.ts';
import type { Volume } from './volume.ts';

const MAGIC = 0xf30a;
const DEEPEST = 5;
const HEADER = 12;
const ENTRY = 12;
const TAIL = 4;
const LONGEST = 32768;
const END = 2 ** 32;

/**
 * What an extent tree maps of `wanted`, in order (Linux, Documentation/filesystems/ext4/ifork.rst). A node's entries
 * must ascend and lie in the range that its parent gives it, and depths must fall: so no node is met twice.
 */
export function extentRuns(volume: Volume, inode: RawInode, wanted: Range): AsyncGenerator<Run> {
  const root = pointersOf(inode);
  return nodeRuns(volume, inode, root, root.readUInt16LE(6), { from: 0, to: END }, wanted);
}

async function* nodeRuns(
  volume: Volume,
  inode: RawInode,
  node: Buffer,
  depth: number,
  range: Range,
  wanted: Range,
): AsyncGenerator<Run> {
  const count = entriesOf(node, depth, inode);
  let position = range.from;
  for (let i = 0; i < count; i += 1) {
    const at = HEADER + i * ENTRY;
    const first = node.readUInt32LE(at);
    if (first < position || first >= range.to) throw wrong(inode, 'its entries are out of order');
    if (depth === 0) {
      const run = readExtent(node, at);
      if (run.count === 0) throw wrong(inode, 'an extent is empty');
      position = first + run.count;
      if (position > range.to) throw wrong(inode, 'its entries overlap');
      volume.check(run.physical, run.count, `part of inode ${inode.number}`);
      if (position <= wanted.from || run.unwritten) continue;
      if (first >= wanted.to) return;
      yield run;
    } else {
      position = first + 1;
      const to = i + 1 < count ? node.readUInt32LE(at + ENTRY) : range.to;
      if (to <= wanted.from) continue;
      if (first >= wanted.to) return;
      const child = await readNode(volume, inode, node, at);
      yield* nodeRuns(volume, inode, child, depth - 1, { from: first, to }, wanted);
    }
  }
}

function entriesOf(node: Buffer, depth: number, inode: RawInode): number {
  const count = node.readUInt16LE(2);
  const room = node.readUInt16LE(4);
  if (node.readUInt16LE(0) !== MAGIC) throw wrong(inode, 'a node is none');
  if (node.readUInt16LE(6) !== depth || depth > DEEPEST)
    throw wrong(inode, `a node of depth ${depth} says that it is of depth ${node.readUInt16LE(6)}`);
  if (count > room || HEADER + room * ENTRY > node.length)
    throw wrong(inode, `a node has ${count} entries and room for ${room}`);
  return count;
}

function readExtent(node: Buffer, at: number): Run & { readonly unwritten: boolean } {
  const length = node.readUInt16LE(at + 4);
  // Linux marks what is allocated and was never written by the upper bit.
  const unwritten = length > LONGEST;
  return {
    logical: node.readUInt32LE(at),
    count: unwritten ? length - LONGEST : length,
    physical: node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32,
    unwritten,
  };
}

async function readNode(
  volume: Volume,
  inode: RawInode,
  parent: Buffer,
  at: number,
): Promise<Buffer> {
  const number = parent.readUInt32LE(at + 4) + parent.readUInt16LE(at + 8) * 2 ** 32;
  const node = await volume.block(number, `the extent tree of inode ${inode.number}`);
  if (volume.superblock.checksums !== 'crc32c') return node;
  // The checksum follows the last entry that there is room for.
  const tail = HEADER + node.readUInt16LE(4) * ENTRY;
  if (
    tail + TAIL > node.length ||
    crc32c(inode.checksumSeed, node.subarray(0, tail)) !== node.readUInt32LE(tail)
  )
    throw wrong(inode, `block ${number} has a wrong checksum`);
  return node;
}

function wrong(inode: RawInode, what: string): Error {
  return damaged(`the extent tree of inode ${inode.number}: ${what}`);
}

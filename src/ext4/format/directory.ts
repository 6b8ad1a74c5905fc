import { crc32c } from './crc32c.ts';

/**
 * The blocks of directories (Linux, Documentation/filesystems/ext4/directory.rst): lists of names, each block with its
 * checksum in what looks like an unused entry at its end, and the nodes of the tree that finds one by a name's hash.
 */
export const DIRECTORY = { entry: 8, tail: 12, longestName: 255 } as const;
const TAIL_TYPE = 0xde;
const HALF_MD4 = 1;

/** Where the nodes' pairs of hash and block begin, and what a pair and a node's checksum take. */
const ROOT_ITEMS_AT = 32;
const NODE_ITEMS_AT = 8;
const ITEM = 8;

export interface IndexItem {
  /** The least hash in what it points to; with bit 0 set, more of the hash that the one before ends with. */
  readonly hash: number;
  /** Counted in the directory. */
  readonly block: number;
}

/** Bytes that an entry needs. */
export function entryLength(nameLength: number): number {
  return (DIRECTORY.entry + nameLength + 3) & ~3;
}

export function writeDirectoryEntry(
  block: Buffer,
  at: number,
  entry: {
    readonly inode: number;
    readonly length: number;
    readonly listed: number;
    readonly name: Uint8Array;
  },
): void {
  block.writeUInt32LE(entry.inode, at);
  setEntryLength(block, at, entry.length);
  block.writeUInt8(entry.name.length, at + 6);
  block.writeUInt8(entry.listed, at + 7);
  block.set(entry.name, at + DIRECTORY.entry);
}

/** The last entry of a block reaches up to the tail. */
export function setEntryLength(block: Buffer, at: number, length: number): void {
  block.writeUInt16LE(length, at + 4);
}

/** Bytes for entries. */
export function listCapacity(blockSize: number): number {
  return blockSize - DIRECTORY.tail;
}

/** `seed` is the directory's. */
export function sealListBlock(block: Buffer, seed: number): void {
  const at = listCapacity(block.length);
  block.writeUInt32LE(0, at);
  block.writeUInt16LE(DIRECTORY.tail, at + 4);
  block.writeUInt16LE(TAIL_TYPE << 8, at + 6);
  block.writeUInt32LE(crc32c(seed, block.subarray(0, at)), at + 8);
}

export function rootCapacity(blockSize: number): number {
  return (blockSize - ROOT_ITEMS_AT) / ITEM - 1;
}

export function nodeCapacity(blockSize: number): number {
  return (blockSize - NODE_ITEMS_AT) / ITEM - 1;
}

/** The first block of an indexed directory; `levels` is 1 where its items point to nodes. */
export function encodeIndexRoot(
  blockSize: number,
  directory: { readonly inode: number; readonly parent: number; readonly directoryType: number },
  items: readonly IndexItem[],
  levels: 0 | 1,
  seed: number,
): Buffer {
  const block = Buffer.alloc(blockSize);
  const { inode, parent, directoryType: listed } = directory;
  // Who knows no index sees a block with these two names and nothing else.
  writeDirectoryEntry(block, 0, { inode, length: 12, listed, name: DOT });
  writeDirectoryEntry(block, 12, { inode: parent, length: blockSize - 12, listed, name: DOT_DOT });
  block.writeUInt8(HALF_MD4, 28);
  block.writeUInt8(8, 29);
  block.writeUInt8(levels, 30);
  writeItems(block, ROOT_ITEMS_AT, rootCapacity(blockSize), items, seed);
  return block;
}

export function encodeIndexNode(
  blockSize: number,
  items: readonly IndexItem[],
  seed: number,
): Buffer {
  const block = Buffer.alloc(blockSize);
  setEntryLength(block, 0, blockSize);
  writeItems(block, NODE_ITEMS_AT, nodeCapacity(blockSize), items, seed);
  return block;
}

export const DOT = Buffer.from('.');
export const DOT_DOT = Buffer.from('..');

/** Where the first item's hash would be stand the most items there can be, and how many there are. */
function writeItems(
  block: Buffer,
  at: number,
  most: number,
  items: readonly IndexItem[],
  seed: number,
): void {
  items.forEach(({ hash, block: target }, i) => {
    block.writeUInt32LE(hash, at + i * ITEM);
    block.writeUInt32LE(target, at + i * ITEM + 4);
  });
  block.writeUInt16LE(most, at);
  block.writeUInt16LE(items.length, at + 2);
  const used = block.subarray(0, at + items.length * ITEM);
  // The checksum counts what is in use and its own eight bytes, as zero.
  const sum = crc32c(crc32c(seed, used), Buffer.alloc(ITEM));
  block.writeUInt32LE(sum, at + most * ITEM + 4);
}

import { crc32c } from './crc32c.ts';

/** A node of the tree that says where a file's blocks lie (Linux, Documentation/filesystems/ext4/ifork.rst). */
export const EXTENT = {
  header: 12,
  /** An extent in a leaf, or what points to a node below. */
  item: 12,
  tail: 4,
  /** Blocks of one extent. */
  longest: 32768,
} as const;
const MAGIC = 0xf30a;

export interface Extent {
  /** The first block, counted in the file. */
  readonly logical: number;
  /** Where that lies. */
  readonly physical: number;
  readonly length: number;
}

/** How many items a node of `size` bytes holds: 4 in the inode itself, which has no checksum of its own. */
export function itemsIn(size: number): number {
  return Math.floor((size - EXTENT.header) / EXTENT.item);
}

export function writeExtentHeader(
  node: Buffer,
  header: { readonly count: number; readonly most: number; readonly depth: number },
): void {
  node.writeUInt16LE(MAGIC, 0);
  node.writeUInt16LE(header.count, 2);
  node.writeUInt16LE(header.most, 4);
  node.writeUInt16LE(header.depth, 6);
  node.writeUInt32LE(0, 8);
}

export function readExtentHeader(node: Buffer): { readonly count: number; readonly depth: number } {
  return { count: node.readUInt16LE(2), depth: node.readUInt16LE(6) };
}

/** `index` counts items. */
export function writeExtent(node: Buffer, index: number, extent: Extent): void {
  const at = EXTENT.header + index * EXTENT.item;
  node.writeUInt32LE(extent.logical, at);
  node.writeUInt16LE(extent.length, at + 4);
  node.writeUInt16LE(Math.floor(extent.physical / 2 ** 32), at + 6);
  node.writeUInt32LE(extent.physical % 2 ** 32, at + 8);
}

export function readExtent(node: Buffer, index: number): Extent {
  const at = EXTENT.header + index * EXTENT.item;
  return {
    logical: node.readUInt32LE(at),
    length: node.readUInt16LE(at + 4),
    physical: node.readUInt16LE(at + 6) * 2 ** 32 + node.readUInt32LE(at + 8),
  };
}

/** What points to the node in the block `child`, in which `logical` is the first that anything is said of. */
export function writeExtentIndex(
  node: Buffer,
  index: number,
  { logical, child }: { readonly logical: number; readonly child: number },
): void {
  const at = EXTENT.header + index * EXTENT.item;
  node.writeUInt32LE(logical, at);
  node.writeUInt32LE(child % 2 ** 32, at + 4);
  node.writeUInt16LE(Math.floor(child / 2 ** 32), at + 8);
  node.writeUInt16LE(0, at + 10);
}

export function readExtentIndex(node: Buffer, index: number): number {
  const at = EXTENT.header + index * EXTENT.item;
  return node.readUInt16LE(at + 8) * 2 ** 32 + node.readUInt32LE(at + 4);
}

/** A node that is a block of its own: its checksum is behind the last item it could hold. */
export function sealExtentBlock(node: Buffer, seed: number): void {
  const at = EXTENT.header + itemsIn(node.length) * EXTENT.item;
  node.writeUInt32LE(crc32c(seed, node.subarray(0, at)), at);
}

import { crc32c, crc32cOfNumber } from './crc32c.ts';

/** What stands of a group in the table of groups, 64 bytes (Linux, Documentation/filesystems/ext4/group_descr.rst). */
export interface GroupDescriptor {
  /** Blocks. */
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly directories: number;
  /** At the end of the table: inodes that were never in use. */
  readonly unusedInodes: number;
  /** `GROUP` bits. */
  readonly flags: number;
  readonly blockBitmapChecksum: number;
  readonly inodeBitmapChecksum: number;
}

export const GROUP = { inodesUninitialised: 1, blocksUninitialised: 2, tableZeroed: 4 } as const;
export const DESCRIPTOR_SIZE = 64;

/** `seed` is the file system's. */
export function encodeGroupDescriptor(
  descriptor: GroupDescriptor,
  group: number,
  seed: number,
): Buffer {
  const bytes = Buffer.alloc(DESCRIPTOR_SIZE);
  const wide = (value: number, at: number, highAt: number): void => {
    bytes.writeUInt32LE(value % 2 ** 32, at);
    bytes.writeUInt32LE(Math.floor(value / 2 ** 32), highAt);
  };
  const halves = (value: number, at: number, highAt: number): void => {
    bytes.writeUInt16LE(value & 0xffff, at);
    bytes.writeUInt16LE(value >>> 16, highAt);
  };
  wide(descriptor.blockBitmap, 0x0, 0x20);
  wide(descriptor.inodeBitmap, 0x4, 0x24);
  wide(descriptor.inodeTable, 0x8, 0x28);
  halves(descriptor.freeBlocks, 0xc, 0x2c);
  halves(descriptor.freeInodes, 0xe, 0x2e);
  halves(descriptor.directories, 0x10, 0x30);
  bytes.writeUInt16LE(descriptor.flags, 0x12);
  halves(descriptor.blockBitmapChecksum, 0x18, 0x38);
  halves(descriptor.inodeBitmapChecksum, 0x1a, 0x3a);
  halves(descriptor.unusedInodes, 0x1c, 0x32);
  // Its own field counts as zero, which it still is.
  bytes.writeUInt16LE(crc32c(crc32cOfNumber(seed, group), bytes) & 0xffff, 0x1e);
  return bytes;
}

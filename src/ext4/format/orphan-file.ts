import { crc32c } from './crc32c.ts';

/** A block of the file that lists inodes to be deleted when it is next mounted: an empty one. */
const MAGIC = 0x0b10ca04;

/** `seed` is the file's, `at` the block where it lies. */
export function encodeOrphanBlock(blockSize: number, at: number, seed: number): Buffer {
  const bytes = Buffer.alloc(blockSize);
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(at));
  bytes.writeUInt32LE(MAGIC, blockSize - 8);
  bytes.writeUInt32LE(
    crc32c(crc32c(seed, number), bytes.subarray(0, blockSize - 8)),
    blockSize - 4,
  );
  return bytes;
}

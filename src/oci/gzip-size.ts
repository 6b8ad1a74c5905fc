import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/**
 * The unpacked size that a gzip file states of itself, in bytes: modulo 2^32, and of its last member alone
 * (RFC 1952, ISIZE), so a lower bound. Undefined for what is no gzip file or can't be read.
 */
export function gzipSize(path: string): number | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const bytes = Buffer.alloc(4);
    const { size } = fstatSync(file);
    if (size < 18 || readSync(file, bytes, 0, 2, 0) !== 2 || bytes.readUInt16BE(0) !== 0x1f8b)
      return undefined;
    return readSync(file, bytes, 0, 4, size - 4) === 4 ? bytes.readUInt32LE(0) : undefined;
  } finally {
    closeSync(file);
  }
}

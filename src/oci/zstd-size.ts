import { closeSync, openSync, readSync } from 'node:fs';

/** The largest frame header: magic, descriptor, window, dictionary and content size (RFC 8878, 3.1.1). */
export const ZSTD_HEADER = 18;

/**
 * The unpacked size that the first frame of a zstd file states of itself, in bytes: a lower bound, as there may be
 * more frames. Undefined for what is no zstd file, can't be read, or was written by who did not know the size.
 */
export function zstdSize(path: string): number | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return undefined;
  }
  try {
    const bytes = Buffer.alloc(ZSTD_HEADER);
    const read = readSync(file, bytes, 0, ZSTD_HEADER, 0);
    return zstdFrameSize(bytes.subarray(0, read));
  } catch {
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** The same of a file's first bytes. RFC 8878, 3.1.1.1: what the descriptor's bits make of the bytes behind it. */
export function zstdFrameSize(bytes: Buffer): number | undefined {
  if (bytes.length < 6 || bytes.readUInt32LE(0) !== 0xfd2fb528) return undefined;
  const descriptor = bytes.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionary;
  const flag = descriptor >> 6;
  if (flag === 0 && !isSingleSegment) return undefined;
  const length = 1 << flag;
  if (bytes.length < at + length) return undefined;
  if (flag === 0) return bytes.readUInt8(at);
  if (flag === 1) return bytes.readUInt16LE(at) + 256;
  return flag === 2 ? bytes.readUInt32LE(at) : Number(bytes.readBigUInt64LE(at));
}

/**
 * CRC-32C (Castagnoli) as ext4 uses it: reflected, and neither the seed nor the result is inverted, so that sums can be
 * continued. Eight bytes at a time, by tables. zlib's crc32 is of another polynomial.
 */
const POLYNOMIAL = 0x82f63b78;
const T = makeTables();

/** The sum of `bytes` after those that gave `seed`; ext4 starts with 0xffffffff. */
export function crc32c(seed: number, bytes: Uint8Array): number {
  let crc = seed | 0;
  let at = 0;
  const length = bytes.length;
  for (const end = length - 7; at < end; at += 8) {
    const low =
      crc ^
      (get(bytes, at) |
        (get(bytes, at + 1) << 8) |
        (get(bytes, at + 2) << 16) |
        (get(bytes, at + 3) << 24));
    crc =
      get(T, 0x700 + (low & 0xff)) ^
      get(T, 0x600 + ((low >>> 8) & 0xff)) ^
      get(T, 0x500 + ((low >>> 16) & 0xff)) ^
      get(T, 0x400 + (low >>> 24)) ^
      get(T, 0x300 + get(bytes, at + 4)) ^
      get(T, 0x200 + get(bytes, at + 5)) ^
      get(T, 0x100 + get(bytes, at + 6)) ^
      get(T, get(bytes, at + 7));
  }
  for (; at < length; at += 1) crc = get(T, (crc ^ get(bytes, at)) & 0xff) ^ (crc >>> 8);
  return crc >>> 0;
}

/** The same of a number in 32 bits, little-endian: what ext4 mixes into its sums most. */
export function crc32cOfNumber(seed: number, value: number): number {
  let crc = seed | 0;
  for (let shift = 0; shift < 32; shift += 8)
    crc = get(T, (crc ^ (value >>> shift)) & 0xff) ^ (crc >>> 8);
  return crc >>> 0;
}

/** Every index is within its array: this spares a comparison for each byte. */
function get(array: Uint8Array | Int32Array, index: number): number {
  return array[index] as number;
}

function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i += 1) {
    const before = get(tables, i - 256);
    tables[i] = (before >>> 8) ^ get(tables, before & 0xff);
  }
  return tables;
}

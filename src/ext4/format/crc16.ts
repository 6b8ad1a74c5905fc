/**
 * CRC-16 with the polynomial 0x8005, reflected and never inverted: the checksum of group descriptors in file systems
 * with `uninit_bg` and no `metadata_csum`. ext4 starts with 0xffff.
 */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  return crc;
});

/** The sum of `bytes` after those that gave `seed`. */
export function crc16(seed: number, bytes: Uint8Array): number {
  let crc = seed & 0xffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (TABLE[(crc ^ byte) & 0xff] ?? 0);
  return crc;
}

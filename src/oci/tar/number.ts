/**
 * A numeric field of a tar header: octal digits between spaces and NULs, or, where its highest bit is set, a
 * big-endian number in two's complement (GNU's "base-256"). An empty one is 0. Undefined for what is neither, or beyond
 * the integers that a double holds.
 */
export function parseNumber(block: Uint8Array, start: number, length: number): number | undefined {
  const first = block[start] ?? 0;
  if (first >= 0x80) return parseBinary(block, start, length);
  const end = start + length;
  let at = start;
  while (at < end && isBlank(block[at] ?? 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const digit = (block[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  while (at < end && isBlank(block[at] ?? 0)) at++;
  return at === end && Number.isSafeInteger(value) ? value : undefined;
}

function parseBinary(block: Uint8Array, start: number, length: number): number | undefined {
  const first = block[start] ?? 0;
  // The topmost bit is the mark, the one below it the sign.
  const isNegative = (first & 0x40) !== 0;
  let value = isNegative ? (first & 0x7f) - 0x80 : first & 0x7f;
  for (let at = start + 1; at < start + length; at++) value = value * 256 + (block[at] ?? 0);
  return Number.isSafeInteger(value) ? value : undefined;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0;
}

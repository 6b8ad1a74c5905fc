import { createHash } from 'node:crypto';

/**
 * A UUID (RFC 9562, version 8) made of words: the same words, the same UUID. Images of one label have one UUID, release
 * after release, as `root=UUID=…` and fstab want it.
 */
export function derivedUuid(...words: readonly string[]): string {
  const bytes = createHash('sha256')
    .update(JSON.stringify(['stowage', ...words]))
    .digest();
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex', 0, 16);
  return [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ]
    .map(([start, end]) => hex.slice(start, end))
    .join('-');
}

/** In lower case, or undefined for what is none. */
export function parseUuid(text: string): string | undefined {
  const lower = text.toLowerCase();
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower) ? lower : undefined;
}

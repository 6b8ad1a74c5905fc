import { createHash } from 'node:crypto';

/** A UUID (RFC 9562, version 8) made of words: the same words, the same UUID. */
export function derivedUuid(...words: readonly string[]): string {
  const bytes = createHash('sha256')
    .update(JSON.stringify(['stowage', ...words]))
    .digest();
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes
    .toString('hex', 0, 16)
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** In lower case, or undefined for what is none. */
export function parseUuid(text: string): string | undefined {
  const lower = text.toLowerCase();
  return /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower) ? lower : undefined;
}

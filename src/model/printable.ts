/** A name or path for messages: UTF-8 where it is that, else its bytes, those beyond ASCII as `\\xff`. */
export function printable(name: Uint8Array): string {
  const bytes = Buffer.from(name.buffer, name.byteOffset, name.length);
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return text;
  return bytes
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

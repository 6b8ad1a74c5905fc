import type { Failure } from '../model/failure.ts';

/** Thrown by what yields a tree, since a stream has no other way to fail; `makeImage` makes a `Result` of it. */
export class TreeError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.reason);
  }
}

/** A name for messages: as UTF-8, and where it is none, its bytes as `\xff`. */
export function printable(name: Uint8Array): string {
  const text = Buffer.from(name.buffer, name.byteOffset, name.length).toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return Buffer.from(name.buffer, name.byteOffset, name.length)
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

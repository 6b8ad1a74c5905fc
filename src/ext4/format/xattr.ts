import { encodeAcl } from './acl.ts';
import { crc32c } from './crc32c.ts';

/**
 * Extended attributes (Linux, Documentation/filesystems/ext4/attributes.rst, fs/ext4/xattr.c): entries from the start
 * on, values from the end back; in what an inode has behind its fields, or in a block.
 */
export interface Xattr {
  /** What stands for the name's prefix. */
  readonly index: number;
  /** Without it. */
  readonly name: Buffer;
  readonly value: Uint8Array;
}

const MAGIC = 0xea020000;
const BODY_HEADER = 4;
const BLOCK_HEADER = 32;
const ENTRY = 16;
/** Four zero bytes end the entries. */
const END = 4;
const CHECKSUM_AT = 16;

/** A name that is all prefix comes first. */
const PREFIXES: readonly (readonly [string, number])[] = [
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
  ['system.', 7],
];
const LISTS: readonly number[] = [2, 3];

/**
 * In the order in which Linux looks for them in a block. A string says what of it can't be kept, as a phrase. Names are
 * latin1, a character a byte.
 */
export function parseXattrs(xattrs: ReadonlyMap<string, Uint8Array>): Xattr[] | string {
  const parsed: Xattr[] = [];
  for (const [full, value] of xattrs) {
    const prefix = PREFIXES.find(([text]) =>
      text.endsWith('.') ? full.startsWith(text) : full === text,
    );
    const quoted = JSON.stringify(full);
    if (prefix === undefined) return `no file system keeps an extended attribute ${quoted}`;
    const [text, index] = prefix;
    const name = Buffer.from(full.slice(text.length), 'latin1');
    const isList = LISTS.includes(index);
    if ((name.length === 0 && !isList) || name.includes(0))
      return `its extended attribute ${quoted} has no name`;
    if (name.length > 255)
      return `its extended attribute ${quoted} has a name of ${name.length} bytes after its prefix, and 255 are the most`;
    const kept = isList ? encodeAcl(value) : value;
    if (kept === undefined) return `its extended attribute ${quoted} is no access control list`;
    parsed.push({ index, name, value: kept });
  }
  return parsed.sort(
    (a, b) => a.index - b.index || a.name.length - b.name.length || Buffer.compare(a.name, b.name),
  );
}

export interface PlacedXattrs {
  /** `room` bytes that follow the inode's fields. */
  readonly body?: Buffer;
  /** Not sealed yet. */
  readonly block?: Buffer;
}

/** Those that fit into `room` bytes of the inode lie there, the others in a block. Undefined where that is too small. */
export function placeXattrs(
  xattrs: readonly Xattr[],
  room: number,
  blockSize: number,
): PlacedXattrs | undefined {
  const inside: Xattr[] = [];
  const outside: Xattr[] = [];
  let left = room - BODY_HEADER - END;
  for (const xattr of xattrs) {
    if (lengthOf(xattr) > left) outside.push(xattr);
    else {
      inside.push(xattr);
      left -= lengthOf(xattr);
    }
  }
  const needed = outside.reduce((sum, xattr) => sum + lengthOf(xattr), BLOCK_HEADER + END);
  if (outside.length > 0 && needed > blockSize) return undefined;
  return {
    ...(inside.length > 0 ? { body: encodeBody(inside, room) } : {}),
    ...(outside.length > 0 ? { block: encodeBlock(outside, blockSize) } : {}),
  };
}

/** `seed` is the file system's, `at` the block where it will lie. */
export function sealXattrBlock(block: Buffer, at: number, seed: number): void {
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(at));
  block.writeUInt32LE(0, CHECKSUM_AT);
  block.writeUInt32LE(crc32c(crc32c(seed, number), block), CHECKSUM_AT);
}

function lengthOf({ name, value }: Xattr): number {
  return padded(ENTRY + name.length) + padded(value.length);
}

function encodeBody(xattrs: readonly Xattr[], room: number): Buffer {
  const body = Buffer.alloc(room);
  body.writeUInt32LE(MAGIC, 0);
  // Positions count from the first entry here, and from the block's start there; hashes are for blocks alone.
  writeEntries(body, BODY_HEADER, BODY_HEADER, xattrs, () => 0);
  return body;
}

function encodeBlock(xattrs: readonly Xattr[], blockSize: number): Buffer {
  const block = Buffer.alloc(blockSize);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(1, 4);
  block.writeUInt32LE(1, 8);
  writeEntries(block, BLOCK_HEADER, 0, xattrs, hashOf);
  const hash = xattrs.reduce((sum, xattr) => (turn(sum, 16) ^ hashOf(xattr)) >>> 0, 0);
  block.writeUInt32LE(hash, 12);
  return block;
}

function writeEntries(
  bytes: Buffer,
  start: number,
  origin: number,
  xattrs: readonly Xattr[],
  hash: (xattr: Xattr) => number,
): void {
  let at = start;
  let end = bytes.length;
  for (const xattr of xattrs) {
    const { index, name, value } = xattr;
    end -= padded(value.length);
    bytes.writeUInt8(name.length, at);
    bytes.writeUInt8(index, at + 1);
    bytes.writeUInt16LE(value.length === 0 ? 0 : end - origin, at + 2);
    bytes.writeUInt32LE(value.length, at + 8);
    bytes.writeUInt32LE(hash(xattr), at + 12);
    bytes.set(name, at + ENTRY);
    bytes.set(value, end);
    at += padded(ENTRY + name.length);
  }
}

/** Over the bytes of the name, then the value in words of 32 bits, the last one filled with zeros. */
function hashOf({ name, value }: Xattr): number {
  let hash = 0;
  for (const byte of name) hash = turn(hash, 5) ^ byte;
  const words = Buffer.alloc(padded(value.length));
  words.set(value);
  for (let at = 0; at < words.length; at += 4) hash = turn(hash, 16) ^ words.readUInt32LE(at);
  return hash >>> 0;
}

function turn(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

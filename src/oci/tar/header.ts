import { parseNumber } from './number.ts';
import { TarError } from './tar-error.ts';

/**
 * One header block of a tar: the formats V7, ustar (IEEE Std 1003.1, pax), GNU's own ("Basic Tar Format" in its
 * manual) and star's. Nothing is decoded: names are bytes. Whatever is kept is copied.
 */
export interface Header {
  readonly format: 'v7' | 'ustar' | 'gnu' | 'star';
  /** One character. */
  readonly type: string;
  /** With ustar's prefix. */
  readonly name: Uint8Array;
  readonly linkTarget: Uint8Array;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that follow in the archive. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly atime: number | undefined;
  readonly ctime: number | undefined;
  readonly major: number;
  readonly minor: number;
}

export const BLOCK = 512;

/** Offsets and lengths of the fields. */
const FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  link: [157, 100],
  major: [329, 8],
  minor: [337, 8],
} as const;
const TYPE_AT = 156;
const MAGIC_AT = 257;
const PREFIX = { ustar: [345, 155], star: [345, 131] } as const;
const TIMES = {
  gnu: { atime: [345, 12], ctime: [357, 12] },
  star: { atime: [476, 12], ctime: [488, 12] },
} as const;

type Field = readonly [start: number, length: number];

/** Throws a `TarError` where a number is none or too large; the checksum is the caller's to look at first. */
export function parseHeader(block: Uint8Array, offset: number): Header {
  const format = formatOf(block);
  let name = text(block, FIELDS.name);
  const number = (field: Field, what: string): number => {
    const value = parseNumber(block, field[0], field[1]);
    if (value === undefined)
      throw new TarError(`its ${what} is no number, or too large`, offset, name);
    return value;
  };
  const positive = (field: Field, what: string): number => {
    const value = number(field, what);
    if (value < 0) throw new TarError(`its ${what} is negative`, offset, name);
    return value;
  };
  const times = format === 'gnu' || format === 'star' ? TIMES[format] : undefined;
  const atime = times && parseNumber(block, times.atime[0], times.atime[1]);
  const ctime = times && parseNumber(block, times.ctime[0], times.ctime[1]);
  // Go before 1.9 wrote ustar's prefix into GNU's headers, where the times are.
  const isMixed = format === 'gnu' && (atime === undefined || ctime === undefined);
  if (format === 'ustar' || isMixed) name = withPrefix(block, PREFIX.ustar, name);
  if (format === 'star') name = withPrefix(block, PREFIX.star, name);
  const type = String.fromCharCode(block[TYPE_AT] ?? 0);
  const hasDevice = format !== 'v7' && (type === '3' || type === '4');
  return {
    format,
    type,
    name,
    linkTarget: text(block, FIELDS.link),
    // Some writers put the type's bits of stat(2) there, too.
    mode: positive(FIELDS.mode, 'mode') % 0o10000,
    uid: positive(FIELDS.uid, 'owner'),
    gid: positive(FIELDS.gid, 'group'),
    size: positive(FIELDS.size, 'size'),
    mtime: number(FIELDS.mtime, 'time'),
    atime: isMixed || isUnset(block, times?.atime) ? undefined : atime,
    ctime: isMixed || isUnset(block, times?.ctime) ? undefined : ctime,
    major: hasDevice ? positive(FIELDS.major, 'device number') : 0,
    minor: hasDevice ? positive(FIELDS.minor, 'device number') : 0,
  };
}

/** True if the checksum is right, whether the bytes are summed as unsigned ones or, as ancient tars did, signed. */
export function isChecksumRight(block: Uint8Array): boolean {
  const [start, length] = FIELDS.checksum;
  const stated = parseNumber(block, start, length);
  if (stated === undefined) return false;
  let unsigned = length * 0x20;
  let negative = 0;
  for (let at = 0; at < BLOCK; at++) {
    if (at === start) at += length;
    const byte = block[at] ?? 0;
    unsigned += byte;
    if (byte >= 0x80) negative += 0x100;
  }
  return stated === unsigned || stated === unsigned - negative;
}

export function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/** `ustar\0` is POSIX's magic, `ustar  \0` GNU's; star has a mark at the block's end besides. */
function formatOf(block: Uint8Array): Header['format'] {
  if (!has(block, MAGIC_AT, USTAR)) return 'v7';
  if (has(block, MAGIC_AT, GNU)) return 'gnu';
  return has(block, 508, STAR) ? 'star' : 'ustar';
}

function withPrefix(block: Uint8Array, field: Field, name: Uint8Array): Uint8Array {
  const prefix = text(block, field);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

/** A field up to its first NUL, copied. */
function text(block: Uint8Array, [start, length]: Field): Uint8Array {
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return Buffer.from(block.subarray(start, end));
}

function isUnset(block: Uint8Array, field: Field | undefined): boolean {
  return field === undefined || block[field[0]] === 0;
}

const USTAR = Buffer.from('ustar');
const GNU = Buffer.from('ustar  \0');
const STAR = Buffer.from('tar\0');

function has(block: Uint8Array, start: number, bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (block[start + at] !== bytes[at]) return false;
  return true;
}

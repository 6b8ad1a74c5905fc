import type { Timestamp } from '../entry.ts';
import { crc32c, crc32cOfNumber } from './crc32c.ts';

/** An inode without its extended attributes (Linux, Documentation/filesystems/ext4/inodes.rst). */
export interface InodeFields {
  /** With the type's bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  readonly atime: Timestamp;
  readonly ctime: Timestamp;
  readonly mtime: Timestamp;
  readonly crtime: Timestamp;
  readonly links: number;
  /** Of 512 bytes each: what its content, the blocks of its extents and of its attributes take. */
  readonly sectors: number;
  /** `INODE_FLAG` bits. */
  readonly flags: number;
  /** 60 bytes at most: extents, a short link's target, a device's number. */
  readonly pointers: Uint8Array;
  /** The block of its extended attributes, or 0. */
  readonly xattrBlock: number;
}

/** The upper bits of the mode, and what directories call it. */
export const INODE_TYPE = {
  fifo: { mode: 0x1000, listed: 5 },
  'character device': { mode: 0x2000, listed: 3 },
  directory: { mode: 0x4000, listed: 2 },
  'block device': { mode: 0x6000, listed: 4 },
  file: { mode: 0x8000, listed: 1 },
  symlink: { mode: 0xa000, listed: 7 },
  socket: { mode: 0xc000, listed: 6 },
} as const;

export const INODE_FLAG = { indexed: 0x1000, extents: 0x80000 } as const;

/** Bytes of the fields that every inode has; of those that longer ones have too; of pointers. */
export const OLD_INODE = 128;
export const EXTRA_FIELDS = 32;
export const POINTERS = { at: 0x28, length: 60 } as const;
export const LONGEST_FAST_LINK = 59;
const CHECKSUM_LOW_AT = 0x7c;
const CHECKSUM_HIGH_AT = 0x82;

/** What 32 bits of seconds with a sign hold, and two more on top of them. */
export const EARLIEST = -(2 ** 31);
export const LATEST_OLD = 2 ** 31 - 1;
export const LATEST = EARLIEST + 2 ** 34 - 1;

/** Into `bytes`, all of whose fields it writes: 128 of them, or 160 with the fields of longer inodes. */
export function encodeInode(fields: InodeFields, bytes: Buffer): void {
  const hasExtra = bytes.length >= OLD_INODE + EXTRA_FIELDS;
  bytes.writeUInt16LE(fields.mode, 0x0);
  bytes.writeUInt16LE(fields.uid & 0xffff, 0x2);
  bytes.writeUInt16LE(fields.gid & 0xffff, 0x18);
  writeLinks(bytes, fields.links);
  writeContentFields(bytes, fields);
  bytes.writeUInt32LE(fields.xattrBlock % 2 ** 32, 0x68);
  bytes.writeUInt16LE(Math.floor(fields.xattrBlock / 2 ** 32), 0x76);
  bytes.writeUInt16LE(fields.uid >>> 16, 0x78);
  bytes.writeUInt16LE(fields.gid >>> 16, 0x7a);
  if (hasExtra) bytes.writeUInt16LE(EXTRA_FIELDS, 0x80);
  writeTime(bytes, fields.atime, 0x8, hasExtra ? 0x8c : undefined);
  writeTime(bytes, fields.ctime, 0xc, hasExtra ? 0x84 : undefined);
  writeTime(bytes, fields.mtime, 0x10, hasExtra ? 0x88 : undefined);
  if (hasExtra) writeTime(bytes, fields.crtime, 0x90, 0x94);
}

export function writeContentFields(
  bytes: Buffer,
  fields: Pick<InodeFields, 'size' | 'sectors' | 'flags' | 'pointers'>,
): void {
  bytes.writeUInt32LE(fields.size % 2 ** 32, 0x4);
  bytes.writeUInt32LE(fields.sectors % 2 ** 32, 0x1c);
  bytes.writeUInt32LE(fields.flags >>> 0, 0x20);
  bytes.fill(0, POINTERS.at, POINTERS.at + POINTERS.length);
  bytes.set(fields.pointers, POINTERS.at);
  bytes.writeUInt32LE(Math.floor(fields.size / 2 ** 32), 0x6c);
  bytes.writeUInt16LE(Math.floor(fields.sectors / 2 ** 32), 0x74);
}

export function writeLinks(bytes: Buffer, links: number): void {
  bytes.writeUInt16LE(links, 0x1a);
}

/** 0 for an inode that is not in use. `at` is where it begins in `bytes`. */
export function readLinks(bytes: Buffer, at = 0): number {
  return bytes.readUInt16LE(at + 0x1a);
}

/** With the type's bits. */
export function readMode(bytes: Buffer, at = 0): number {
  return bytes.readUInt16LE(at);
}

export function readFlags(bytes: Buffer): number {
  return bytes.readUInt32LE(0x20);
}

export function readSectors(bytes: Buffer): number {
  return bytes.readUInt16LE(0x74) * 2 ** 32 + bytes.readUInt32LE(0x1c);
}

export function readXattrBlock(bytes: Buffer): number {
  return bytes.readUInt16LE(0x76) * 2 ** 32 + bytes.readUInt32LE(0x68);
}

/** A view. */
export function readPointers(bytes: Buffer): Buffer {
  return bytes.subarray(POINTERS.at, POINTERS.at + POINTERS.length);
}

/** All of `bytes`, an inode as it lies in the table, with its checksum. `seed` is the file system's. */
export function sealInode(bytes: Buffer, number: number, seed: number): void {
  const isLong = bytes.length > OLD_INODE;
  bytes.writeUInt16LE(0, CHECKSUM_LOW_AT);
  if (isLong) bytes.writeUInt16LE(0, CHECKSUM_HIGH_AT);
  const sum = crc32c(inodeSeed(number, seed), bytes);
  bytes.writeUInt16LE(sum & 0xffff, CHECKSUM_LOW_AT);
  if (isLong) bytes.writeUInt16LE(sum >>> 16, CHECKSUM_HIGH_AT);
}

/** What the checksums of an inode and of everything that belongs to it start with: its generation is always 0. */
export function inodeSeed(number: number, seed: number): number {
  return crc32cOfNumber(crc32cOfNumber(seed, number), 0);
}

/** The two forms of a device's number that Linux knows: 16 bits where they do. */
export function encodeDevice(major: number, minor: number): Buffer {
  const bytes = Buffer.alloc(8);
  if (major < 256 && minor < 256) bytes.writeUInt32LE((major << 8) | minor, 0);
  else bytes.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & 0xfff00) << 12)) >>> 0, 4);
  return bytes;
}

function writeTime(bytes: Buffer, time: Timestamp, at: number, extraAt: number | undefined): void {
  bytes.writeInt32LE(time.seconds | 0, at);
  if (extraAt === undefined) return;
  const above = Math.floor((time.seconds - EARLIEST) / 2 ** 32);
  bytes.writeUInt32LE(((time.nanoseconds << 2) | above) >>> 0, extraAt);
}

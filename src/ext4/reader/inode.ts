import { crc32c, crc32cOfNumber } from '../format/crc32c.ts';
import type { Attributes, Timestamp } from '../entry.ts';
import { damaged } from './damage.ts';
import type { Superblock } from './superblock.ts';
import type { Volume } from './volume.ts';

/** What an inode says of itself (Linux, Documentation/filesystems/ext4/inodes.rst): everything but extended attributes. */
export interface Inode extends Omit<Attributes, 'xattrs'> {
  readonly number: number;
  readonly type: InodeType;
  readonly atime: Timestamp;
  readonly ctime: Timestamp;
  /** Bytes: of a file's content, a link's target, or a directory's blocks. */
  readonly size: number;
  /** Names of it; 1 for a directory with more than Linux counts. */
  readonly links: number;
  /** Bytes that its content takes on the disk. */
  readonly allocated: number;
  /** Of a character or block device. */
  readonly device?: { readonly major: number; readonly minor: number };
}

export type InodeType = keyof typeof TYPES;

/** The upper bits of the mode, and what directories call it. */
const TYPES = {
  file: { mode: 0x8000, listed: 1 },
  directory: { mode: 0x4000, listed: 2 },
  'character device': { mode: 0x2000, listed: 3 },
  'block device': { mode: 0x6000, listed: 4 },
  fifo: { mode: 0x1000, listed: 5 },
  socket: { mode: 0xc000, listed: 6 },
  symlink: { mode: 0xa000, listed: 7 },
} as const;

const TYPE_OF_MODE = typesBy('mode');
const TYPE_LISTED = typesBy('listed');

/** An inode with what only this library needs: where its content lies. */
export interface RawInode {
  readonly number: number;
  readonly facts: Inode;
  /** Its own copy. */
  readonly bytes: Buffer;
  /** What its own checksums of metadata start with: the file system's seed, its number and generation. */
  readonly checksumSeed: number;
  /** Bytes after the first 128 that are fields. */
  readonly extraSize: number;
  /** The block of its extended attributes, or 0. */
  readonly xattrBlock: number;
  readonly indexed: boolean;
  readonly inline: boolean;
  readonly extents: boolean;
  readonly encrypted: boolean;
  readonly foldsCase: boolean;
  readonly verity: boolean;
  /** Holds the value of somebody's extended attribute. */
  readonly holdsValue: boolean;
}

const OLD_SIZE = 128;
const POINTERS_AT = 0x28;
const POINTERS_LENGTH = 60;
const CHECKSUM_LOW_AT = 0x7c;
const CHECKSUM_HIGH_AT = 0x82;
const FLAG = {
  encrypted: 0x800,
  indexed: 0x1000,
  hugeFile: 0x40000,
  extents: 0x80000,
  verity: 0x100000,
  holdsValue: 0x200000,
  inline: 0x10000000,
  foldsCase: 0x40000000,
} as const;

export async function readInode(volume: Volume, number: number): Promise<RawInode> {
  const bytes = Buffer.from(await volume.inodeBytes(number));
  return parseInode(volume.superblock, number, bytes);
}

function parseInode(superblock: Superblock, number: number, bytes: Buffer): RawInode {
  const mode = bytes.readUInt16LE(0x0);
  const links = bytes.readUInt16LE(0x1a);
  const extraSize = bytes.length > OLD_SIZE ? bytes.readUInt16LE(OLD_SIZE) : 0;
  if (extraSize % 4 !== 0 || OLD_SIZE + extraSize > bytes.length)
    throw damaged(`inode ${number} has ${extraSize} bytes of further fields`);
  const checksumSeed = crc32cOfNumber(
    crc32cOfNumber(superblock.checksumSeed, number),
    bytes.readUInt32LE(0x64),
  );
  if (superblock.checksums === 'crc32c') checkChecksum(number, bytes, extraSize, checksumSeed);
  const type = TYPE_OF_MODE.get(mode & 0xf000);
  if (type === undefined || links === 0)
    throw damaged(
      mode === 0 || type !== undefined
        ? `inode ${number} is referred to and not in use`
        : `inode ${number} is of no known type (mode ${mode.toString(8)})`,
    );
  const flags = bytes.readUInt32LE(0x20);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const time = (at: number, extraAt: number): Timestamp =>
    readTime(bytes, at, extraAt + 4 <= OLD_SIZE + extraSize ? extraAt : undefined);
  const wideSize = type === 'file' || superblock.features.has('large_dir');
  const facts: Inode = {
    number,
    type,
    mode: mode & 0o7777,
    uid: bytes.readUInt16LE(0x2) + bytes.readUInt16LE(0x78) * 2 ** 16,
    gid: bytes.readUInt16LE(0x18) + bytes.readUInt16LE(0x7a) * 2 ** 16,
    size: bytes.readUInt32LE(0x4) + (wideSize ? bytes.readUInt32LE(0x6c) * 2 ** 32 : 0),
    links,
    mtime: time(0x10, 0x88),
    atime: time(0x8, 0x8c),
    ctime: time(0xc, 0x84),
    ...(OLD_SIZE + extraSize >= 0x98 ? { crtime: readTime(bytes, 0x90, 0x94) } : {}),
    ...(type === 'character device' || type === 'block device'
      ? { device: readDevice(bytes) }
      : {}),
    allocated: readAllocated(superblock, bytes, has(FLAG.hugeFile)),
  };
  return {
    number,
    facts,
    bytes,
    checksumSeed,
    extraSize,
    xattrBlock:
      bytes.readUInt32LE(0x68) +
      (superblock.features.has('64bit') ? bytes.readUInt16LE(0x76) * 2 ** 32 : 0),
    indexed: has(FLAG.indexed) && superblock.features.has('dir_index'),
    inline: has(FLAG.inline),
    extents: has(FLAG.extents),
    encrypted: has(FLAG.encrypted),
    foldsCase: has(FLAG.foldsCase),
    verity: has(FLAG.verity),
    holdsValue: has(FLAG.holdsValue),
  };
}

/** The 60 bytes that are block numbers, an extent tree's root, a short link's target or the start of inline data. */
export function pointersOf(inode: RawInode): Buffer {
  return inode.bytes.subarray(POINTERS_AT, POINTERS_AT + POINTERS_LENGTH);
}

/** By the byte of a directory's entry; undefined for 0, which says nothing, and for what is unknown. */
export function typeListed(byte: number): InodeType | undefined {
  return TYPE_LISTED.get(byte);
}

function checkChecksum(number: number, bytes: Buffer, extraSize: number, seed: number): void {
  const copy = Buffer.from(bytes);
  copy.writeUInt16LE(0, CHECKSUM_LOW_AT);
  const hasHigh = OLD_SIZE + extraSize >= CHECKSUM_HIGH_AT + 2;
  if (hasHigh) copy.writeUInt16LE(0, CHECKSUM_HIGH_AT);
  const sum = crc32c(seed, copy);
  const wrong =
    (sum & 0xffff) !== bytes.readUInt16LE(CHECKSUM_LOW_AT) ||
    (hasHigh && sum >>> 16 !== bytes.readUInt16LE(CHECKSUM_HIGH_AT));
  if (wrong) throw damaged(`inode ${number} has a wrong checksum`);
}

/** 32 bits of seconds with a sign, two more on top of them, and 30 bits of nanoseconds. */
function readTime(bytes: Buffer, at: number, extraAt: number | undefined): Timestamp {
  const extra = extraAt === undefined ? 0 : bytes.readUInt32LE(extraAt);
  return {
    seconds: bytes.readInt32LE(at) + (extra & 3) * 2 ** 32,
    // More than a second is damage that nobody need suffer from.
    nanoseconds: Math.min(extra >>> 2, 999_999_999),
  };
}

/** The old form of 16 bits where there is one, else that of 32. */
function readDevice(bytes: Buffer): { readonly major: number; readonly minor: number } {
  const old = bytes.readUInt32LE(POINTERS_AT);
  if (old !== 0) return { major: (old >>> 8) & 0xff, minor: old & 0xff };
  const device = bytes.readUInt32LE(POINTERS_AT + 4);
  return { major: (device >>> 8) & 0xfff, minor: (device & 0xff) | ((device >>> 12) & 0xfff00) };
}

function readAllocated(superblock: Superblock, bytes: Buffer, inBlocks: boolean): number {
  const high = superblock.features.has('huge_file') ? bytes.readUInt16LE(0x74) : 0;
  return (bytes.readUInt32LE(0x1c) + high * 2 ** 32) * (inBlocks ? superblock.blockSize : 512);
}

function typesBy(key: 'mode' | 'listed'): ReadonlyMap<number, InodeType> {
  return new Map(
    (Object.keys(TYPES) as InodeType[]).map((type) => [TYPES[type][key], type] as const),
  );
}

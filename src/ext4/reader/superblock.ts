import { crc32c } from '../format/crc32c.ts';
import { damaged, notWhatItShouldBe, unsupported } from './damage.ts';
import { parseFeatures } from './features.ts';
import type { ImageFile } from './image-file.ts';

/**
 * What the superblock says of a file system (Linux, Documentation/filesystems/ext4/super.rst). Sizes are bytes, times
 * seconds since 1970.
 */
export interface ImageFacts {
  readonly label: string;
  /** Lower-case, with dashes; so is the hash seed. */
  readonly uuid: string;
  readonly hashSeed: string;
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  /** Kept for root. */
  readonly reservedBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly inodeSize: number;
  /** By the names of tune2fs. */
  readonly features: ReadonlySet<string>;
  /** Unmounted properly, with no error recorded. */
  readonly clean: boolean;
  /** The journal holds what the file system lacks. */
  readonly needsRecovery: boolean;
  readonly created: number;
  readonly written: number;
}

/** The facts, and where things lie. */
export interface Superblock extends ImageFacts {
  readonly firstBlock: number;
  readonly groups: number;
  readonly blocksPerGroup: number;
  readonly inodesPerGroup: number;
  readonly descriptorSize: number;
  /** Those below, the root's aside, are the file system's own. */
  readonly firstInode: number;
  /** The first block of descriptors that lies with its groups; Infinity where none does. */
  readonly firstMetaGroup: number;
  /** For `sparse_super2`: the groups with a copy of the superblock. */
  readonly backupGroups: readonly number[];
  readonly checksums: 'none' | 'crc16' | 'crc32c';
  /** What every crc32c of metadata starts with. */
  readonly checksumSeed: number;
  readonly uuidBytes: Buffer;
  readonly hashSeedBytes: Buffer;
  /** Names are hashed as bytes from 0 to 255, not as those from -128 to 127. */
  readonly hashUnsigned: boolean;
}

const OFFSET = 1024;
const LENGTH = 1024;
const CHECKSUM_AT = 1020;
const MAGIC = 0xef53;
const STATE_CLEAN = 1;
const STATE_ERRORS = 2;
const FLAG_UNSIGNED_HASH = 2;
const CHECKSUM_CRC32C = 1;
const OLD_INODE_SIZE = 128;
const OLD_FIRST_INODE = 11;
const OLD_DESCRIPTOR_SIZE = 32;
const NEW_DESCRIPTOR_SIZE = 64;

/** Throws `Unreadable`: `invalid-document` for what is no ext4, else as said of `openImage`; never for a journal. */
export async function readSuperblock(file: ImageFile): Promise<Superblock> {
  if (file.size === 0) throw notWhatItShouldBe('the file is empty');
  if (file.size < OFFSET + LENGTH) throw notWhatItShouldBe('this is no ext4 file system');
  const bytes = await file.read(OFFSET, LENGTH);
  if (bytes.readUInt16LE(0x38) !== MAGIC) throw notWhatItShouldBe('this is no ext4 file system');
  const superblock = parseSuperblock(bytes);
  const size = superblock.blocks * superblock.blockSize;
  if (size > file.size) throw damaged(`it is cut off: ${file.size} bytes of ${size}`);
  return superblock;
}

function parseSuperblock(bytes: Buffer): Superblock {
  const { names: features, unread } = parseFeatures(
    bytes.readUInt32LE(0x5c),
    bytes.readUInt32LE(0x60),
    bytes.readUInt32LE(0x64),
  );
  if (unread !== undefined) throw unsupported(unread);
  const checksums = features.has('metadata_csum')
    ? 'crc32c'
    : features.has('uninit_bg')
      ? 'crc16'
      : 'none';
  if (checksums === 'crc32c') checkChecksum(bytes);

  const dynamic = bytes.readUInt32LE(0x4c) > 0;
  const logBlockSize = bytes.readUInt32LE(0x18);
  if (logBlockSize > 6) throw wrong(`blocks of 2^${logBlockSize} KiB`);
  const blockSize = 1024 << logBlockSize;
  const inodeSize = dynamic ? bytes.readUInt16LE(0x58) : OLD_INODE_SIZE;
  if (!isPowerOfTwo(inodeSize) || inodeSize < OLD_INODE_SIZE || inodeSize > blockSize)
    throw wrong(`inodes of ${inodeSize} bytes`);
  const is64bit = features.has('64bit');
  const descriptorSize = is64bit ? bytes.readUInt16LE(0xfe) : OLD_DESCRIPTOR_SIZE;
  if (
    !isPowerOfTwo(descriptorSize) ||
    descriptorSize < (is64bit ? NEW_DESCRIPTOR_SIZE : OLD_DESCRIPTOR_SIZE) ||
    descriptorSize > 1024
  )
    throw wrong(`group descriptors of ${descriptorSize} bytes`);
  const wide = (low: number, high: number): number =>
    bytes.readUInt32LE(low) + (is64bit ? bytes.readUInt32LE(high) * 2 ** 32 : 0);
  const uuidBytes = Buffer.from(bytes.subarray(0x68, 0x78));
  const hashSeedBytes = Buffer.from(bytes.subarray(0xec, 0xfc));
  const state = bytes.readUInt16LE(0x3a);
  const needsRecovery = features.has('needs_recovery');
  return {
    label: bytes.toString('utf8', 0x78, 0x88).replace(/\0.*$/s, ''),
    uuid: formatUuid(uuidBytes),
    hashSeed: formatUuid(hashSeedBytes),
    blockSize,
    blocks: wide(0x4, 0x150),
    freeBlocks: wide(0xc, 0x158),
    reservedBlocks: wide(0x8, 0x154),
    inodes: bytes.readUInt32LE(0x0),
    freeInodes: bytes.readUInt32LE(0x10),
    inodeSize,
    features,
    clean:
      (state & STATE_CLEAN) !== 0 &&
      (state & STATE_ERRORS) === 0 &&
      !needsRecovery &&
      !features.has('orphan_present'),
    needsRecovery,
    created: bytes.readUInt32LE(0x108) + bytes.readUInt8(0x276) * 2 ** 32,
    written: bytes.readUInt32LE(0x30) + bytes.readUInt8(0x274) * 2 ** 32,
    ...groupsOf(bytes, wide(0x4, 0x150), blockSize, inodeSize),
    descriptorSize,
    firstInode: dynamic ? bytes.readUInt32LE(0x54) : OLD_FIRST_INODE,
    firstMetaGroup: features.has('meta_bg') ? bytes.readUInt32LE(0x104) : Infinity,
    backupGroups: [bytes.readUInt32LE(0x24c), bytes.readUInt32LE(0x250)],
    checksums,
    checksumSeed: features.has('metadata_csum_seed')
      ? bytes.readUInt32LE(0x270)
      : crc32c(0xffffffff, uuidBytes),
    uuidBytes,
    hashSeedBytes,
    hashUnsigned: (bytes.readUInt32LE(0x160) & FLAG_UNSIGNED_HASH) !== 0,
  };
}

/** The geometry that every position is computed from, with what Linux demands of it. */
function groupsOf(
  bytes: Buffer,
  blocks: number,
  blockSize: number,
  inodeSize: number,
): Pick<Superblock, 'firstBlock' | 'groups' | 'blocksPerGroup' | 'inodesPerGroup'> {
  const firstBlock = bytes.readUInt32LE(0x14);
  const blocksPerGroup = bytes.readUInt32LE(0x20);
  const inodesPerGroup = bytes.readUInt32LE(0x28);
  const clusterBlocks = clusterOf(bytes);
  const bitsPerBlock = blockSize * 8;
  if (blocks === 0 || firstBlock >= blocks || firstBlock > 1)
    throw wrong(`${blocks} blocks from block ${firstBlock} on`);
  if (
    blocksPerGroup === 0 ||
    blocksPerGroup > bitsPerBlock * clusterBlocks ||
    blocksPerGroup % clusterBlocks !== 0
  )
    throw wrong(`${blocksPerGroup} blocks in a group`);
  if (inodesPerGroup < blockSize / inodeSize || inodesPerGroup > bitsPerBlock)
    throw wrong(`${inodesPerGroup} inodes in a group`);
  const groups = Math.ceil((blocks - firstBlock) / blocksPerGroup);
  const inodes = bytes.readUInt32LE(0x0);
  if (groups * inodesPerGroup !== inodes)
    throw wrong(`${inodes} inodes in ${groups} groups of ${inodesPerGroup}`);
  return { firstBlock, groups, blocksPerGroup, inodesPerGroup };
}

/** Blocks in a cluster: what is allocated at once where the feature `bigalloc` is on. */
function clusterOf(bytes: Buffer): number {
  if ((bytes.readUInt32LE(0x64) & 0x200) === 0) return 1;
  const log = bytes.readUInt32LE(0x1c) - bytes.readUInt32LE(0x18);
  if (log < 0 || log > 20) throw wrong(`clusters of 2^${log} blocks`);
  return 2 ** log;
}

function checkChecksum(bytes: Buffer): void {
  const type = bytes.readUInt8(0x175);
  if (type !== CHECKSUM_CRC32C) throw unsupported(`metadata checksums of type ${type}`);
  if (crc32c(0xffffffff, bytes.subarray(0, CHECKSUM_AT)) !== bytes.readUInt32LE(CHECKSUM_AT))
    throw wrong('a wrong checksum');
}

function wrong(what: string): Error {
  return damaged(`its superblock has ${what}`);
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && (n & (n - 1)) === 0;
}

function formatUuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

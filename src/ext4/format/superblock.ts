import { crc32c } from './crc32c.ts';
import type { Feature } from './features.ts';
import { COMPATIBLE, featureWord, INCOMPATIBLE, READ_ONLY_COMPATIBLE } from './features.ts';

/**
 * The superblock (Linux, Documentation/filesystems/ext4/super.rst; e2fsprogs, lib/ext2fs/ext2_fs.h). Everything is
 * little-endian; times are seconds since 1970.
 */
export interface SuperblockFields {
  readonly features: ReadonlySet<Feature>;
  readonly label: Uint8Array;
  readonly uuid: Uint8Array;
  readonly hashSeed: Uint8Array;
  readonly epoch: number;
  readonly blockSize: number;
  readonly blocks: number;
  readonly reservedBlocks: number;
  readonly freeBlocks: number;
  readonly firstBlock: number;
  readonly blocksPerGroup: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly inodesPerGroup: number;
  readonly inodeSize: number;
  readonly descriptorSize: number;
  /** For resize2fs and growing while mounted. */
  readonly reservedDescriptorBlocks: number;
  /** With `meta_bg`. */
  readonly firstMetaGroup: number;
  /** A copy of the journal inode's pointers, by which e2fsck finds it if the inode is lost. */
  readonly journal?: { readonly pointers: Uint8Array; readonly size: number };
  readonly orphanFileInode?: number;
  readonly checksumSeed: number;
  /** Of inodes longer than 128 bytes: how many bytes after them are fields. */
  readonly extraInodeSize: number;
}

export const SUPERBLOCK = { at: 1024, length: 1024, checksumAt: 1020 } as const;
export const JOURNAL_INODE = 8;
export const FIRST_INODE = 11;
const MAGIC = 0xef53;
const STATE_CLEAN = 1;
const ERRORS_CONTINUE = 1;
const REVISION_DYNAMIC = 1;
const HALF_MD4 = 1;
const JOURNAL_BACKUP_POINTERS = 1;
const CHECKSUM_CRC32C = 1;
/** `user_xattr` and `acl`: what mke2fs asks for, and Linux does without being asked. */
const DEFAULT_MOUNT_OPTIONS = 0xc;
/** Names are hashed as bytes from 0 to 255, on every machine. */
const FLAG_UNSIGNED_HASH = 2;
const LOG_GROUPS_PER_FLEX = 4;
const NO_MOUNT_LIMIT = 0xffff;

/** `group` is that in which this copy lies. */
export function encodeSuperblock(fields: SuperblockFields, group: number): Buffer {
  const bytes = Buffer.alloc(SUPERBLOCK.length);
  const low = (value: number, at: number): void => void bytes.writeUInt32LE(value >>> 0, at);
  const wide = (value: number, at: number, highAt: number): void => {
    low(value % 2 ** 32, at);
    low(Math.floor(value / 2 ** 32), highAt);
  };
  const log = Math.log2(fields.blockSize / 1024);
  low(fields.inodes, 0x0);
  wide(fields.blocks, 0x4, 0x150);
  wide(fields.reservedBlocks, 0x8, 0x154);
  wide(fields.freeBlocks, 0xc, 0x158);
  low(fields.freeInodes, 0x10);
  low(fields.firstBlock, 0x14);
  low(log, 0x18);
  low(log, 0x1c);
  low(fields.blocksPerGroup, 0x20);
  low(fields.blocksPerGroup, 0x24);
  low(fields.inodesPerGroup, 0x28);
  time(bytes, fields.epoch, 0x30, 0x274);
  bytes.writeUInt16LE(NO_MOUNT_LIMIT, 0x36);
  bytes.writeUInt16LE(MAGIC, 0x38);
  bytes.writeUInt16LE(STATE_CLEAN, 0x3a);
  bytes.writeUInt16LE(ERRORS_CONTINUE, 0x3c);
  time(bytes, fields.epoch, 0x40, 0x277);
  low(REVISION_DYNAMIC, 0x4c);
  low(FIRST_INODE, 0x54);
  bytes.writeUInt16LE(fields.inodeSize, 0x58);
  bytes.writeUInt16LE(group % 0x10000, 0x5a);
  low(featureWord(fields.features, COMPATIBLE), 0x5c);
  low(featureWord(fields.features, INCOMPATIBLE), 0x60);
  low(featureWord(fields.features, READ_ONLY_COMPATIBLE), 0x64);
  bytes.set(fields.uuid, 0x68);
  bytes.set(fields.label, 0x78);
  bytes.writeUInt16LE(fields.reservedDescriptorBlocks, 0xce);
  if (fields.journal !== undefined) writeJournal(bytes, fields.journal);
  bytes.set(fields.hashSeed, 0xec);
  bytes.writeUInt8(HALF_MD4, 0xfc);
  bytes.writeUInt16LE(fields.descriptorSize, 0xfe);
  low(DEFAULT_MOUNT_OPTIONS, 0x100);
  low(fields.firstMetaGroup, 0x104);
  time(bytes, fields.epoch, 0x108, 0x276);
  bytes.writeUInt16LE(fields.extraInodeSize, 0x15c);
  bytes.writeUInt16LE(fields.extraInodeSize, 0x15e);
  low(FLAG_UNSIGNED_HASH, 0x160);
  bytes.writeUInt8(LOG_GROUPS_PER_FLEX, 0x174);
  bytes.writeUInt8(CHECKSUM_CRC32C, 0x175);
  if (fields.features.has('metadata_csum_seed')) low(fields.checksumSeed, 0x270);
  if (fields.orphanFileInode !== undefined) low(fields.orphanFileInode, 0x280);
  low(crc32c(0xffffffff, bytes.subarray(0, SUPERBLOCK.checksumAt)), SUPERBLOCK.checksumAt);
  return bytes;
}

/** 60 bytes of pointers and the halves of the size, upper one first, as e2fsck reads them. */
function writeJournal(
  bytes: Buffer,
  { pointers, size }: NonNullable<SuperblockFields['journal']>,
): void {
  bytes.writeUInt32LE(JOURNAL_INODE, 0xe0);
  bytes.writeUInt8(JOURNAL_BACKUP_POINTERS, 0xfd);
  bytes.set(pointers, 0x10c);
  bytes.writeUInt32LE(Math.floor(size / 2 ** 32), 0x10c + 60);
  bytes.writeUInt32LE(size % 2 ** 32, 0x10c + 64);
}

/** 40 bits of seconds, the upper eight apart. */
function time(bytes: Buffer, seconds: number, at: number, highAt: number): void {
  bytes.writeUInt32LE(seconds % 2 ** 32, at);
  bytes.writeUInt8(Math.floor(seconds / 2 ** 32), highAt);
}

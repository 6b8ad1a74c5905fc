import { open } from 'node:fs/promises';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** The superblock of an ext4 image file (Linux, Documentation/filesystems/ext4/super.rst): sizes are bytes. */
export interface Superblock {
  readonly label: string;
  readonly blockSize: number;
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly inodesPerGroup: number;
  /** Blocks of one copy of the group descriptors, and those kept for more of them. */
  readonly descriptorBlocks: number;
  readonly reservedDescriptorBlocks: number;
  readonly hasJournal: boolean;
  /** In lower case, with dashes. */
  readonly uuid: string;
  readonly inodeSize: number;
  /** Unmounted properly, with no error recorded. */
  readonly clean: boolean;
  /** The journal holds what the file system lacks. */
  readonly needsRecovery: boolean;
}

const OFFSET = 1024;
const LENGTH = 1024;
const MAGIC = 0xef53;
const STATE_CLEAN = 1;
const STATE_ERRORS = 2;
const COMPAT_HAS_JOURNAL = 0x4;
const INCOMPAT_RECOVER = 0x4;
const INCOMPAT_64BIT = 0x80;

/** Fails with `invalid-document` (kind `data image`) for what is missing, unreadable, not ext4 or cut off. */
export async function readSuperblock(image: string): Promise<Result<Superblock>> {
  const read = await readBytes(image);
  if (!read.ok) return read;
  const { bytes, fileSize } = read.value;
  if (fileSize === 0) return notAnImage(image, 'the file is empty');
  if (bytes.length < LENGTH || bytes.readUInt16LE(56) !== MAGIC)
    return notAnImage(image, 'this is no ext4 file system');
  const incompat = bytes.readUInt32LE(96);
  const high = (incompat & INCOMPAT_64BIT) === 0 ? 0 : 1;
  const state = bytes.readUInt16LE(58);
  const logBlockSize = bytes.readUInt32LE(24);
  if (logBlockSize > 6) return notAnImage(image, 'its superblock is damaged');
  const blockSize = 1024 << logBlockSize;
  const blocks = bytes.readUInt32LE(4) + high * bytes.readUInt32LE(336) * 2 ** 32;
  const groups = Math.ceil(blocks / Math.max(1, bytes.readUInt32LE(32)));
  const descriptor = high === 0 ? 32 : bytes.readUInt16LE(254);
  const superblock: Superblock = {
    label: bytes.subarray(120, 136).toString('utf8').replace(/\0.*$/s, ''),
    blockSize,
    blocks,
    freeBlocks: bytes.readUInt32LE(12) + high * bytes.readUInt32LE(344) * 2 ** 32,
    inodes: bytes.readUInt32LE(0),
    freeInodes: bytes.readUInt32LE(16),
    inodesPerGroup: bytes.readUInt32LE(40),
    descriptorBlocks: Math.ceil((groups * descriptor) / blockSize),
    reservedDescriptorBlocks: bytes.readUInt16LE(206),
    hasJournal: (bytes.readUInt32LE(92) & COMPAT_HAS_JOURNAL) !== 0,
    uuid: formatUuid(bytes.subarray(104, 120)),
    inodeSize: bytes.readUInt32LE(76) === 0 ? 128 : bytes.readUInt16LE(88),
    clean: (state & STATE_CLEAN) !== 0 && (state & STATE_ERRORS) === 0,
    needsRecovery: (incompat & INCOMPAT_RECOVER) !== 0,
  };
  const needed = superblock.blocks * superblock.blockSize;
  if (fileSize < needed) return notAnImage(image, `it is cut off: ${fileSize} bytes of ${needed}`);
  return ok(superblock);
}

function formatUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export function notAnImage(image: string, detail: string): Result<never> {
  return fail({
    reason: 'invalid-document',
    kind: 'data image',
    file: image,
    problems: [{ detail }],
  });
}

async function readBytes(image: string): Promise<Result<{ bytes: Buffer; fileSize: number }>> {
  try {
    const file = await open(image, 'r');
    try {
      const status = await file.stat();
      if (!status.isFile() && !status.isBlockDevice()) return notAnImage(image, 'this is no file');
      const bytes = Buffer.alloc(LENGTH);
      const { bytesRead } = await file.read(bytes, 0, LENGTH, OFFSET);
      return ok({
        bytes: bytes.subarray(0, bytesRead),
        fileSize: status.isBlockDevice() ? Infinity : status.size,
      });
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return notAnImage(image, 'there is no such file');
    if (code === 'EACCES' || code === 'EPERM')
      return fail({
        reason: 'access-denied',
        path: image,
        doing: 'reading the data image',
        detail: (error as Error).message,
      });
    return notAnImage(image, (error as Error).message);
  }
}

import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { crc32c } from './format/crc32c.ts';
import type { Feature } from './format/features.ts';
import { EXTRA_FIELDS, OLD_INODE } from './format/inode.ts';
import { parseUuid } from './format/uuid.ts';
import { Geometry } from './geometry.ts';
import type { FeaturePreset, ImageOptions } from './image-writer.ts';

/** The options, checked and with their defaults: what a file system is before anything is in it. */
export interface Settings {
  readonly geometry: Geometry;
  readonly features: ReadonlySet<Feature>;
  readonly label: Uint8Array;
  readonly uuid: Uint8Array;
  readonly hashSeed: Uint8Array;
  readonly epoch: number;
  /** Of the file, in bytes. */
  readonly size: number | 'auto';
  readonly headroom: NonNullable<ImageOptions['headroom']>;
  readonly inodeSize: number;
  /** Bytes behind the first 128 of an inode that are fields. */
  readonly extraInodeSize: number;
  /** At least so many. */
  readonly inodes: number;
  /** Likewise, of each group. */
  readonly inodesPerGroup: number;
  /** Parts of all blocks. */
  readonly reserved: number;
  /** Bytes. */
  readonly journal: number | 'auto';
  readonly sync: boolean;
  /** What checksums start with. */
  readonly checksumSeed: number;
}

const BASE: readonly Feature[] = [
  ...(['has_journal', 'ext_attr', 'resize_inode', 'dir_index'] as const),
  ...(['filetype', 'extent', '64bit', 'flex_bg'] as const),
  ...(['sparse_super', 'large_file', 'huge_file', 'dir_nlink', 'extra_isize'] as const),
  'metadata_csum',
];

/** What is in one is in all after it. docs/ext4.md tells why. */
const PRESETS: Readonly<Record<FeaturePreset, readonly Feature[]>> = {
  default: BASE,
  '5.15': BASE,
  '6.1': [...BASE, 'metadata_csum_seed'],
  '6.12': [...BASE, 'metadata_csum_seed', 'orphan_file'],
};

const BLOCK_SIZES: readonly number[] = [1024, 2048, 4096];
const INODE_SIZES: readonly number[] = [128, 256, 512, 1024];
const GROWTH = 1000;
const TEBIBYTE = 2 ** 40;
/** Block numbers of 32 bits: what the inode of reserved descriptors can hold. */
const MOST_BLOCKS = 2 ** 32 - 1;
const LEAST_SIZE = 64 * 1024;
const LATEST_EPOCH = 2 ** 40 - 1;

/** Fails with `invalid-option`. */
export function settle(options: ImageOptions): Result<Settings> {
  const { label = '', size = 'auto', blockSize = 4096, inodeSize = 256 } = options;
  const { reserved = 0.05, journal, growTo, headroom = { bytes: 0 } } = options;
  const { inodes = 0, inodesPerGroup = 0 } = options;
  const preset = PRESETS[options.features ?? 'default'] as readonly Feature[] | undefined;
  const uuid = parseUuid(options.uuid);
  const hashSeed = parseUuid(options.hashSeed);
  const room = 'bytes' in headroom ? headroom.bytes : headroom.ratio;
  const most = MOST_BLOCKS * blockSize;
  if (Buffer.byteLength(label) > 16 || label.includes('\0'))
    return refuse('label', label, 'at most 16 bytes of UTF-8');
  if (uuid === undefined) return refuse('uuid', options.uuid, UUID);
  if (hashSeed === undefined) return refuse('hashSeed', options.hashSeed, UUID);
  if (!isWhole(options.epoch, LATEST_EPOCH))
    return refuse('epoch', options.epoch, 'seconds since 1970, at most 2^40 - 1');
  if (!BLOCK_SIZES.includes(blockSize)) return refuse('blockSize', blockSize, list(BLOCK_SIZES));
  if (!INODE_SIZES.includes(inodeSize)) return refuse('inodeSize', inodeSize, list(INODE_SIZES));
  if (size !== 'auto' && (!isWhole(size, most) || size < LEAST_SIZE))
    return refuse('size', size, `bytes, from ${LEAST_SIZE} to ${most}`);
  if (!(room >= 0) || ('bytes' in headroom && !isWhole(room, most)) || room > most)
    return refuse('headroom', room, 'bytes, or a ratio of 0 or more');
  if (preset === undefined)
    return refuse('features', String(options.features), Object.keys(PRESETS).join(', '));
  if (!isWhole(inodes, MOST_BLOCKS)) return refuse('inodes', inodes, 'a number below 2^32');
  if (!isWhole(inodesPerGroup, blockSize * 8))
    return refuse('inodesPerGroup', inodesPerGroup, `a number up to ${blockSize * 8}`);
  if (!(reserved >= 0 && reserved <= 0.5))
    return refuse('reserved', reserved, 'a ratio from 0 to 0.5');
  if (journal !== undefined && !isJournal(journal, blockSize))
    return refuse('journal', journal, `0, or bytes from ${1024 * blockSize} to ${most / 2}`);
  if (growTo !== undefined && !isWhole(growTo, most))
    return refuse('growTo', growTo, `bytes, at most ${most}`);

  const features = new Set(preset);
  if (journal === 0) features.delete('has_journal');
  if (inodeSize === OLD_INODE) features.delete('extra_isize');
  return ok({
    geometry: new Geometry(blockSize, descriptorBlocks(blockSize, size, growTo)),
    features,
    label: Buffer.from(label),
    uuid,
    hashSeed,
    epoch: options.epoch,
    size,
    headroom,
    inodeSize,
    extraInodeSize: inodeSize > OLD_INODE ? EXTRA_FIELDS : 0,
    inodes,
    inodesPerGroup,
    reserved,
    journal: journal ?? 'auto',
    sync: options.sync ?? true,
    checksumSeed: crc32c(0xffffffff, uuid),
  });
}

/**
 * Blocks of group descriptors, those for growing included. What is reserved is listed in one block of the inode for
 * it; who wants to grow further than that can, if resize2fs may move things.
 */
function descriptorBlocks(blockSize: number, size: number | 'auto', growTo?: number): number {
  const probe = new Geometry(blockSize, 0);
  const blocksFor = (bytes: number): number =>
    probe.descriptorBlocksOf(probe.groupsIn(Math.min(Math.ceil(bytes / blockSize), MOST_BLOCKS)));
  const listed = blockSize / 4;
  if (size === 'auto') return Math.max(1, Math.min(blocksFor(growTo ?? TEBIBYTE), listed));
  const now = blocksFor(size);
  const wanted = blocksFor(growTo ?? GROWTH * size);
  return Math.max(now, Math.min(wanted, now + listed), 1);
}

const UUID = 'a UUID in lower case, with dashes';

function refuse(option: string, value: string | number, expected: string): Result<never> {
  return fail({ reason: 'invalid-option', option, value: String(value), expected });
}

function isWhole(value: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= most;
}

/** Linux wants 1024 blocks at least. */
function isJournal(bytes: number, blockSize: number): boolean {
  return bytes === 0 || (isWhole(bytes, 2 ** 31 * blockSize) && bytes >= 1024 * blockSize);
}

function list(numbers: readonly number[]): string {
  return numbers.join(', ');
}

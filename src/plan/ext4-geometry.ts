import type { Headroom } from '../model/bundle.ts';
import { chosenJournal } from '../model/ext4-journal.ts';

/**
 * What an ext4 file system takes for itself (Linux, Documentation/filesystems/ext4; mke2fs(8)): blocks are 4096 bytes,
 * groups 32768 blocks, inodes 256 bytes, sizes are bytes unless they say blocks.
 */

export const BLOCK = 4096;
const GROUP_BLOCKS = 32768;
export const GROUP_BYTES = GROUP_BLOCKS * BLOCK;
const MIB = 1024 * 1024;

/** One inode for 16 KiB, as mke2fs: also for a small image, since every group that a device adds gets as many. */
export const INODES_PER_GROUP = GROUP_BYTES / 16384;
/** An inode bitmap is one block. */
export const MOST_INODES_PER_GROUP = BLOCK * 8;
const INODE = 256;

/** What a device can always grow to with nothing moved: room for group descriptors is kept for as much. */
export const GROWS_TO = 256 * 1024 * MIB;

/** The fewest blocks of a journal that Linux takes: a device's partition has one, however small it is. */
const LEAST_JOURNAL = 1024;

/** Root, lost+found, the maps of journal and reserved descriptors, and the blocks of long extents. */
const FIRST_FILES = 24;

/** The most blocks that tune2fs gives an orphan file. */
const ORPHAN_FILE = 512;

/** What of a file system's make decides how much it takes. */
export interface Geometry {
  /** By mke2fs' names; default: a journal, and no orphan file. */
  readonly features?: readonly string[] | undefined;
  /** Of a whole group; smaller ones have as many parts of it. Default: `INODES_PER_GROUP`. */
  readonly inodesPerGroup?: number | undefined;
}

/** Bytes of the journal for a file system of that size. */
export function journalSize(size: number, features?: readonly string[]): number {
  if (features?.includes('has_journal') === false) return 0;
  return Math.max(LEAST_JOURNAL, chosenJournal(size / BLOCK, BLOCK)) * BLOCK;
}

/** Bytes of a new file system of that size which no content can have. */
export function fileSystemOverhead(size: number, geometry: Geometry): number {
  const { features } = geometry;
  const blocks = Math.ceil(size / BLOCK);
  const descriptor = features?.includes('64bit') === false ? 32 : 64;
  const metadata = metadataBlocks(blocks, {
    inodesPerGroup: inodesOfGroup(size, geometry.inodesPerGroup),
    descriptorBlocks: Math.ceil((groupsOf(blocks) * descriptor) / BLOCK),
    reservedDescriptorBlocks:
      features?.includes('resize_inode') === false ? 0 : reservedDescriptors(blocks, descriptor),
  });
  const orphan = features?.includes('orphan_file') === true ? ORPHAN_FILE : 0;
  return (metadata + FIRST_FILES + orphan) * BLOCK + journalSize(size, features);
}

/** The smallest size whose file system has room for `bytes` of content. */
export function sizeFor(bytes: number, geometry: Geometry): number {
  return leastSuch(bytes, (size) => bytes + fileSystemOverhead(size, geometry));
}

function inodesOfGroup(size: number, ofWhole = INODES_PER_GROUP): number {
  return Math.min(ofWhole, Math.ceil(((size / GROUP_BYTES) * ofWhole) / 16) * 16);
}

/** A file system as it is: blocks are those of its superblock. */
export interface Measured {
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly inodesPerGroup: number;
  readonly descriptorBlocks: number;
  readonly reservedDescriptorBlocks: number;
}

/**
 * How many blocks a file system that has no journal yet is to be resized to, so that it has room for its journal and
 * the headroom above all that is used. `leastInodes` it has in any case.
 */
export function finalBlocks(
  now: Measured,
  headroom: Headroom,
  features?: readonly string[],
  leastInodes = 0,
): number {
  const content = now.blocks - now.freeBlocks - metadataBlocks(now.blocks, now);
  const orphan = features?.includes('orphan_file') === true ? orphanBlocks(now.blocks) : 0;
  return leastSuch(content, (size) => {
    const used =
      content + orphan + metadataBlocks(size, now) + journalSize(size * BLOCK, features) / BLOCK;
    const wanted = used + Math.ceil(headroomBytes(headroom, used * BLOCK) / BLOCK);
    // Within the search: what is rounded up may come to another group, and to a larger journal.
    return withUsefulEnd(roundBlocks(Math.max(wanted, leastBlocks(now, leastInodes))), now);
  });
}

/** The number that `next` leads to from `start` on, once it stops growing. */
function leastSuch(start: number, next: (candidate: number) => number): number {
  let candidate = start;
  for (let better = next(candidate); better > candidate; better = next(candidate))
    candidate = better;
  return candidate;
}

/** A journal of 4 MiB, the inodes of a group, and hardly anything else. */
const SMALLEST = (6.5 * MIB) / BLOCK;

function leastBlocks(now: Measured, leastInodes: number): number {
  const groups = Math.ceil(leastInodes / now.inodesPerGroup);
  return Math.max(SMALLEST, groups <= 1 ? 0 : (groups - 1) * GROUP_BLOCKS + 1);
}

/** Partition tools like whole MiB; of a small file system those would be a large part. */
function roundBlocks(blocks: number): number {
  const unit = blocks * BLOCK >= 64 * MIB ? MIB / BLOCK : 16;
  return Math.ceil(blocks / unit) * unit;
}

/** A last group that hardly holds its own metadata is left out by resize2fs: then it gets a bit more. */
function withUsefulEnd(blocks: number, now: Measured): number {
  const rest = blocks % GROUP_BLOCKS;
  const least = inodeTableBlocks(now) + now.descriptorBlocks + now.reservedDescriptorBlocks + 64;
  return rest === 0 || rest >= least || blocks < GROUP_BLOCKS ? blocks : blocks - rest + least;
}

/** As tune2fs chooses. */
function orphanBlocks(blocks: number): number {
  return Math.min(ORPHAN_FILE, Math.max(32, Math.ceil(blocks / 4096)));
}

function metadataBlocks(blocks: number, make: Omit<Measured, 'blocks' | 'freeBlocks'>): number {
  const groups = groupsOf(blocks);
  const copies = Array.from({ length: groups }, (_, group) => group).filter(hasCopy).length;
  return (
    groups * (inodeTableBlocks(make) + 2) +
    copies * (1 + make.descriptorBlocks + make.reservedDescriptorBlocks)
  );
}

function inodeTableBlocks(make: { readonly inodesPerGroup: number }): number {
  return Math.ceil((make.inodesPerGroup * INODE) / BLOCK);
}

function groupsOf(blocks: number): number {
  return Math.ceil(blocks / GROUP_BLOCKS);
}

/** Whether a group has a copy of superblock and descriptors, with sparse_super. */
function hasCopy(group: number): boolean {
  return group <= 1 || [3, 5, 7].some((base) => isPower(group, base));
}

function isPower(number: number, base: number): boolean {
  let power = base;
  while (power < number) power *= base;
  return power === number;
}

/** As mke2fs: for 1024 times the size, at least what `GROWS_TO` takes. */
function reservedDescriptors(blocks: number, descriptor: number): number {
  const most = Math.min(Math.max(blocks * 1024, GROWS_TO / BLOCK), 2 ** 32);
  const all = Math.ceil((groupsOf(most) * descriptor) / BLOCK);
  return Math.min(BLOCK / 4, all - Math.ceil((groupsOf(blocks) * descriptor) / BLOCK));
}

export function headroomBytes(headroom: Headroom, content: number): number {
  return 'percent' in headroom ? Math.ceil((content * headroom.percent) / 100) : headroom.bytes;
}

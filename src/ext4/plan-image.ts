import type { BlockAllocator } from './block-allocator.ts';
import { EXTENT, itemsIn } from './format/extent.ts';
import { POINTERS } from './format/inode.ts';
import type { Geometry, Run } from './geometry.ts';
import { chosenJournal } from '../model/ext4-journal.ts';
import type { Settings } from './settings.ts';

/** Where everything lies that is written last, and how large all of it is. Blocks. */
export interface Plan {
  readonly blocks: number;
  readonly groups: number;
  readonly inodesPerGroup: number;
  /** Of each group's inodes. */
  readonly tableBlocks: number;
  /** Of the descriptors in use, with the first superblock. */
  readonly descriptorBlocks: number;
  /** Behind them, for growing: 0 with `meta_bg`. */
  readonly reservedDescriptorBlocks: number;
  readonly metaGroups: boolean;
  /** Where the list of the reserved ones is, if there are any. */
  readonly reservedList: number | undefined;
  /** None of which touches the next. */
  readonly journal: readonly Run[];
  /** As many blocks as the tree of the journal's extents needs outside of its inode. */
  readonly journalNodes: readonly number[];
  /** The list of inodes to be deleted, in one piece; there is none without a journal. */
  readonly orphans: Run | undefined;
  readonly blockBitmaps: readonly number[];
  readonly inodeBitmaps: readonly number[];
  readonly inodeTables: readonly number[];
  /** As it will be: with all of this taken. */
  readonly allocator: BlockAllocator;
  readonly freeBlocks: number;
}

const BYTES_PER_INODE = 16 * 1024;
/** With fewer blocks behind its head a last group is left out, as mke2fs does. */
const LEAST_LAST_GROUP = 64;
/** As mke2fs does for small journals. */
const ORPHAN_BLOCKS = 32;

/**
 * Plans the file system in which what `allocator` has taken is everything but what belongs to the file system itself.
 * Undefined where a given size (in bytes) has no room for it.
 */
export function planSize(
  settings: Settings,
  allocator: BlockAllocator,
  inodes: number,
  size: number,
): Plan | undefined {
  const blocks = blocksIn(settings.geometry, size);
  const plan = planBlocks(settings, allocator, inodes, blocks);
  return plan !== undefined && plan.allocator.mark <= blocks ? plan : undefined;
}

/** Of a file system in a file of so many bytes. */
export function blocksIn(geometry: Geometry, size: number): number {
  const blocks = Math.floor(size / geometry.blockSize);
  const group = geometry.groupsIn(blocks) - 1;
  const last = blocks - geometry.startOf(group);
  const isWorthIt = group === 0 || last >= geometry.headOf(group) + LEAST_LAST_GROUP;
  return isWorthIt ? blocks : geometry.startOf(group);
}

/** Plans the smallest one that has all of it, and the head room. */
export function planSmallest(
  settings: Settings,
  allocator: BlockAllocator,
  inodes: number,
  headroom: Settings['headroom'],
): Plan {
  const { geometry } = settings;
  let blocks = allocator.mark;
  for (;;) {
    blocks = withWholeEnd(settings, blocks);
    const plan = planBlocks(settings, allocator, inodes, blocks);
    if (plan === undefined) {
      // Too few groups for so many inodes.
      blocks = geometry.startOf(geometry.groupsIn(blocks)) + 1;
      continue;
    }
    const end = plan.allocator.mark;
    const used = Math.max(end, blocks) - plan.freeBlocks;
    const wanted =
      'bytes' in headroom
        ? Math.ceil(headroom.bytes / geometry.blockSize)
        : Math.ceil(headroom.ratio * used);
    if (end > blocks) blocks = end;
    else if (plan.freeBlocks < wanted) blocks += wanted - plan.freeBlocks;
    else return plan;
  }
}

/** The same number, or as many as make the last group worth having. */
function withWholeEnd({ geometry }: Settings, blocks: number): number {
  const group = geometry.groupsIn(blocks) - 1;
  const least = geometry.headOf(group) + LEAST_LAST_GROUP;
  return group === 0 ? blocks : Math.max(blocks, geometry.startOf(group) + least);
}

/** Its allocator's mark may be beyond the end. Undefined where so few groups can't have so many inodes. */
function planBlocks(
  settings: Settings,
  before: BlockAllocator,
  inodes: number,
  blocks: number,
): Plan | undefined {
  const { geometry, features } = settings;
  const groups = geometry.groupsIn(blocks);
  const table = inodesPerGroup(settings, before, inodes, blocks);
  if (table === undefined) return undefined;
  const inUse = geometry.descriptorBlocksOf(groups);
  const metaGroups = inUse > geometry.descriptorBlocks;
  const reservedDescriptorBlocks = metaGroups ? 0 : geometry.descriptorBlocks - inUse;
  const allocator = before.copy(Infinity);
  const one = (length: number): number => {
    const start = allocator.takeRun(length);
    if (start === undefined) throw new Error('a file system without end has no room');
    return start;
  };
  const each = (length: number): number[] => Array.from({ length: groups }, () => one(length));
  const reservedList = reservedDescriptorBlocks > 0 ? one(1) : undefined;
  const journal = takePieces(
    allocator,
    journalBlocks(settings, blocks),
    geometry.blocksPerGroup / 2,
  );
  const journalNodes = Array.from({ length: nodesFor(journal, geometry.blockSize) }, () => one(1));
  const orphans =
    features.has('orphan_file') && journal.length > 0
      ? { start: one(ORPHAN_BLOCKS), length: ORPHAN_BLOCKS }
      : undefined;
  const parts = {
    blockBitmaps: each(1),
    inodeBitmaps: each(1),
    inodeTables: each(table.blocks),
  };
  return {
    blocks,
    groups,
    inodesPerGroup: table.inodes,
    tableBlocks: table.blocks,
    descriptorBlocks: Math.min(inUse, geometry.descriptorBlocks),
    reservedDescriptorBlocks,
    metaGroups,
    reservedList,
    journal,
    journalNodes,
    orphans,
    ...parts,
    allocator,
    freeBlocks: countFree(settings, allocator, blocks, groups),
  };
}

/** In pieces of `piece` blocks, so that nothing small is filled with it; those that touch are one. */
function takePieces(allocator: BlockAllocator, count: number, piece: number): Run[] {
  const runs: Run[] = [];
  for (let left = count; left > 0; left -= piece) {
    const length = Math.min(left, piece);
    const start = allocator.takeRun(length);
    if (start === undefined) throw new Error('a file system without end has no room');
    const last = runs.at(-1);
    if (last !== undefined && last.start + last.length === start)
      runs.splice(-1, 1, { start: last.start, length: last.length + length });
    else runs.push({ start, length });
  }
  return runs;
}

function nodesFor(runs: readonly Run[], blockSize: number): number {
  let nodes = 0;
  let items = runs.reduce((sum, { length }) => sum + Math.ceil(length / EXTENT.longest), 0);
  while (items > itemsIn(POINTERS.length)) {
    items = Math.ceil(items / itemsIn(blockSize));
    nodes += items;
  }
  return nodes;
}

function countFree(
  { geometry }: Settings,
  allocator: BlockAllocator,
  blocks: number,
  groups: number,
): number {
  const first = geometry.groupOf(Math.min(allocator.mark, blocks - 1));
  let free = allocator.free.reduce((sum, run) => sum + run.length, 0);
  for (let group = first; group < groups; group += 1) {
    const start = geometry.startOf(group) + geometry.headOf(group);
    const end = Math.min(geometry.startOf(group + 1), blocks);
    free += Math.max(0, end - Math.max(start, allocator.mark));
  }
  return free;
}

/** One for each 16 KiB of all, or those in use and one for each 16 KiB of what is free, or what is asked for. */
function inodesPerGroup(
  { geometry, inodeSize, inodes: least, inodesPerGroup: inEach }: Settings,
  before: BlockAllocator,
  used: number,
  blocks: number,
): { readonly inodes: number; readonly blocks: number } | undefined {
  const { blockSize } = geometry;
  const per = (count: number): number => Math.ceil((count * blockSize) / BYTES_PER_INODE);
  const wanted = Math.max(least, per(blocks), used + per(Math.max(0, blocks - before.mark)));
  const inBlock = blockSize / inodeSize;
  const groups = geometry.groupsIn(blocks);
  // The first has those that are reserved, and a bitmap is of whole bytes.
  const step = Math.max(inBlock, 8);
  const each = Math.max(Math.ceil(wanted / groups), inEach);
  const inodes = Math.max(Math.ceil(each / step) * step, 16);
  if (inodes > blockSize * 8) return undefined;
  return { inodes, blocks: inodes / inBlock };
}

function journalBlocks({ geometry, features, journal }: Settings, blocks: number): number {
  if (!features.has('has_journal')) return 0;
  if (journal !== 'auto') return Math.floor(journal / geometry.blockSize);
  return chosenJournal(blocks, geometry.blockSize);
}

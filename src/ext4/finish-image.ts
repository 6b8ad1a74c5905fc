import type { BlockStore } from './block-store.ts';
import type { WrittenDirectory } from './directory-blocks.ts';
import { writeDirectory } from './directory-blocks.ts';
import { ExtentTree } from './extent-tree.ts';
import type { Feature } from './format/features.ts';
import {
  INODE_FLAG,
  INODE_TYPE,
  inodeSeed,
  POINTERS,
  readSectors,
  writeContentFields,
  writeLinks,
} from './format/inode.ts';
import { encodeJournalSuperblock } from './format/journal.ts';
import { encodeOrphanBlock } from './format/orphan-file.ts';
import { FIRST_INODE, JOURNAL_INODE } from './format/superblock.ts';
import type { Run } from './geometry.ts';
import type { Finished } from './image-writer.ts';
import type { InodeStore } from './inode-store.ts';
import type { Plan } from './plan-image.ts';
import { planSize, planSmallest } from './plan-image.ts';
import { NoRoom } from './refusal.ts';
import type { Settings } from './settings.ts';
import type { Tree } from './tree.ts';
import { ROOT } from './tree.ts';
import { writeGroups } from './write-groups.ts';

/** A file system in the making: its content is written, and what is said of it is in memory. */
export interface ImageState {
  readonly settings: Settings;
  readonly store: BlockStore;
  readonly inodes: InodeStore;
  readonly tree: Tree;
}

const RESIZE_INODE = 7;
const LOST_AND_FOUND_BYTES = 16 * 1024;
const MOST_LINKS = 65000;
const LISTED = new Map<number, number>(
  Object.values(INODE_TYPE).map(({ mode, listed }) => [mode, listed]),
);
const ZEROS = Buffer.alloc(64 * 1024);

/** Writes everything that is not content. Throws `NoRoom`, with what is needed, where a given size is too small. */
export async function finishImage(state: ImageState): Promise<Finished> {
  const { settings, store, inodes } = state;
  // With all that is to be written it can be told what would have been enough.
  store.allocator.liftLimit();
  await writeDirectories(state);
  await clearFree(store);
  // Counted while it is planned; there may be nothing for it.
  const orphanInode = settings.features.has('orphan_file') ? inodes.allocate() : undefined;
  const plan = planImage(state);
  const orphans =
    orphanInode === undefined || plan.orphans === undefined
      ? undefined
      : writeOrphanFile(state, plan.orphans, orphanInode);
  if (orphanInode !== undefined && orphans === undefined) inodes.release(orphanInode);
  const journal = writeJournal(state, plan);
  await writeReservedList(state, plan);
  const features = new Set<Feature>(settings.features);
  if (journal === undefined) features.delete('has_journal');
  if (orphans === undefined) features.delete('orphan_file');
  if (plan.reservedList === undefined) features.delete('resize_inode');
  if (plan.metaGroups) features.add('meta_bg');
  await writeGroups(state, plan, {
    features,
    ...(journal === undefined ? {} : { journal }),
    ...(orphans === undefined ? {} : { orphanFileInode: orphans }),
  });
  await store.output.flush();
  const { blockSize } = store;
  return {
    size: settings.size === 'auto' ? plan.blocks * blockSize : settings.size,
    used: (plan.blocks - plan.freeBlocks) * blockSize,
    inodes: inodes.used,
  };
}

function planImage({ settings, store: { allocator, blockSize }, inodes }: ImageState): Plan {
  const { size, headroom } = settings;
  if (size === 'auto') return planSmallest(settings, allocator, inodes.last, headroom);
  const plan = planSize(settings, allocator, inodes.last, size);
  if (plan !== undefined) return plan;
  const needed = planSmallest(settings, allocator, inodes.last, { bytes: 0 });
  throw new NoRoom(needed.blocks * blockSize);
}

async function writeDirectories(state: ImageState): Promise<void> {
  const { store, inodes } = state;
  const last = inodes.last;
  for (let inode = ROOT; inode <= last; inode += 1)
    if (inodes.isUsed(inode) && inodes.isDirectory(inode)) {
      await writeOneDirectory(state, inode);
      state.tree.settle();
      await store.output.room();
    }
}

async function writeOneDirectory(state: ImageState, inode: number): Promise<void> {
  const { settings, store, inodes, tree } = state;
  let subdirectories = 0;
  let count = 0;
  for (const entry of tree.entriesOf(inode)) {
    count += 1;
    if (inodes.isDirectory(tree.inodeOf(entry))) subdirectories += 1;
  }
  const names = new Uint32Array(count);
  let at = 0;
  for (const entry of tree.entriesOf(inode)) names[at++] = entry;
  const written = await writeDirectory(
    store,
    {
      inode,
      parent: tree.parentOf(inode),
      seed: inodeSeed(inode, settings.checksumSeed),
      names,
      look: (entry) => {
        const child = tree.inodeOf(entry);
        return {
          name: tree.nameOf(entry),
          inode: child,
          listed: LISTED.get(inodes.typeOf(child)) ?? 0,
        };
      },
      ...(inode === FIRST_INODE ? { least: LOST_AND_FOUND_BYTES / store.blockSize } : {}),
    },
    settings.hashSeed,
  );
  recordDirectory(inodes.fields(inode), written, subdirectories, store.blockSize);
}

function recordDirectory(
  fields: Buffer,
  { size, pointers, blocks, indexed }: WrittenDirectory,
  subdirectories: number,
  blockSize: number,
): void {
  // What is there already is the block of its attributes.
  const sectors = readSectors(fields) + sectorsOf(blocks, blockSize);
  const flags = INODE_FLAG.extents | (indexed ? INODE_FLAG.indexed : 0);
  writeContentFields(fields, { size, sectors, flags, pointers });
  // With `dir_nlink`, 1 says that there are more than can be counted.
  const links = 2 + subdirectories;
  writeLinks(fields, links > MOST_LINKS ? 1 : links);
}

/** What was given back and not used again may hold content that was replaced: nobody is to find it. */
async function clearFree({ allocator, output, blockSize }: BlockStore): Promise<void> {
  for (const { start, length } of allocator.free) {
    const end = (start + length) * blockSize;
    for (let at = start * blockSize; at < end; at += ZEROS.length) {
      output.write(at, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)));
      await output.room();
    }
  }
}

/** The inode's number. The list is empty. */
function writeOrphanFile(
  { settings, store, inodes }: ImageState,
  { start, length }: Run,
  inode: number,
): number {
  const { blockSize, output } = store;
  const seed = inodeSeed(inode, settings.checksumSeed);
  for (let at = start; at < start + length; at += 1)
    output.write(at * blockSize, encodeOrphanBlock(blockSize, at, seed));
  // One extent: there is no node to be written.
  const extents = new ExtentTree(blockSize, seed, () => {
    throw new Error('a node of one');
  });
  extents.add({ logical: 0, physical: start, length });
  writeSystemFile(inodes, inode, settings.epoch, {
    size: length * blockSize,
    pointers: extents.end(),
    sectors: sectorsOf(length, blockSize),
    flags: INODE_FLAG.extents,
  });
  return inode;
}

interface Journal {
  readonly pointers: Buffer;
  readonly size: number;
}

/** All of it but its first block is a hole of the image's file. */
function writeJournal(
  { settings, store, inodes }: ImageState,
  { journal: runs, journalNodes }: Plan,
): Journal | undefined {
  const [first] = runs;
  if (first === undefined) return undefined;
  const { blockSize } = store;
  const blocks = runs.reduce((sum, run) => sum + run.length, 0);
  const seed = inodeSeed(JOURNAL_INODE, settings.checksumSeed);
  const nodes = journalNodes.values();
  const extents = new ExtentTree(blockSize, seed, (node) => {
    const { value: at } = nodes.next();
    if (at === undefined) throw new Error('the journal has more extents than planned');
    store.output.write(at * blockSize, node);
    return at;
  });
  let logical = 0;
  for (const { start, length } of runs) {
    extents.add({ logical, physical: start, length });
    logical += length;
  }
  const pointers = extents.end();
  const size = blocks * blockSize;
  writeSystemFile(inodes, JOURNAL_INODE, settings.epoch, {
    ...{ size, pointers, flags: INODE_FLAG.extents },
    sectors: sectorsOf(blocks + journalNodes.length, blockSize),
  });
  const superblock = encodeJournalSuperblock(blockSize, blocks, settings.uuid);
  store.output.write(first.start * blockSize, superblock);
  return { pointers, size };
}

/**
 * The inode that owns the blocks kept for more descriptors (e2fsprogs, lib/ext2fs/res_gdt.c): by its doubly indirect
 * block it names those behind the first superblock, and each of them those at its place behind the copies.
 */
async function writeReservedList(
  { settings, store, inodes }: ImageState,
  plan: Plan,
): Promise<void> {
  const { reservedList, reservedDescriptorBlocks: reserved, descriptorBlocks } = plan;
  if (reservedList === undefined) return;
  const { geometry, epoch } = settings;
  const { blockSize, output } = store;
  const numbers = blockSize / 4;
  const copies = Array.from({ length: plan.groups }, (_, group) => group).filter(
    (group) => group > 0 && geometry.hasSuperblock(group),
  );
  const list = Buffer.alloc(blockSize);
  for (let i = 0; i < reserved; i += 1) {
    const block = geometry.firstBlock + 1 + descriptorBlocks + i;
    list.writeUInt32LE(block, ((descriptorBlocks + i) % numbers) * 4);
    const inCopies = Buffer.alloc(blockSize);
    copies.forEach((group, at) =>
      inCopies.writeUInt32LE(block + group * geometry.blocksPerGroup, at * 4),
    );
    output.write(block * blockSize, inCopies);
    await output.room();
  }
  output.write(reservedList * blockSize, list);
  const pointers = Buffer.alloc(POINTERS.length);
  pointers.writeUInt32LE(reservedList, DOUBLY_INDIRECT * 4);
  writeSystemFile(inodes, RESIZE_INODE, epoch, {
    ...{ pointers, flags: 0 },
    // All that a doubly indirect block and those before it can reach.
    size: (numbers * numbers + numbers + DIRECT) * blockSize,
    sectors: sectorsOf(1 + reserved * (1 + copies.length), blockSize),
  });
}

const DIRECT = 12;
const DOUBLY_INDIRECT = 13;

function writeSystemFile(
  inodes: InodeStore,
  inode: number,
  epoch: number,
  content: {
    readonly size: number;
    readonly pointers: Buffer;
    readonly sectors: number;
    readonly flags: number;
  },
): void {
  const time = { seconds: epoch, nanoseconds: 0 };
  inodes.describe(inode, {
    ...content,
    ...{ mode: INODE_TYPE.file.mode | 0o600, uid: 0, gid: 0, links: 1, xattrBlock: 0 },
    ...{ atime: time, ctime: time, mtime: time, crtime: time },
  });
}

export function sectorsOf(blocks: number, blockSize: number): number {
  return blocks * (blockSize / 512);
}

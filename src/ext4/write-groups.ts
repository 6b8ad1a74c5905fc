import type { BlockAllocator } from './block-allocator.ts';
import type { ImageState } from './finish-image.ts';
import { crc32c } from './format/crc32c.ts';
import type { GroupDescriptor } from './format/group-descriptor.ts';
import { DESCRIPTOR_SIZE, encodeGroupDescriptor, GROUP } from './format/group-descriptor.ts';
import { readLinks, sealInode } from './format/inode.ts';
import type { SuperblockFields } from './format/superblock.ts';
import { encodeSuperblock, SUPERBLOCK } from './format/superblock.ts';
import type { Plan } from './plan-image.ts';

/**
 * Writes what the file system says of itself: inode tables, bitmaps, group descriptors, superblocks. Nothing may be
 * taken afterwards. What is empty is not written: the file is zero there.
 */
export async function writeGroups(
  state: ImageState,
  plan: Plan,
  more: Pick<SuperblockFields, 'features' | 'journal' | 'orphanFileInode'>,
): Promise<void> {
  const { settings, store, inodes } = state;
  const { geometry } = settings;
  await writeTables(state, plan);
  const descriptors = await writeBitmaps(state, plan);
  await writeDescriptors(state, plan, descriptors);
  const fields: SuperblockFields = {
    ...more,
    label: settings.label,
    uuid: settings.uuid,
    hashSeed: settings.hashSeed,
    epoch: settings.epoch,
    blockSize: geometry.blockSize,
    blocks: plan.blocks,
    reservedBlocks: Math.floor(plan.blocks * settings.reserved),
    freeBlocks: plan.freeBlocks,
    firstBlock: geometry.firstBlock,
    blocksPerGroup: geometry.blocksPerGroup,
    inodes: plan.groups * plan.inodesPerGroup,
    freeInodes: plan.groups * plan.inodesPerGroup - inodes.used,
    inodesPerGroup: plan.inodesPerGroup,
    inodeSize: settings.inodeSize,
    descriptorSize: DESCRIPTOR_SIZE,
    reservedDescriptorBlocks: plan.reservedDescriptorBlocks,
    firstMetaGroup: plan.metaGroups ? geometry.descriptorBlocks : 0,
    checksumSeed: settings.checksumSeed,
    extraInodeSize: settings.extraInodeSize,
  };
  for (let group = plan.groups - 1; group >= 0; group -= 1) {
    if (!geometry.hasSuperblock(group)) continue;
    // The first is at byte 1024 whatever the size of blocks, and last: without it nothing is a file system.
    const at = group === 0 ? SUPERBLOCK.at : geometry.startOf(group) * geometry.blockSize;
    store.output.write(at, encodeSuperblock(fields, group));
    await store.output.room();
  }
}

/** Of each group, up to its last inode in use. */
async function writeTables({ settings, store, inodes }: ImageState, plan: Plan): Promise<void> {
  const { inodeSize, checksumSeed } = settings;
  const { blockSize, output } = store;
  const inBlock = blockSize / inodeSize;
  const block = Buffer.alloc(blockSize);
  for (let group = 0; group < plan.groups; group += 1) {
    const first = group * plan.inodesPerGroup + 1;
    const last = Math.min(first + plan.inodesPerGroup - 1, inodes.last);
    for (let inode = first; inode <= last; inode += inBlock) {
      block.fill(0);
      for (let i = 0; i < inBlock && inode + i <= last; i += 1) {
        // Reserved ones that nothing uses stay zero, which is right without a checksum.
        const fields = inodes.look(inode + i);
        if (readLinks(fields) === 0) continue;
        const bytes = block.subarray(i * inodeSize, (i + 1) * inodeSize);
        fields.copy(bytes);
        sealInode(bytes, inode + i, checksumSeed);
      }
      const at = (plan.inodeTables[group] ?? 0) + (inode - first) / inBlock;
      output.write(at * blockSize, block);
      inodes.settle();
      await output.room();
    }
  }
}

async function writeBitmaps(state: ImageState, plan: Plan): Promise<GroupDescriptor[]> {
  const { settings, store } = state;
  const { output, blockSize } = store;
  const { checksumSeed } = settings;
  const descriptors: GroupDescriptor[] = [];
  for (let group = 0; group < plan.groups; group += 1) {
    const blocks = blockBitmap(state, plan, group);
    const inodes = inodeBitmap(state, plan, group);
    const blockBitmapAt = plan.blockBitmaps[group] ?? 0;
    const inodeBitmapAt = plan.inodeBitmaps[group] ?? 0;
    if (blocks.bitmap !== undefined) output.write(blockBitmapAt * blockSize, blocks.bitmap);
    if (inodes.bitmap !== undefined) output.write(inodeBitmapAt * blockSize, inodes.bitmap);
    await output.room();
    const sum = (bitmap: Buffer | undefined, bits: number): number =>
      bitmap === undefined ? 0 : crc32c(checksumSeed, bitmap.subarray(0, bits / 8));
    descriptors.push({
      blockBitmap: blockBitmapAt,
      inodeBitmap: inodeBitmapAt,
      inodeTable: plan.inodeTables[group] ?? 0,
      freeBlocks: blocks.free,
      freeInodes: plan.inodesPerGroup - inodes.used,
      directories: inodes.directories,
      unusedInodes: plan.inodesPerGroup - inodes.last,
      flags:
        GROUP.tableZeroed |
        (blocks.bitmap === undefined ? GROUP.blocksUninitialised : 0) |
        (inodes.bitmap === undefined ? GROUP.inodesUninitialised : 0),
      blockBitmapChecksum: sum(blocks.bitmap, settings.geometry.blocksPerGroup),
      inodeBitmapChecksum: sum(inodes.bitmap, plan.inodesPerGroup),
    });
  }
  return descriptors;
}

/** None for a group in which nothing but its head is taken: Linux knows what that would be. */
function blockBitmap(
  { settings: { geometry } }: ImageState,
  { blocks, groups, allocator }: Plan,
  group: number,
): { readonly bitmap: Buffer | undefined; readonly free: number } {
  const start = geometry.startOf(group);
  const head = geometry.headOf(group);
  const end = Math.min(geometry.startOf(group + 1), blocks);
  const free = freeRuns(allocator, start + head, end);
  const count = free.reduce((sum, run) => sum + run.length, 0);
  const isUntouched = count === end - start - head && group > 0 && group < groups - 1;
  if (isUntouched) return { bitmap: undefined, free: count };
  // What would be behind the end of the file system is taken.
  const bitmap = Buffer.alloc(geometry.blocksPerGroup / 8, 0xff);
  for (const run of free) clearBits(bitmap, run.start - start, run.length);
  return { bitmap, free: count };
}

function freeRuns(
  allocator: BlockAllocator,
  start: number,
  end: number,
): { readonly start: number; readonly length: number }[] {
  return [...allocator.freeWithin(start, end)];
}

/** None for a group without any in use. */
function inodeBitmap(
  { store: { blockSize }, inodes }: ImageState,
  { inodesPerGroup }: Plan,
  group: number,
): {
  readonly bitmap: Buffer | undefined;
  readonly used: number;
  readonly directories: number;
  /** How many there are up to the last in use. */
  readonly last: number;
} {
  const first = group * inodesPerGroup + 1;
  const count = Math.max(0, Math.min(inodesPerGroup, inodes.last - first + 1));
  let used = 0;
  let directories = 0;
  let last = 0;
  const bitmap = Buffer.alloc(blockSize, 0xff);
  clearBits(bitmap, 0, inodesPerGroup);
  for (let i = 0; i < count; i += 1) {
    if (!inodes.isUsed(first + i)) continue;
    used += 1;
    last = i + 1;
    if (inodes.isDirectory(first + i)) directories += 1;
    bitmap[i >>> 3] = (bitmap[i >>> 3] ?? 0) | (1 << (i & 7));
  }
  return { bitmap: used === 0 ? undefined : bitmap, used, directories, last };
}

function clearBits(bitmap: Buffer, start: number, length: number): void {
  const end = start + length;
  let at = start;
  while (at < end && (at % 8 !== 0 || end - at < 8)) {
    bitmap[at >>> 3] = (bitmap[at >>> 3] ?? 0) & ~(1 << (at & 7));
    at += 1;
  }
  if (at === end) return;
  bitmap.fill(0, at >>> 3, end >>> 3);
  for (at = end - (end % 8); at < end; at += 1)
    bitmap[at >>> 3] = (bitmap[at >>> 3] ?? 0) & ~(1 << (at & 7));
}

/** Behind every copy of the superblock; those beyond lie with the groups that they are about. */
async function writeDescriptors(
  { settings: { geometry, checksumSeed }, store: { output, blockSize } }: ImageState,
  plan: Plan,
  descriptors: readonly GroupDescriptor[],
): Promise<void> {
  const table = Buffer.alloc(geometry.descriptorBlocksOf(plan.groups) * blockSize);
  descriptors.forEach((descriptor, group) => {
    table.set(encodeGroupDescriptor(descriptor, group, checksumSeed), group * DESCRIPTOR_SIZE);
  });
  const common = table.subarray(0, plan.descriptorBlocks * blockSize);
  for (let group = 0; group < plan.groups; group += 1) {
    const behind = geometry.startOf(group) + (geometry.hasSuperblock(group) ? 1 : 0);
    const own = geometry.metaBlockIn(group);
    if (own !== undefined)
      output.write(behind * blockSize, table.subarray(own * blockSize, (own + 1) * blockSize));
    else if (geometry.hasSuperblock(group)) output.write(behind * blockSize, common);
    await output.room();
  }
}

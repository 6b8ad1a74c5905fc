import { DESCRIPTOR_SIZE } from './format/group-descriptor.ts';

/** A stretch of blocks. */
export interface Run {
  readonly start: number;
  readonly length: number;
}

/**
 * Where the groups of a file system begin, and which blocks at their heads are taken before anything is written:
 * copies of the superblock and of the group descriptors. How many blocks of descriptors there are is fixed from the
 * start; beyond the groups that they describe, descriptors lie with their groups (`meta_bg`).
 */
export class Geometry {
  readonly blockSize: number;
  /** Of descriptors behind each copy of the superblock, those included that are kept for growing. */
  readonly descriptorBlocks: number;
  /** Below it is only what a boot loader needs. */
  readonly firstBlock: number;
  readonly blocksPerGroup: number;
  readonly descriptorsPerBlock: number;

  constructor(blockSize: number, descriptorBlocks: number) {
    this.blockSize = blockSize;
    this.descriptorBlocks = descriptorBlocks;
    this.firstBlock = blockSize === 1024 ? 1 : 0;
    this.blocksPerGroup = blockSize * 8;
    this.descriptorsPerBlock = blockSize / DESCRIPTOR_SIZE;
  }

  groupOf(block: number): number {
    return Math.floor((block - this.firstBlock) / this.blocksPerGroup);
  }

  startOf(group: number): number {
    return this.firstBlock + group * this.blocksPerGroup;
  }

  groupsIn(blocks: number): number {
    return Math.ceil((blocks - this.firstBlock) / this.blocksPerGroup);
  }

  /** Of a file system of so many groups. */
  descriptorBlocksOf(groups: number): number {
    return Math.ceil(groups / this.descriptorsPerBlock);
  }

  /** Does its head hold a copy of the superblock (`sparse_super`)? */
  hasSuperblock(group: number): boolean {
    return group <= 1 || isPowerOf(group, 3) || isPowerOf(group, 5) || isPowerOf(group, 7);
  }

  /** Of a group whose head holds one block of descriptors: which one. */
  metaBlockIn(group: number): number | undefined {
    const metaGroup = Math.floor(group / this.descriptorsPerBlock);
    const place = group % this.descriptorsPerBlock;
    return metaGroup >= this.descriptorBlocks &&
      (place <= 1 || place === this.descriptorsPerBlock - 1)
      ? metaGroup
      : undefined;
  }

  /** Blocks at the start of a group that nothing else may lie in. */
  headOf(group: number): number {
    const superblock = this.hasSuperblock(group) ? 1 : 0;
    if (group < this.descriptorBlocks * this.descriptorsPerBlock)
      return superblock * (1 + this.descriptorBlocks);
    return superblock + (this.metaBlockIn(group) === undefined ? 0 : 1);
  }
}

function isPowerOf(value: number, base: number): boolean {
  let power = base;
  while (power < value) power *= base;
  return power === value;
}

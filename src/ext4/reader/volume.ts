import { crc16 } from '../format/crc16.ts';
import { crc32c } from '../format/crc32c.ts';
import { BlockCache } from './block-cache.ts';
import { damaged } from './damage.ts';
import type { ImageFile } from './image-file.ts';
import type { Superblock } from './superblock.ts';

const INODE_UNINITIALISED = 1;
const CHECKSUM_AT = 0x1e;
const WITH_HIGH_HALVES = 64;

/** The blocks of a file system by their numbers, and where its inodes lie. */
export class Volume {
  readonly superblock: Superblock;
  readonly #file: ImageFile;
  readonly #cache: BlockCache;
  /** The first block of a group's inodes. */
  readonly #tables = new Map<number, number>();

  constructor(file: ImageFile, superblock: Superblock) {
    this.superblock = superblock;
    this.#file = file;
    this.#cache = new BlockCache(file);
  }

  /** A block of metadata, to be looked at and not to be kept. `what` is whose it is, for the failure. */
  async block(number: number, what: string): Promise<Buffer> {
    this.check(number, 1, what);
    const { blockSize } = this.superblock;
    return this.#cache.read(number * blockSize, blockSize);
  }

  /** Fills `into` with what lies `offset` bytes after the start of a block that `check` has accepted. */
  async readInto(into: Buffer, block: number, offset: number): Promise<void> {
    await this.#file.readInto(into, block * this.superblock.blockSize + offset);
  }

  /** Blocks that something claims must be some that there are. */
  check(first: number, count: number, what: string): void {
    const { firstBlock, blocks } = this.superblock;
    if (first < Math.max(firstBlock, 1) || first + count > blocks)
      throw damaged(`${what} is said to lie in block ${first} of ${blocks}`);
  }

  /** An inode's bytes, to be looked at and not to be kept. */
  async inodeBytes(inode: number): Promise<Buffer> {
    const { inodes, inodesPerGroup, inodeSize, blockSize } = this.superblock;
    if (inode < 1 || inode > inodes) throw damaged(`inode ${inode} of ${inodes} is referred to`);
    const group = Math.floor((inode - 1) / inodesPerGroup);
    const at = ((inode - 1) % inodesPerGroup) * inodeSize;
    const block = (await this.#tableOf(group)) + Math.floor(at / blockSize);
    const bytes = await this.block(block, `inode ${inode}`);
    return bytes.subarray(at % blockSize, (at % blockSize) + inodeSize);
  }

  async #tableOf(group: number): Promise<number> {
    const known = this.#tables.get(group);
    if (known !== undefined) return known;
    const { descriptorSize, blockSize, inodesPerGroup, inodeSize, checksums } = this.superblock;
    const perBlock = blockSize / descriptorSize;
    const what = `the descriptor of group ${group}`;
    const block = await this.block(this.#descriptorBlock(Math.floor(group / perBlock)), what);
    const at = (group % perBlock) * descriptorSize;
    const bytes = block.subarray(at, at + descriptorSize);
    this.#checkDescriptor(bytes, group);
    if (checksums !== 'none' && (bytes.readUInt16LE(0x12) & INODE_UNINITIALISED) !== 0)
      throw damaged(`inodes of group ${group} are referred to, and it has none in use`);
    const high = descriptorSize >= WITH_HIGH_HALVES ? bytes.readUInt32LE(0x28) : 0;
    const table = bytes.readUInt32LE(0x8) + high * 2 ** 32;
    this.check(
      table,
      Math.ceil((inodesPerGroup * inodeSize) / blockSize),
      `the inode table of group ${group}`,
    );
    this.#tables.set(group, table);
    return table;
  }

  /** As Linux' `descriptor_loc` (fs/ext4/super.c). */
  #descriptorBlock(index: number): number {
    const { blockSize, firstMetaGroup, firstBlock, blocksPerGroup, descriptorSize } =
      this.superblock;
    if (index < firstMetaGroup) return Math.floor(1024 / blockSize) + 1 + index;
    const group = index * (blockSize / descriptorSize);
    // With blocks of 1 KiB that are counted from 0 (bigalloc), the superblock is the second block of its group.
    const shifted = blockSize === 1024 && index === 0 && firstBlock === 0 ? 1 : 0;
    return firstBlock + group * blocksPerGroup + (this.#hasSuperblock(group) ? 1 : 0) + shifted;
  }

  #hasSuperblock(group: number): boolean {
    const { features, backupGroups } = this.superblock;
    if (group === 0) return true;
    if (features.has('sparse_super2')) return backupGroups.includes(group);
    if (group === 1 || !features.has('sparse_super')) return true;
    return [3, 5, 7].some((base) => isPowerOf(group, base));
  }

  #checkDescriptor(bytes: Buffer, group: number): void {
    const { checksums, checksumSeed, uuidBytes } = this.superblock;
    if (checksums === 'none') return;
    const number = Buffer.alloc(4);
    number.writeUInt32LE(group);
    const [before, after] = [bytes.subarray(0, CHECKSUM_AT), bytes.subarray(CHECKSUM_AT + 2)];
    const expected =
      checksums === 'crc32c'
        ? [number, before, Buffer.alloc(2), after].reduce(crc32c, checksumSeed) & 0xffff
        : [uuidBytes, number, before, after].reduce(crc16, 0xffff);
    if (expected !== bytes.readUInt16LE(CHECKSUM_AT))
      throw damaged(`the descriptor of group ${group} has a wrong checksum`);
  }
}

function isPowerOf(n: number, base: number): boolean {
  let power = base;
  while (power < n) power *= base;
  return power === n;
}

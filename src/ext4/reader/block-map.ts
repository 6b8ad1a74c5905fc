import { BlockSet } from './block-set.ts';
import { damaged } from './damage.ts';
import type { RawInode } from './inode.ts';
import { pointersOf } from './inode.ts';
import type { Range, Run } from './runs.ts';
import type { Volume } from './volume.ts';

const DIRECT = 12;
const LEVELS = 3;

/**
 * What the block map of an ext2 or ext3 inode maps of the logical blocks wanted: 12 blocks, then those of a block of
 * numbers, of a block of such, and of a block of these. Number 0 is a hole. Neighbours come as one run, in order.
 */
export async function* blockRuns(
  volume: Volume,
  inode: RawInode,
  wanted: Range,
): AsyncGenerator<Run> {
  let pending: Run | undefined;
  for await (const run of new BlockMap(volume, inode, wanted).runs()) {
    if (
      pending !== undefined &&
      pending.logical + pending.count === run.logical &&
      pending.physical + pending.count === run.physical
    ) {
      pending = { ...pending, count: pending.count + run.count };
      continue;
    }
    if (pending !== undefined) yield pending;
    pending = run;
  }
  if (pending !== undefined) yield pending;
}

class BlockMap {
  readonly #volume: Volume;
  readonly #inode: RawInode;
  readonly #wanted: Range;
  readonly #perBlock: number;
  /** A block of numbers that is met twice would be read without end. */
  readonly #met = new BlockSet();

  constructor(volume: Volume, inode: RawInode, wanted: Range) {
    this.#volume = volume;
    this.#inode = inode;
    this.#wanted = wanted;
    this.#perBlock = volume.superblock.blockSize / 4;
  }

  async *runs(): AsyncGenerator<Run> {
    const pointers = pointersOf(this.#inode);
    yield* this.#mapped(pointers.subarray(0, DIRECT * 4), 0);
    let first = DIRECT;
    for (let level = 1; level <= LEVELS; level += 1) {
      const number = pointers.readUInt32LE((DIRECT + level - 1) * 4);
      yield* this.#below(number, level, first);
      first += this.#perBlock ** level;
    }
  }

  /** What is mapped through block `number`, whose first logical block is `first`. */
  async *#below(number: number, level: number, first: number): AsyncGenerator<Run> {
    const { from, to } = this.#wanted;
    if (number === 0 || first >= to || first + this.#perBlock ** level <= from) return;
    if (!this.#met.add(number))
      throw damaged(`the block map of inode ${this.#inode.number} has block ${number} twice`);
    const numbers = await this.#volume.block(
      number,
      `the block map of inode ${this.#inode.number}`,
    );
    if (level === 1) {
      yield* this.#mapped(numbers, first);
      return;
    }
    const span = this.#perBlock ** (level - 1);
    for (let i = 0; i < this.#perBlock; i += 1) {
      const next = numbers.readUInt32LE(i * 4);
      if (next !== 0) yield* this.#below(next, level - 1, first + i * span);
    }
  }

  #mapped(numbers: Buffer, first: number): Run[] {
    const { from, to } = this.#wanted;
    const runs: Run[] = [];
    const count = Math.min(numbers.length / 4, to - first);
    for (let i = Math.max(from - first, 0); i < count; i += 1) {
      const physical = numbers.readUInt32LE(i * 4);
      if (physical === 0) continue;
      let length = 1;
      while (i + length < count && numbers.readUInt32LE((i + length) * 4) === physical + length)
        length += 1;
      this.#volume.check(physical, length, `part of inode ${this.#inode.number}`);
      runs.push({ logical: first + i, physical, count: length });
      i += length - 1;
    }
    return runs;
  }
}

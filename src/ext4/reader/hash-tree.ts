import { hashName } from '../format/name-hash.ts';
import { BlockSet } from './block-set.ts';
import { damaged } from './damage.ts';
import type { Listed } from './directory.ts';
import { blocksOf, directoryBlock, indexCountAt, parseNames } from './directory.ts';
import type { RawInode } from './inode.ts';
import { runsOf } from './runs.ts';
import type { Volume } from './volume.ts';

const HALF_MD4 = 1;
const ROOT_ITEMS_AT = 0x20;
const ITEM = 8;
/** Levels of nodes below the root. */
const MOST_LEVELS = 1;
const MOST_LEVELS_LARGE = 2;

/** Which of a node's items led on. */
interface Step {
  readonly items: readonly Item[];
  index: number;
}

interface Item {
  readonly hash: number;
  /** Counted in the directory. */
  readonly block: number;
}

/**
 * Looks a name up by its hash, as Linux does (fs/ext4/namei.c, `ext4_dx_find_entry`), so that few blocks are read.
 * Tells `unknown` where the directory has no such tree, or one by a hash that is not known here.
 */
export async function findByHash(
  volume: Volume,
  directory: RawInode,
  name: Buffer,
): Promise<Listed | undefined | 'unknown'> {
  if (!directory.indexed || directory.inline) return 'unknown';
  const search = new Search(volume, directory);
  const root = await search.block(0);
  const { hashUnsigned, hashSeedBytes } = volume.superblock;
  const isPlain = name.every((byte) => byte < 0x80);
  if (root.readUInt8(0x1c) !== HALF_MD4 || !(hashUnsigned || isPlain)) return 'unknown';
  return search.find(root, name, hashName(name, hashSeedBytes).major);
}

class Search {
  readonly #volume: Volume;
  readonly #directory: RawInode;
  readonly #count: number;
  readonly #met = new BlockSet();

  constructor(volume: Volume, directory: RawInode) {
    this.#volume = volume;
    this.#directory = directory;
    this.#count = blocksOf(volume, directory);
  }

  async find(root: Buffer, name: Buffer, hash: number): Promise<Listed | undefined> {
    const levels = root.readUInt8(0x1e);
    const large = this.#volume.superblock.features.has('large_dir');
    if (levels > (large ? MOST_LEVELS_LARGE : MOST_LEVELS)) throw this.#wrong();
    const first = this.#itemsOf(root, 0);
    const steps: Step[] = [{ items: first, index: indexOf(first, hash) }];
    for (;;) {
      while (steps.length <= levels) {
        const items = this.#itemsOf(await this.block(blockAt(steps)), 1);
        steps.push({ items, index: indexOf(items, hash) });
      }
      const leaf = await this.block(blockAt(steps));
      for (const listed of parseNames(this.#volume.superblock, this.#directory, leaf))
        if (listed.name.equals(name)) return listed;
      if (!advance(steps, hash)) return undefined;
    }
  }

  /** Any block of the directory, once: what leads to it again leads in circles. */
  async block(logical: number): Promise<Buffer> {
    if (logical >= this.#count || !this.#met.add(logical)) throw this.#wrong();
    const range = { from: logical, to: logical + 1 };
    for await (const { physical } of runsOf(this.#volume, this.#directory, range))
      return directoryBlock(this.#volume, this.#directory, logical, physical);
    throw damaged(`directory inode ${this.#directory.number} has a hole`);
  }

  #itemsOf(block: Buffer, logical: number): Item[] {
    const at = indexCountAt(block, logical);
    if (at === undefined || (logical === 0) !== (at === ROOT_ITEMS_AT)) throw this.#wrong();
    const [limit, count] = [block.readUInt16LE(at), block.readUInt16LE(at + 2)];
    if (count === 0 || count > limit || at + limit * ITEM > block.length) throw this.#wrong();
    return Array.from({ length: count }, (_, i) => ({
      // In place of the first hash, which is 0, stand the two counts.
      hash: i === 0 ? 0 : block.readUInt32LE(at + i * ITEM),
      block: block.readUInt32LE(at + i * ITEM + 4) & 0x0fffffff,
    }));
  }

  #wrong(): Error {
    return damaged(`the hash tree of directory inode ${this.#directory.number} contradicts itself`);
  }
}

/** The last item that does not begin behind the hash. */
function indexOf(items: readonly Item[], hash: number): number {
  let [low, high] = [0, items.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((items[middle]?.hash ?? 0) <= hash) low = middle;
    else high = middle - 1;
  }
  return low;
}

function blockAt(steps: readonly Step[]): number {
  const step = steps.at(-1);
  return step?.items[step.index]?.block ?? 0;
}

/** On to the next leaf, if names with the same hash may go on there. */
function advance(steps: Step[], hash: number): boolean {
  for (let step = steps.at(-1); step !== undefined; step = steps.at(-1)) {
    const next = step.items[step.index + 1];
    if (next === undefined) {
      steps.pop();
      continue;
    }
    if ((next.hash & ~1) >>> 0 !== hash) return false;
    step.index += 1;
    return true;
  }
  return false;
}

import type { BlockStore, Mapped } from './block-store.ts';
import { MappedBlocks } from './block-store.ts';
import type { IndexItem } from './format/directory.ts';
import {
  DOT,
  DOT_DOT,
  encodeIndexNode,
  encodeIndexRoot,
  entryLength,
  listCapacity,
  nodeCapacity,
  rootCapacity,
  sealListBlock,
  setEntryLength,
  writeDirectoryEntry,
} from './format/directory.ts';
import { INODE_TYPE } from './format/inode.ts';
import { hashName } from './format/name-hash.ts';

export interface Directory {
  readonly inode: number;
  readonly parent: number;
  /** The inode's. */
  readonly seed: number;
  /** The names in it, as numbers that `look` knows: there may be millions. */
  readonly names: Uint32Array;
  readonly look: (name: number) => Name;
  /** Fewest blocks of its list; it is not indexed then. */
  readonly least?: number;
}

export interface Name {
  readonly name: Uint8Array;
  readonly inode: number;
  /** What directories call its type. */
  readonly listed: number;
}

export interface WrittenDirectory extends Mapped {
  /** Bytes. */
  readonly size: number;
  readonly indexed: boolean;
}

/**
 * Writes a directory: one block as a list, more with an index by hash. What is more than an index of two levels holds
 * stays a list, which is slow and right. `hashSeed` is the superblock's.
 */
export async function writeDirectory(
  store: BlockStore,
  directory: Directory,
  hashSeed: Uint8Array,
): Promise<WrittenDirectory> {
  const { blockSize } = store;
  const { names, look, least } = directory;
  let length = DOTS_LENGTH;
  for (const name of names) length += entryLength(look(name).name.length);
  const isShort = length <= listCapacity(blockSize);
  const index =
    isShort || least !== undefined ? undefined : planIndex(directory, blockSize, hashSeed);
  const blocks = new MappedBlocks(store, directory.seed);
  const size =
    index === undefined
      ? await writeList(store, blocks, directory)
      : await writeIndexed(store, blocks, directory, index);
  return { ...blocks.end(), size, indexed: index !== undefined };
}

const DOTS_LENGTH = 24;
/** 22 bits: with 31 of a hash, that is what a number holds exactly. */
const MOST_INDEXED = 2 ** 22;

async function writeList(
  { blockSize, output }: BlockStore,
  blocks: MappedBlocks,
  directory: Directory,
): Promise<number> {
  const { inode, parent, seed, names, look, least = 1 } = directory;
  const listed = INODE_TYPE.directory.listed;
  const list = new ListBlock(blockSize);
  list.add({ name: DOT, inode, listed });
  list.add({ name: DOT_DOT, inode: parent, listed });
  let written = 0;
  const finish = async (): Promise<void> => {
    blocks.append(list.finish(seed));
    written += 1;
    await output.room();
  };
  for (const name of names) {
    if (list.add(look(name))) continue;
    await finish();
    list.add(look(name));
  }
  do await finish();
  while (written < least);
  return written * blockSize;
}

/** What lies where in an indexed directory: the root, nodes if there are any, then the lists. */
interface IndexPlan {
  /** In the order of their hashes. */
  readonly names: Uint32Array;
  /** Of each list: where in `names` it begins, and its item in the index. */
  readonly starts: readonly number[];
  readonly items: readonly IndexItem[];
  readonly nodes: number;
}

function planIndex(
  directory: Directory,
  blockSize: number,
  hashSeed: Uint8Array,
): IndexPlan | undefined {
  const { names: unsorted, look } = directory;
  if (unsorted.length > MOST_INDEXED) return undefined;
  // Numbers sort in place, and what is equal in its hash may be in any order. Loops, as `from` makes lists in between.
  const keys = new Float64Array(unsorted.length);
  for (let i = 0; i < keys.length; i += 1) {
    const { major } = hashName(look(unsorted[i] ?? 0).name, hashSeed);
    keys[i] = (major / 2) * MOST_INDEXED + i;
  }
  keys.sort();
  const names = new Uint32Array(keys.length);
  for (let i = 0; i < keys.length; i += 1) names[i] = unsorted[(keys[i] ?? 0) % MOST_INDEXED] ?? 0;

  const starts: number[] = [];
  const hashes: number[] = [];
  let left = 0;
  let before = -1;
  names.forEach((name, i) => {
    const hash = 2 * Math.floor((keys[i] ?? 0) / MOST_INDEXED);
    const length = entryLength(look(name).name.length);
    if (length > left) {
      starts.push(i);
      hashes.push(hash === before ? hash + 1 : hash);
      left = listCapacity(blockSize);
    }
    left -= length;
    before = hash;
  });
  const perNode = nodeCapacity(blockSize);
  const nodes = starts.length <= rootCapacity(blockSize) ? 0 : Math.ceil(starts.length / perNode);
  if (nodes > rootCapacity(blockSize)) return undefined;
  return {
    names,
    starts,
    items: hashes.map((hash, i) => ({ hash, block: 1 + nodes + i })),
    nodes,
  };
}

async function writeIndexed(
  { blockSize, output }: BlockStore,
  blocks: MappedBlocks,
  { inode, parent, seed, look }: Directory,
  { names, starts, items, nodes }: IndexPlan,
): Promise<number> {
  const perNode = nodeCapacity(blockSize);
  const groups = Array.from({ length: nodes }, (_, i) =>
    items.slice(i * perNode, (i + 1) * perNode),
  );
  const above = groups.map((group, i) => ({ hash: group[0]?.hash ?? 0, block: 1 + i }));
  blocks.append(
    encodeIndexRoot(
      blockSize,
      { inode, parent, directoryType: INODE_TYPE.directory.listed },
      nodes === 0 ? items : above,
      nodes === 0 ? 0 : 1,
      seed,
    ),
  );
  for (const group of groups) blocks.append(encodeIndexNode(blockSize, group, seed));
  const list = new ListBlock(blockSize);
  for (const [i, start] of starts.entries()) {
    for (const name of names.subarray(start, starts[i + 1])) list.add(look(name));
    blocks.append(list.finish(seed));
    await output.room();
  }
  return (1 + nodes + starts.length) * blockSize;
}

/** One block of names, used again for the next. */
class ListBlock {
  readonly #bytes: Buffer;
  #at = 0;
  #lastAt = 0;

  constructor(blockSize: number) {
    this.#bytes = Buffer.alloc(blockSize);
  }

  /** False where it is full. */
  add({ name, inode, listed }: Name): boolean {
    const length = entryLength(name.length);
    if (this.#at + length > listCapacity(this.#bytes.length)) return false;
    if (this.#at === 0) this.#bytes.fill(0);
    writeDirectoryEntry(this.#bytes, this.#at, { inode, length, listed, name });
    this.#lastAt = this.#at;
    this.#at += length;
    return true;
  }

  /** Good until the next is begun. */
  finish(seed: number): Buffer {
    const bytes = this.#bytes;
    if (this.#at === 0) bytes.fill(0);
    setEntryLength(bytes, this.#lastAt, listCapacity(bytes.length) - this.#lastAt);
    sealListBlock(bytes, seed);
    this.#at = 0;
    this.#lastAt = 0;
    return bytes;
  }
}

/** Seeded damage to an image: changes bytes in place, and tells how long the file is now. */
export interface Target {
  readonly bytes: Buffer;
  /** Where metadata lies: bytes from the start. */
  readonly blocks: readonly number[];
  readonly blockSize: number;
  /** The start of the file system. */
  readonly start: number;
}

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, but not including, `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) % end;
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }
}

type Mutation = (target: Target, random: Random) => number | undefined;

const MAGIC_EXTENT = 0xf30a;
const DESCRIPTOR = 1024;

const MUTATIONS: readonly (readonly [string, Mutation])[] = [
  ['flip bits', flipBits],
  ['flip bits', flipBits],
  ['set numbers', setNumbers],
  ['set numbers', setNumbers],
  ['truncate', ({ bytes }, random) => random.below(bytes.length)],
  ['copy a block', copyBlock],
  ['turn directories', turnDirectories],
  ['turn directories', turnDirectories],
  ['turn extents', turnExtents],
  ['turn extents', turnExtents],
  ['turn inodes', turnInodes],
  ['turn inodes', turnInodes],
  ['set the superblock', setSuperblock],
];

/** What was done, and the file's new length. */
export function mutate(target: Target, random: Random): { what: string; length: number } {
  const done: string[] = [];
  let length = target.bytes.length;
  const count = 1 + random.below(3);
  for (let i = 0; i < count; i += 1) {
    const [name, mutation] = random.of(MUTATIONS);
    length = Math.min(length, mutation(target, random) ?? length);
    done.push(name);
  }
  return { what: done.join(', '), length };
}

/** Sums are not looked at any more, so that what is behind them is: clears `metadata_csum` and `uninit_bg`. */
export function withoutChecksums({ bytes, start }: Target): void {
  const at = start + 1024 + 0x64;
  if (at + 4 > bytes.length) return;
  bytes.writeUInt32LE((bytes.readUInt32LE(at) & ~0x410) >>> 0, at);
}

function place({ blocks, blockSize, bytes }: Target, random: Random, align: number): number {
  const block = random.of(blocks);
  // Most of a block may be unused: half of the time it is its beginning.
  const range = random.below(2) === 0 ? blockSize : Math.min(256, blockSize);
  const at = block + random.below(range / align) * align;
  return Math.min(at, bytes.length - 8);
}

function flipBits(target: Target, random: Random): undefined {
  for (let i = random.below(6); i >= 0; i -= 1) {
    const at = place(target, random, 1);
    target.bytes[at] = (target.bytes[at] ?? 0) ^ (1 << random.below(8));
  }
}

function setNumbers(target: Target, random: Random): undefined {
  const { bytes, blockSize } = target;
  for (let i = random.below(4); i >= 0; i -= 1) {
    const at = place(target, random, 2);
    if (random.below(2) === 0)
      bytes.writeUInt16LE(random.of([0, 1, 12, 0x7fff, 0x8000, 0xffff]), at);
    else
      bytes.writeUInt32LE(
        random.of([
          0,
          1,
          2,
          11,
          0x7fffffff,
          0xffffffff,
          random.below(bytes.length / blockSize),
          random.below(400),
        ]),
        at,
      );
  }
}

function copyBlock({ bytes, blocks, blockSize }: Target, random: Random): undefined {
  const from = random.of(blocks);
  bytes.copy(bytes, random.of(blocks), from, from + blockSize);
}

/** Names lead to other inodes, directories of others among them, and entries get other lengths. */
function turnDirectories({ bytes, blocks, blockSize }: Target, random: Random): undefined {
  const directories = blocks.filter(
    (at) => bytes.readUInt16LE(at + 4) === 12 && bytes[at + 6] === 1 && bytes[at + 8] === 0x2e,
  );
  if (directories.length === 0) return;
  const inodes = directories.map((at) => bytes.readUInt32LE(at));
  const block = random.of(directories);
  for (let at = block; at + 8 <= block + blockSize;) {
    const length = bytes.readUInt16LE(at + 4);
    if (random.below(4) === 0)
      bytes.writeUInt32LE(random.below(3) === 0 ? random.below(420) : random.of(inodes), at);
    if (random.below(30) === 0)
      bytes.writeUInt16LE(random.of([0, 4, 8, 12, 16, length + 4, 0xfffc, 0xffff]), at + 4);
    if (length < 8) return;
    at += length;
  }
}

/** Nodes of extent trees point to themselves, to each other, count more than there are, and lie. */
function turnExtents({ bytes, blocks, blockSize, start }: Target, random: Random): undefined {
  const nodes = blocks.flatMap((block) => {
    const found: number[] = [];
    for (let at = block; at < Math.min(block + blockSize, bytes.length - 64); at += 4)
      if (bytes.readUInt16LE(at) === MAGIC_EXTENT) found.push(at);
    return found;
  });
  if (nodes.length === 0) return;
  const node = random.of(nodes);
  const other = Math.floor((random.of(nodes) - start) / blockSize);
  const entry = node + 12 + 12 * random.below(4);
  switch (random.below(6)) {
    case 0:
      bytes.writeUInt16LE(random.of([0, 1, 4, 84, 340, 0xffff]), node + random.of([2, 4]));
      break;
    case 1:
      bytes.writeUInt16LE(random.of([0, 1, 2, 5, 6, 0xffff]), node + 6);
      break;
    case 2:
      bytes.writeUInt32LE(other, entry + 4);
      break;
    case 3:
      bytes.writeUInt16LE(random.of([1, 2, 5]), node + 6);
      bytes.writeUInt32LE(other, entry + 4);
      bytes.writeUInt16LE(0, entry + 8);
      break;
    case 4:
      bytes.writeUInt32LE(random.of([0, 0xffffffff, random.below(100)]), entry);
      break;
    default:
      bytes.writeUInt16LE(random.of([0, 0x7fff, 0x8000, 0x8001, 0xffff]), entry + 4);
  }
}

/** Sizes, flags, types and pointers of inodes. */
function turnInodes({ bytes, blocks, blockSize }: Target, random: Random): undefined {
  const inodes = blocks.flatMap((block) => {
    const found: number[] = [];
    for (let at = block; at < Math.min(block + blockSize, bytes.length - 256); at += 128)
      if (
        [0x8000, 0x4000, 0xa000].includes(bytes.readUInt16LE(at) & 0xf000) &&
        bytes.readUInt16LE(at + 0x1a) > 0
      )
        found.push(at);
    return found;
  });
  if (inodes.length === 0) return;
  const at = random.of(inodes);
  switch (random.below(7)) {
    case 0:
      bytes.writeUInt32LE(
        random.of([0, 1, 60, 1024, 4096, 0x7fffffff, 0xfffff000, 0xffffffff]),
        at + 4,
      );
      break;
    case 1:
      bytes.writeUInt32LE(random.of([1, 0xffff, 0x7fffffff, 0xffffffff]), at + 0x6c);
      break;
    case 2:
      bytes.writeUInt32LE(
        (bytes.readUInt32LE(at + 0x20) ^
          random.of([0x800, 0x1000, 0x80000, 0x200000, 0x10000000, 0x40000000])) >>>
          0,
        at + 0x20,
      );
      break;
    case 3:
      bytes.writeUInt32LE(
        random.below(bytes.length / blockSize + 5),
        at + 0x28 + 4 * random.below(15),
      );
      break;
    case 4:
      bytes.writeUInt32LE(random.below(bytes.length / blockSize + 5), at + 0x68);
      break;
    case 5:
      bytes.writeUInt16LE(random.of([0x8000, 0x4000, 0xa000, 0x2000, 0xf000, 0]) | 0o644, at);
      break;
    default:
      bytes.writeUInt16LE(random.of([0, 4, 28, 32, 128, 0xffff]), at + 0x80);
  }
}

function setSuperblock({ bytes, start }: Target, random: Random): undefined {
  const at = Math.min(start + DESCRIPTOR + random.below(0x60 / 4) * 4, bytes.length - 4);
  bytes.writeUInt32LE(random.of([0, 1, 2, 7, 100, 0x7fffffff, 0xffffffff, random.below(1e6)]), at);
}

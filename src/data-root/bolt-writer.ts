import { fnv1a } from './bolt.ts';

/** A bucket to write. */
export interface BoltTree {
  /** What Go's `NextSequence` counts up from. Default 0. */
  readonly sequence?: number | bigint;
  /** In any order; a key is there once and is not empty. Text is written as UTF-8. */
  readonly entries: readonly BoltTreeEntry[];
}

export type BoltTreeEntry = readonly [key: string | Uint8Array, item: BoltTreeItem];
export type BoltTreeItem = string | Uint8Array | BoltTree;

export interface BoltSettings {
  /** A power of two from 1024 to 65536: bbolt's is that of the machine that made the database. Default 4096. */
  readonly pageSize?: number;
  /** What bbolt calls the fill percentage, of the pages' size: 0.1 to 1. Default 1, for a database that mostly is read. */
  readonly fill?: number;
}

const PAGE_HEADER = 16;
const ELEMENT = 16;
const BUCKET_HEADER = 16;
const META_END = 72;
const MAGIC = 0xed0cdaed;
const VERSION = 2;
const FLAG = { branch: 1, leaf: 2, meta: 4, freelist: 16 } as const;
/** go.etcd.io/bbolt, db.go and internal/common: `MaxKeySize`. */
const LONGEST_KEY = 32768;
/** node.go: a branch with fewer children is merged with its neighbour by the next write there. */
const FEWEST_CHILDREN = 2;

/**
 * A bbolt database (page.go, node.go and bucket.go of go.etcd.io/bbolt) as one that was just compacted: no free
 * pages, every page as full as `fill` allows, the buckets' pages before those of what holds them. The same tree, in
 * whatever order it comes, is the same bytes. Throws on what bbolt would refuse, which is a bug here: keys that are empty,
 * too long or there twice.
 */
export function writeBolt(tree: BoltTree, settings: BoltSettings = {}): Uint8Array {
  const { pageSize = 4096, fill = 1 } = settings;
  return new Pages(pageSize, fill).database(tree);
}

/** An element of a leaf, ready to be written. */
interface Leaf {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

interface Child {
  readonly key: Uint8Array;
  readonly page: number;
}

class Pages {
  readonly #pageSize: number;
  readonly #room: number;
  readonly #written: Buffer[] = [];
  #next = 3;

  constructor(pageSize: number, fill: number) {
    this.#pageSize = pageSize;
    this.#room = Math.floor(pageSize * fill);
  }

  /** Pages 0 and 1 are the metas, 2 is the list of free pages, which is empty. */
  database(tree: BoltTree): Uint8Array {
    const root = this.#tree(this.#leaves(tree));
    const free = this.#page(2, FLAG.freelist, 0, []);
    const metas = [0, 1].map((txid) => this.#meta(txid, root, BigInt(tree.sequence ?? 0)));
    return Buffer.concat([...metas, free, ...this.#written]);
  }

  #leaves(tree: BoltTree): Leaf[] {
    const entries = tree.entries.map(([name, item]) => ({ key: bytesOf(name), item }));
    entries.sort((a, b) => Buffer.compare(a.key, b.key));
    // In order before buckets get their pages, so that the order they came in leaves no trace.
    return entries.map(({ key, item }, i): Leaf => {
      const before = entries[i - 1];
      if (key.length === 0 || key.length > LONGEST_KEY)
        throw new Error(`a key of ${key.length} bytes`);
      if (before !== undefined && Buffer.compare(before.key, key) === 0)
        throw new Error(`the key ${Buffer.from(key).toString('latin1')} is there twice`);
      return typeof item === 'string' || item instanceof Uint8Array
        ? { key, value: bytesOf(item), isBucket: false }
        : { key, value: this.#bucket(item), isBucket: true };
    });
  }

  /** The value that stands for a bucket: small ones without buckets of their own are in it (Bucket.inlineable). */
  #bucket(tree: BoltTree): Buffer {
    const leaves = this.#leaves(tree);
    const header = Buffer.alloc(BUCKET_HEADER);
    header.writeBigUInt64LE(BigInt(tree.sequence ?? 0), 8);
    const size = PAGE_HEADER + leaves.reduce((sum, leaf) => sum + leafSize(leaf), 0);
    if (size <= this.#pageSize / 4 && !leaves.some((leaf) => leaf.isBucket))
      return Buffer.concat([
        header,
        pageHeader(0, FLAG.leaf, leaves.length, 0),
        ...leafParts(leaves),
      ]);
    header.writeBigUInt64LE(BigInt(this.#tree(leaves)), 0);
    return header;
  }

  /** The number of the root page of the leaves' tree. */
  #tree(leaves: readonly Leaf[]): number {
    let level = this.#split(leaves, leafSize, 1).map((part): Child => ({
      key: part[0]?.key ?? new Uint8Array(),
      page: this.#append(FLAG.leaf, part.length, leafParts(part)),
    }));
    while (level.length > 1)
      level = this.#split(level, branchSize, FEWEST_CHILDREN).map((part): Child => ({
        key: part[0]?.key ?? new Uint8Array(),
        page: this.#append(FLAG.branch, part.length, branchParts(part)),
      }));
    return level[0]?.page ?? 0;
  }

  /** Parts that fit into a page, or have the fewest items that they may have; at least one part. */
  #split<T>(items: readonly T[], sizeOf: (item: T) => number, fewest: number): T[][] {
    const parts: T[][] = [[]];
    let used = PAGE_HEADER;
    for (const item of items) {
      const size = sizeOf(item);
      const part = parts.at(-1);
      if (part === undefined || (part.length >= fewest && used + size > this.#room)) {
        parts.push([item]);
        used = PAGE_HEADER + size;
      } else {
        part.push(item);
        used += size;
      }
    }
    const [before, last] = [parts.at(-2), parts.at(-1)];
    if (before !== undefined && last !== undefined && last.length < fewest)
      if (before.length > fewest) last.unshift(...before.splice(last.length - fewest));
      else before.push(...(parts.pop() ?? []));
    return parts;
  }

  #append(flags: number, count: number, parts: readonly Uint8Array[]): number {
    const id = this.#next;
    const page = this.#page(id, flags, count, parts);
    this.#written.push(page);
    this.#next += page.length / this.#pageSize;
    return id;
  }

  /** With as many pages as it flows over into. */
  #page(id: number, flags: number, count: number, parts: readonly Uint8Array[]): Buffer {
    const length = parts.reduce((sum, part) => sum + part.length, PAGE_HEADER);
    const pages = Math.ceil(length / this.#pageSize);
    const page = Buffer.alloc(pages * this.#pageSize);
    page.set(pageHeader(id, flags, count, pages - 1));
    let at = PAGE_HEADER;
    for (const part of parts) {
      page.set(part, at);
      at += part.length;
    }
    return page;
  }

  #meta(txid: number, root: number, sequence: bigint): Buffer {
    const page = this.#page(txid, FLAG.meta, 0, []);
    page.writeUInt32LE(MAGIC, 16);
    page.writeUInt32LE(VERSION, 20);
    page.writeUInt32LE(this.#pageSize, 24);
    page.writeBigUInt64LE(BigInt(root), 32);
    page.writeBigUInt64LE(sequence, 40);
    page.writeBigUInt64LE(2n, 48);
    page.writeBigUInt64LE(BigInt(this.#next), 56);
    page.writeBigUInt64LE(BigInt(txid), 64);
    page.writeBigUInt64LE(fnv1a(page.subarray(PAGE_HEADER, META_END)), META_END);
    return page;
  }
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

function leafSize(leaf: Leaf): number {
  return ELEMENT + leaf.key.length + leaf.value.length;
}

function branchSize(child: Child): number {
  return ELEMENT + child.key.length;
}

function pageHeader(id: number, flags: number, count: number, overflow: number): Buffer {
  const header = Buffer.alloc(PAGE_HEADER);
  header.writeBigUInt64LE(BigInt(id), 0);
  header.writeUInt16LE(flags, 8);
  header.writeUInt16LE(count, 10);
  header.writeUInt32LE(overflow, 12);
  return header;
}

/** The table, whose positions count from the element itself, and then keys and values in turn. */
function leafParts(leaves: readonly Leaf[]): Uint8Array[] {
  const table = Buffer.alloc(leaves.length * ELEMENT);
  let data = table.length;
  leaves.forEach(({ key, value, isBucket }, i) => {
    const at = i * ELEMENT;
    table.writeUInt32LE(isBucket ? 1 : 0, at);
    table.writeUInt32LE(data - at, at + 4);
    table.writeUInt32LE(key.length, at + 8);
    table.writeUInt32LE(value.length, at + 12);
    data += key.length + value.length;
  });
  return [table, ...leaves.flatMap(({ key, value }) => [key, value])];
}

function branchParts(children: readonly Child[]): Uint8Array[] {
  const table = Buffer.alloc(children.length * ELEMENT);
  let data = table.length;
  children.forEach(({ key, page }, i) => {
    const at = i * ELEMENT;
    table.writeUInt32LE(data - at, at);
    table.writeUInt32LE(key.length, at + 4);
    table.writeBigUInt64LE(BigInt(page), at + 8);
    data += key.length;
  });
  return [table, ...children.map(({ key }) => key)];
}

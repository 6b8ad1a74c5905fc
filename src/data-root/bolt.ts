import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * Reads bbolt databases (go.etcd.io/bbolt, internal/common: page.go, meta.go, bucket.go), the format in which
 * containerd keeps its metadata. Everything is little-endian.
 *
 * The whole tree is walked when a database is opened: a page that is damaged anywhere is a failure there and
 * then, and nothing that is asked of a bucket afterwards can fail. A page may be reached once, so a damaged
 * pointer ends the walk instead of sending it in circles.
 */
export interface BoltBucket {
  /** What Go's `NextSequence` counts up. */
  readonly sequence: bigint;
  /** The value of a key, or undefined where the key is missing or names a bucket. */
  get(key: string | Uint8Array): Buffer | undefined;
  /** The bucket of that name, or undefined where it is missing or a plain value. */
  bucket(name: string | Uint8Array): BoltBucket | undefined;
  /** In byte order of the keys. */
  entries(): readonly BoltEntry[];
}

export type BoltEntry =
  | { readonly kind: 'value'; readonly key: Buffer; readonly value: Buffer }
  | { readonly kind: 'bucket'; readonly key: Buffer; readonly bucket: BoltBucket };

/** Bytes that are no bbolt database, or a damaged one. `detail` is a phrase. */
export interface BoltCorrupt {
  readonly reason: 'bolt-corrupt';
  readonly detail: string;
}

const MAGIC = 0xed0cdaed;
const VERSION = 2;
const PAGE_HEADER = 16;
const META_CHECKED = 56;
const META_END = PAGE_HEADER + META_CHECKED + 8;
const BRANCH_ELEMENT = 16;
const LEAF_ELEMENT = 16;
const BUCKET_HEADER = 16;
const FLAG = { branch: 1, leaf: 2, meta: 4, freelist: 16 } as const;
const NO_FREELIST = 0xffff_ffff_ffff_ffffn;
/** bbolt itself looks for the second meta page at every power of two from 1 KiB to 16 MiB. */
const PAGE_SIZES = Array.from({ length: 15 }, (_, i) => 1024 << i);
/** Far above what any real database has (containerd nests 6 buckets), far below what overflows the stack. */
const DEEPEST = 64;

/** The values are views of `bytes`, which must not change afterwards. */
export function openBolt(bytes: Uint8Array): Result<BoltBucket, BoltCorrupt> {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return ok(new Walk(file, chooseMeta(file)).database());
  } catch (error) {
    if (error instanceof Damage) return fail({ reason: 'bolt-corrupt', detail: error.message });
    throw error;
  }
}

/** Leaves the recursion; never leaves this file. */
class Damage extends Error {}

interface Meta {
  readonly pageSize: number;
  readonly root: number;
  readonly sequence: bigint;
  readonly freelist: number | undefined;
  /** Every page's number is below it. */
  readonly highWater: number;
  readonly txid: bigint;
}

/** As `DB.meta` does: the valid one of two with the higher transaction number. */
function chooseMeta(file: Buffer): Meta {
  const first = readMeta(file, 0);
  const sizes = first === undefined ? PAGE_SIZES : [first.pageSize];
  const second = sizes
    .map((size) => {
      const meta = readMeta(file, size);
      return meta?.pageSize === size ? meta : undefined;
    })
    .find((meta) => meta !== undefined);
  const chosen =
    first === undefined || (second !== undefined && second.txid > first.txid) ? second : first;
  if (chosen === undefined) throw new Damage('no valid meta page');
  if (chosen.highWater * chosen.pageSize > file.length)
    throw new Damage(
      `it is cut off: ${file.length} bytes of ${chosen.highWater * chosen.pageSize}`,
    );
  return chosen;
}

function readMeta(file: Buffer, offset: number): Meta | undefined {
  if (offset + META_END > file.length) return undefined;
  const meta = file.subarray(offset + PAGE_HEADER, offset + META_END);
  if (meta.readUInt32LE(0) !== MAGIC || meta.readUInt32LE(4) !== VERSION) return undefined;
  if (fnv1a(meta.subarray(0, META_CHECKED)) !== meta.readBigUInt64LE(META_CHECKED))
    return undefined;
  const pageSize = meta.readUInt32LE(8);
  if (!PAGE_SIZES.includes(pageSize)) return undefined;
  const freelist = meta.readBigUInt64LE(32);
  return {
    pageSize,
    root: pageNumber(meta.readBigUInt64LE(16)),
    sequence: meta.readBigUInt64LE(24),
    freelist: freelist === NO_FREELIST ? undefined : pageNumber(freelist),
    highWater: pageNumber(meta.readBigUInt64LE(40)),
    txid: meta.readBigUInt64LE(48),
  };
}

/** FNV-1a, 64 bits: the meta page's checksum. */
export function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & NO_FREELIST;
  return hash;
}

function pageNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Damage(`page ${value} cannot be`);
  return Number(value);
}

interface Page {
  readonly bytes: Buffer;
  readonly flags: number;
  readonly count: number;
  readonly what: string;
}

/** The keys that may stand in a page: at least `from`, below `to`. */
interface Range {
  readonly from?: Buffer;
  readonly to?: Buffer;
}

class Walk {
  readonly #file: Buffer;
  readonly #meta: Meta;
  readonly #reached = new Set<number>();

  constructor(file: Buffer, meta: Meta) {
    this.#file = file;
    this.#meta = meta;
  }

  database(): BoltBucket {
    const { root, sequence, freelist } = this.#meta;
    const entries: BoltEntry[] = [];
    this.#tree(root, {}, entries, 0, 0);
    if (freelist !== undefined) this.#checkFreelist(freelist);
    return new Bucket(sequence, entries);
  }

  #tree(id: number, range: Range, into: BoltEntry[], depth: number, nesting: number): void {
    if (depth > DEEPEST) throw new Damage(`page ${id} is more than ${DEEPEST} levels deep`);
    const page = this.#page(id);
    if (page.flags === FLAG.leaf) {
      this.#leaf(page, range, into, nesting, 'page');
      return;
    }
    if (page.flags !== FLAG.branch)
      throw new Damage(`${page.what} is neither branch nor leaf (flags ${page.flags})`);
    const children = readBranch(page);
    children.forEach((child, i) => {
      const next = children[i + 1]?.key ?? range.to;
      checkOrder(page, child.key, { from: i === 0 ? range.from : undefined, to: next });
      this.#tree(
        child.page,
        { from: child.key, ...(next === undefined ? {} : { to: next }) },
        into,
        depth + 1,
        nesting,
      );
    });
  }

  #leaf(
    page: Page,
    range: Range,
    into: BoltEntry[],
    nesting: number,
    where: 'page' | 'inline',
  ): void {
    const table = element(page, LEAF_ELEMENT);
    let previous: Buffer | undefined;
    for (let i = 0; i < page.count; i++) {
      const at = PAGE_HEADER + i * LEAF_ELEMENT;
      const flags = page.bytes.readUInt32LE(at);
      const start = at + page.bytes.readUInt32LE(at + 4);
      const middle = start + page.bytes.readUInt32LE(at + 8);
      const end = middle + page.bytes.readUInt32LE(at + 12);
      if (start < table || end > page.bytes.length)
        throw new Damage(`${page.what}: entry ${i} points outside it`);
      const key = page.bytes.subarray(start, middle);
      const value = page.bytes.subarray(middle, end);
      if (previous !== undefined && previous.compare(key) >= 0)
        throw new Damage(`${page.what}: its keys are out of order`);
      checkOrder(page, key, range);
      previous = key;
      if (flags === 0) into.push({ kind: 'value', key, value });
      else if (flags === 1) {
        // bbolt makes a bucket inline only if it holds no bucket (Bucket.inlineable).
        if (where === 'inline') throw new Damage(`${page.what}: a bucket inside an inline bucket`);
        into.push({ kind: 'bucket', key, bucket: this.#bucket(value, page.what, nesting + 1) });
      } else throw new Damage(`${page.what}: entry ${i} has unknown flags ${flags}`);
    }
  }

  #bucket(value: Buffer, what: string, nesting: number): BoltBucket {
    if (nesting > DEEPEST) throw new Damage(`${what}: more than ${DEEPEST} buckets in each other`);
    if (value.length < BUCKET_HEADER) throw new Damage(`${what}: a bucket's header is cut off`);
    const root = pageNumber(value.readBigUInt64LE(0));
    const sequence = value.readBigUInt64LE(8);
    const entries: BoltEntry[] = [];
    if (root !== 0) this.#tree(root, {}, entries, 0, nesting);
    else {
      const bytes = value.subarray(BUCKET_HEADER);
      if (bytes.length < PAGE_HEADER) throw new Damage(`${what}: an inline bucket is cut off`);
      const inline = readPage(bytes, `an inline bucket of ${what}`);
      if (inline.flags !== FLAG.leaf)
        throw new Damage(`${inline.what} has no leaf page (flags ${inline.flags})`);
      this.#leaf(inline, {}, entries, nesting, 'inline');
    }
    return new Bucket(sequence, entries);
  }

  /** The page with its overflow pages, each reached for the first time. */
  #page(id: number): Page {
    const { pageSize, highWater } = this.#meta;
    if (id < 2 || id >= highWater) throw new Damage(`page ${id} is outside the database`);
    const header = this.#file.subarray(id * pageSize, id * pageSize + PAGE_HEADER);
    if (header.readBigUInt64LE(0) !== BigInt(id))
      throw new Damage(`page ${id} says that it is page ${header.readBigUInt64LE(0)}`);
    const last = id + header.readUInt32LE(12);
    if (last >= highWater) throw new Damage(`page ${id} goes on past the end`);
    for (let part = id; part <= last; part++) {
      if (this.#reached.has(part)) throw new Damage(`page ${part} is used twice`);
      this.#reached.add(part);
    }
    return readPage(this.#file.subarray(id * pageSize, (last + 1) * pageSize), `page ${id}`);
  }

  /** A page that is in use and free as well is overwritten by the next write. */
  #checkFreelist(id: number): void {
    const page = this.#page(id);
    if (page.flags !== FLAG.freelist) throw new Damage(`page ${id} is not the list of free pages`);
    // freelist/shared.go: a count that does not fit 16 bits is the first number of the list.
    const long = page.count === 0xffff;
    if (long && page.bytes.length < PAGE_HEADER + 8)
      throw new Damage('the list of free pages is cut off');
    const count = long ? pageNumber(page.bytes.readBigUInt64LE(PAGE_HEADER)) : page.count;
    const start = PAGE_HEADER + (long ? 8 : 0);
    if (start + count * 8 > page.bytes.length)
      throw new Damage('the list of free pages is cut off');
    for (let i = 0; i < count; i++) {
      const free = pageNumber(page.bytes.readBigUInt64LE(start + i * 8));
      if (free < 2 || free >= this.#meta.highWater || this.#reached.has(free))
        throw new Damage(`page ${free} is listed as free and is not`);
    }
  }
}

function readPage(bytes: Buffer, what: string): Page {
  return { bytes, flags: bytes.readUInt16LE(8), count: bytes.readUInt16LE(10), what };
}

/** Where the page's table of elements ends; damage where that is outside the page. */
function element(page: Page, size: number): number {
  const end = PAGE_HEADER + page.count * size;
  if (end > page.bytes.length) throw new Damage(`${page.what}: its table is cut off`);
  return end;
}

function readBranch(page: Page): { key: Buffer; page: number }[] {
  const table = element(page, BRANCH_ELEMENT);
  if (page.count === 0) throw new Damage(`${page.what} is a branch to nowhere`);
  return Array.from({ length: page.count }, (_, i) => {
    const at = PAGE_HEADER + i * BRANCH_ELEMENT;
    const start = at + page.bytes.readUInt32LE(at);
    const end = start + page.bytes.readUInt32LE(at + 4);
    if (start < table || end > page.bytes.length)
      throw new Damage(`${page.what}: entry ${i} points outside it`);
    return {
      key: page.bytes.subarray(start, end),
      page: pageNumber(page.bytes.readBigUInt64LE(at + 8)),
    };
  });
}

/** bbolt finds keys by binary search: one that is out of place is there and is never found. */
function checkOrder(
  page: Page,
  key: Buffer,
  range: { readonly from?: Buffer | undefined; readonly to?: Buffer | undefined },
): void {
  if (range.from !== undefined && range.from.compare(key) > 0)
    throw new Damage(`${page.what}: its keys are out of order`);
  if (range.to !== undefined && range.to.compare(key) <= 0)
    throw new Damage(`${page.what}: its keys are out of order`);
}

class Bucket implements BoltBucket {
  readonly sequence: bigint;
  readonly #entries: readonly BoltEntry[];
  readonly #byKey: ReadonlyMap<string, BoltEntry>;

  constructor(sequence: bigint, entries: readonly BoltEntry[]) {
    this.sequence = sequence;
    this.#entries = entries;
    this.#byKey = new Map(entries.map((entry) => [entry.key.toString('latin1'), entry]));
  }

  get(key: string | Uint8Array): Buffer | undefined {
    const entry = this.#find(key);
    return entry?.kind === 'value' ? entry.value : undefined;
  }

  bucket(name: string | Uint8Array): BoltBucket | undefined {
    const entry = this.#find(name);
    return entry?.kind === 'bucket' ? entry.bucket : undefined;
  }

  entries(): readonly BoltEntry[] {
    return this.#entries;
  }

  #find(key: string | Uint8Array): BoltEntry | undefined {
    return this.#byKey.get(Buffer.from(key).toString('latin1'));
  }
}

import type { PageFile } from './page-file.ts';
import { PagedBytes } from './paged-bytes.ts';

const FEWEST_SLOTS = 1024;
/** Of the slots that are taken; how many times as many there are then. */
const FULLEST = 0.8;
const GROWTH = 1.5;
const PAGE = 32 * 1024;
/** Bytes that stay in memory, however many names there are. */
const KEPT = 4 * 1024 * 1024;

/** Of a name: the next of its directory, its inode, its directory, its length; the name follows. */
const NEXT = 0;
const INODE = 4;
const DIRECTORY = 8;
const LENGTH = 12;
const NAME = 13;

/**
 * The names in all directories, found by directory and name through one hash table; no object for each. The names of
 * one directory are a list in the order in which they were added. A name's number is where it lies among all of them;
 * those that were not used for long are in a file, and the table alone stays. Views are good until `settle`.
 */
export class NameIndex {
  readonly #pages: PagedBytes;
  #usedOfLast = PAGE;
  #count = 0;
  /** Numbers plus 1, 0 where there is none; and what `hashOf` says of them, so that others need not be looked at. */
  #slots = new Uint32Array(FEWEST_SLOTS);
  #hashes = new Uint32Array(FEWEST_SLOTS);

  /** `kept`: bytes. The file is the index's alone, and the caller's to close. */
  constructor(file: PageFile, kept = KEPT) {
    this.#pages = new PagedBytes(PAGE, Math.ceil(kept / PAGE), file);
  }

  find(directory: number, name: Uint8Array): number | undefined {
    const hash = hashOf(directory, name);
    for (let slot = this.#firstFor(hash); ; slot = this.#behind(slot)) {
      const entry = (this.#slots[slot] ?? 0) - 1;
      if (entry < 0) return undefined;
      if (this.#hashes[slot] === hash && this.#isAt(entry, directory, name)) return entry;
    }
  }

  /** A name that the directory does not have yet; it is to follow `previous` in the directory's list. */
  add(directory: number, name: Uint8Array, inode: number, previous: number | undefined): number {
    const length = NAME + name.length;
    if (this.#usedOfLast + length > PAGE) {
      this.#pages.add();
      this.#usedOfLast = 0;
    }
    const last = this.#pages.pages - 1;
    const at = this.#usedOfLast;
    const entry = last * PAGE + at;
    // Counted from 1 in four bytes.
    if (entry >= 0xffffffff) throw new RangeError('more than 4 GiB of names');
    const page = this.#pages.change(last);
    page.writeUInt32LE(inode, at + INODE);
    page.writeUInt32LE(directory, at + DIRECTORY);
    page.writeUInt8(name.length, at + LENGTH);
    page.set(name, at + NAME);
    this.#usedOfLast += length;
    if (previous !== undefined) this.#write(previous, NEXT, entry + 1);
    this.#count += 1;
    if (this.#count > this.#slots.length * FULLEST) this.#grow();
    this.#enter(entry + 1, hashOf(directory, name));
    return entry;
  }

  inodeOf(entry: number): number {
    return this.#read(entry, INODE);
  }

  setInode(entry: number, inode: number): void {
    this.#write(entry, INODE, inode);
  }

  /** A view. */
  nameOf(entry: number): Buffer {
    const page = this.#pages.look(pageOf(entry));
    const at = entry % PAGE;
    return page.subarray(at + NAME, at + NAME + page.readUInt8(at + LENGTH));
  }

  /** The next one of the same directory. */
  after(entry: number): number | undefined {
    const next = this.#read(entry, NEXT);
    return next === 0 ? undefined : next - 1;
  }

  /** To be called now and then, when nobody has a view. */
  settle(): void {
    this.#pages.settle();
  }

  #isAt(entry: number, directory: number, name: Uint8Array): boolean {
    const page = this.#pages.look(pageOf(entry));
    const at = entry % PAGE;
    if (page.readUInt32LE(at + DIRECTORY) !== directory) return false;
    if (page[at + LENGTH] !== name.length) return false;
    for (let i = 0; i < name.length; i += 1) if (page[at + NAME + i] !== name[i]) return false;
    return true;
  }

  #read(entry: number, field: number): number {
    return this.#pages.look(pageOf(entry)).readUInt32LE((entry % PAGE) + field);
  }

  #write(entry: number, field: number, value: number): void {
    this.#pages.change(pageOf(entry)).writeUInt32LE(value, (entry % PAGE) + field);
  }

  #grow(): void {
    const [slots, hashes] = [this.#slots, this.#hashes];
    const length = Math.ceil(slots.length * GROWTH);
    this.#slots = new Uint32Array(length);
    this.#hashes = new Uint32Array(length);
    for (let i = 0; i < slots.length; i += 1) {
      const numbered = slots[i] ?? 0;
      if (numbered !== 0) this.#enter(numbered, hashes[i] ?? 0);
    }
  }

  /** Where the search begins: hashes are dealt out to any number of slots in their order. */
  #firstFor(hash: number): number {
    return Math.floor((hash / 2 ** 32) * this.#slots.length);
  }

  #behind(slot: number): number {
    return slot + 1 === this.#slots.length ? 0 : slot + 1;
  }

  #enter(numbered: number, hash: number): void {
    let slot = this.#firstFor(hash);
    while (this.#slots[slot] !== 0) slot = this.#behind(slot);
    this.#slots[slot] = numbered;
    this.#hashes[slot] = hash;
  }
}

function pageOf(entry: number): number {
  return Math.floor(entry / PAGE);
}

/** FNV-1a, and a last stir, as what comes last in a name would not change the upper bits. */
function hashOf(directory: number, name: Uint8Array): number {
  let hash = Math.imul(directory ^ 0x811c9dc5, 0x01000193);
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ (name[i] ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

import { ByteLog } from './byte-log.ts';
import { NumberList } from './number-list.ts';

const FEWEST_SLOTS = 1024;

/**
 * The names in all directories, each a number from 0 on, found by directory and name through one hash table; no object
 * for each. The names of one directory are a list in the order in which they were added.
 */
export class NameIndex {
  readonly #names = new ByteLog();
  readonly #nameAt = new NumberList();
  readonly #directory = new NumberList();
  readonly #inode = new NumberList();
  readonly #hash = new NumberList();
  /** In the same directory, counted from 1. */
  readonly #next = new NumberList();
  /** Names counted from 1. */
  #slots = new Uint32Array(FEWEST_SLOTS);

  find(directory: number, name: Uint8Array): number | undefined {
    const hash = hashOf(directory, name);
    const mask = this.#slots.length - 1;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = (this.#slots[slot] ?? 0) - 1;
      if (entry < 0) return undefined;
      if (
        this.#hash.get(entry) === hash &&
        this.#directory.get(entry) === directory &&
        this.#names.isAt(this.#nameAt.get(entry), name)
      )
        return entry;
    }
  }

  /** A name that the directory does not have yet; it is to follow `previous` in the directory's list. */
  add(directory: number, name: Uint8Array, inode: number, previous: number | undefined): number {
    const entry = this.#inode.length;
    this.#nameAt.push(this.#names.add(name));
    this.#directory.push(directory);
    this.#inode.push(inode);
    this.#hash.push(hashOf(directory, name));
    this.#next.push(0);
    if (previous !== undefined) this.#next.set(previous, entry + 1);
    if (entry * 4 > this.#slots.length * 3) this.#grow();
    else this.#enter(entry);
    return entry;
  }

  inodeOf(entry: number): number {
    return this.#inode.get(entry);
  }

  setInode(entry: number, inode: number): void {
    this.#inode.set(entry, inode);
  }

  /** A view. */
  nameOf(entry: number): Buffer {
    return this.#names.get(this.#nameAt.get(entry));
  }

  /** The next one of the same directory. */
  after(entry: number): number | undefined {
    const next = this.#next.get(entry);
    return next === 0 ? undefined : next - 1;
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let entry = 0; entry < this.#inode.length; entry += 1) this.#enter(entry);
  }

  #enter(entry: number): void {
    const mask = this.#slots.length - 1;
    let slot = this.#hash.get(entry) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = entry + 1;
  }
}

/** FNV-1a, and a last stir, as only the lower bits choose a slot. */
function hashOf(directory: number, name: Uint8Array): number {
  let hash = Math.imul(directory ^ 0x811c9dc5, 0x01000193);
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ (name[i] ?? 0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

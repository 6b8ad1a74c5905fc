import { DIRECTORY } from './format/directory.ts';
import { readPointers } from './format/inode.ts';
import type { InodeStore } from './inode-store.ts';
import type { NameIndex } from './name-index.ts';
import { printable } from '../model/printable.ts';
import { EntryRefusal } from './refusal.ts';

export const ROOT = 2;
export const LOST_AND_FOUND = Buffer.from('lost+found');
const SLASH = 0x2f;
const LONGEST_PATH = 4095;

/** A name in a directory that is there; `entry` is undefined where nobody has it yet. */
export interface Place {
  readonly directory: number;
  readonly name: Uint8Array;
  readonly entry: number | undefined;
}

/**
 * What is in which directory. As long as a directory has no blocks, the place for their numbers in its inode tells its
 * first and last name (counted from 1) and its parent.
 */
export class Tree {
  readonly #inodes: InodeStore;
  readonly #names: NameIndex;
  /** Directories that were looked up lately, by their paths in latin1: siblings come together, mostly of some at once. */
  readonly #known = new Map<string, number>();

  constructor(inodes: InodeStore, names: NameIndex) {
    this.#inodes = inodes;
    this.#names = names;
  }

  /** Throws an `EntryRefusal` on paths that can't be, or whose parent is missing or no directory. Not for the root. */
  place(path: Uint8Array): Place {
    checkPath(path);
    const end = path.lastIndexOf(SLASH);
    const directory = end === -1 ? ROOT : this.#directory(path.subarray(0, end));
    const name = path.subarray(end + 1);
    return { directory, name, entry: this.#names.find(directory, name) };
  }

  inodeOf(entry: number): number {
    return this.#names.inodeOf(entry);
  }

  /** A view, good until `settle`. */
  nameOf(entry: number): Buffer {
    return this.#names.nameOf(entry);
  }

  /** Gives a name to an inode, in whose place it may be that of another. */
  set({ directory, name, entry }: Place, inode: number): void {
    if (entry !== undefined) {
      this.#names.setInode(entry, inode);
      return;
    }
    const links = readPointers(this.#inodes.fields(directory));
    const last = links.readUInt32LE(LAST);
    const added = this.#names.add(directory, name, inode, last === 0 ? undefined : last - 1);
    if (last === 0) links.writeUInt32LE(added + 1, FIRST);
    links.writeUInt32LE(added + 1, LAST);
  }

  /** Of a directory that is new. */
  setParent(directory: number, parent: number): void {
    readPointers(this.#inodes.fields(directory)).writeUInt32LE(parent, PARENT);
  }

  parentOf(directory: number): number {
    return readPointers(this.#inodes.look(directory)).readUInt32LE(PARENT);
  }

  isEmpty(directory: number): boolean {
    return readPointers(this.#inodes.look(directory)).readUInt32LE(FIRST) === 0;
  }

  /** In the order in which they were added. */
  *entriesOf(directory: number): Generator<number, void> {
    const first = readPointers(this.#inodes.look(directory)).readUInt32LE(FIRST);
    let entry = first === 0 ? undefined : first - 1;
    while (entry !== undefined) {
      yield entry;
      entry = this.#names.after(entry);
    }
  }

  /** To be called now and then, when nobody has a view: what was not used for long leaves memory. */
  settle(): void {
    this.#names.settle();
    this.#inodes.settle();
  }

  /** To be called when one is taken away. */
  forget(): void {
    this.#known.clear();
  }

  #directory(path: Uint8Array): number {
    const key = Buffer.from(path.buffer, path.byteOffset, path.length).toString('latin1');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    let directory = ROOT;
    let start = 0;
    while (start < path.length) {
      const slash = path.indexOf(SLASH, start);
      const end = slash === -1 ? path.length : slash;
      const entry = this.#names.find(directory, path.subarray(start, end));
      if (entry === undefined)
        throw new EntryRefusal(`there is no directory ${quoted(path.subarray(0, end))} yet`);
      directory = this.#names.inodeOf(entry);
      if (!this.#inodes.isDirectory(directory))
        throw new EntryRefusal(`${quoted(path.subarray(0, end))} is no directory`);
      start = end + 1;
    }
    if (this.#known.size === MOST_KNOWN) this.#known.clear();
    this.#known.set(key, directory);
    return directory;
  }
}

const MOST_KNOWN = 256;

function quoted(path: Uint8Array): string {
  return JSON.stringify(printable(path));
}

const FIRST = 0;
const LAST = 4;
const PARENT = 8;

function checkPath(path: Uint8Array): void {
  if (path.length > LONGEST_PATH)
    throw new EntryRefusal(
      `its path has ${path.length} bytes, and ${LONGEST_PATH} are the most that Linux takes`,
    );
  if (path.includes(0)) throw new EntryRefusal('its path contains a NUL');
  let start = 0;
  while (start <= path.length) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    checkName(path, start, end - start);
    start = end + 1;
  }
}

function checkName(path: Uint8Array, start: number, length: number): void {
  if (length > DIRECTORY.longestName)
    throw new EntryRefusal(
      `a part of its path has ${length} bytes, and ${DIRECTORY.longestName} are the most`,
    );
  if (length === 0) throw new EntryRefusal('its path has an empty part');
  const isDots = path[start] === DOT && (length === 1 || (length === 2 && path[start + 1] === DOT));
  if (isDots) throw new EntryRefusal('its path has a part that is `.` or `..`');
}

const DOT = 0x2e;

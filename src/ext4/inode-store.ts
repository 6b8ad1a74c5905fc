import type { InodeFields } from './format/inode.ts';
import { encodeInode, INODE_TYPE } from './format/inode.ts';
import { FIRST_INODE } from './format/superblock.ts';
import type { PageFile } from './page-file.ts';
import { PagedBytes } from './paged-bytes.ts';

/** Inodes of a page. */
const PIECE = 64;
/** Bytes that stay in memory, however many inodes there are. */
const KEPT = 6 * 1024 * 1024;
/** A type is the upper four bits of a mode. */
const TYPE_SHIFT = 12;

/**
 * Every inode of the file system until it is written, as it will be on the disk but for its checksum, and nothing else:
 * no object for each. Those that were not used for long are in a file. Views are good until `settle`.
 */
export class InodeStore {
  readonly #inodeSize: number;
  /** Where extended attributes begin. */
  readonly #bodyAt: number;
  readonly #pages: PagedBytes;
  /** By inode: what it is, as that is asked of all of them; 0 for none. */
  #types = new Uint8Array(1024);
  /** Given back, to be used again. */
  readonly #idle: number[] = [];
  #last = 0;

  /** `kept`: bytes. The file is the store's alone, and the caller's to close. */
  constructor(inodeSize: number, bodyAt: number, file: PageFile, kept = KEPT) {
    this.#inodeSize = inodeSize;
    this.#bodyAt = bodyAt;
    const pageSize = PIECE * inodeSize;
    this.#pages = new PagedBytes(pageSize, Math.ceil(kept / pageSize), file);
    while (this.#last < FIRST_INODE - 1) this.#add();
  }

  /** The highest number that is, or was, in use: those reserved count. */
  get last(): number {
    return this.#last;
  }

  /** In use, those reserved included. */
  get used(): number {
    return this.#last - this.#idle.length;
  }

  /** The number of an inode that is all zero. */
  allocate(): number {
    return this.#idle.pop() ?? this.#add();
  }

  release(number: number): void {
    this.fields(number).fill(0);
    this.#types[number] = 0;
    this.#idle.push(number);
  }

  isUsed(number: number): boolean {
    return number < FIRST_INODE || (number <= this.#last && this.#types[number] !== 0);
  }

  /** The type's bits of its mode. */
  typeOf(number: number): number {
    return (this.#types[number] ?? 0) << TYPE_SHIFT;
  }

  isDirectory(number: number): boolean {
    return this.typeOf(number) === INODE_TYPE.directory.mode;
  }

  /** All of its fields; of what was behind them nothing stays but `body`, its extended attributes. */
  describe(number: number, fields: InodeFields, body?: Uint8Array): void {
    const bytes = this.fields(number);
    encodeInode(fields, bytes);
    this.#types[number] = fields.mode >>> TYPE_SHIFT;
    bytes.fill(0, this.#bodyAt);
    if (body !== undefined) bytes.set(body, this.#bodyAt);
  }

  /** A view, to be changed; but for the type, which `describe` alone does. */
  fields(number: number): Buffer {
    return this.#viewOf(number, this.#pages.change(pageOf(number)));
  }

  /** A view, to be looked at only. */
  look(number: number): Buffer {
    return this.#viewOf(number, this.#pages.look(pageOf(number)));
  }

  /** To be called now and then, when nobody has a view. */
  settle(): void {
    this.#pages.settle();
  }

  #viewOf(number: number, page: Buffer): Buffer {
    const at = ((number - 1) % PIECE) * this.#inodeSize;
    return page.subarray(at, at + this.#inodeSize);
  }

  #add(): number {
    if (this.#last % PIECE === 0) this.#pages.add();
    this.#last += 1;
    if (this.#last === this.#types.length) {
      const types = new Uint8Array(this.#last * 2);
      types.set(this.#types);
      this.#types = types;
    }
    return this.#last;
  }
}

function pageOf(number: number): number {
  return Math.floor((number - 1) / PIECE);
}

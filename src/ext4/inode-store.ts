import { ByteLog } from './byte-log.ts';
import { EXTRA_FIELDS, OLD_INODE, readLinks } from './format/inode.ts';
import { FIRST_INODE } from './format/superblock.ts';
import { NumberList } from './number-list.ts';

const PIECE = 256;

/**
 * Every inode of the file system until it is written, its fields as they will be on the disk and nothing else: no
 * object for each. Extended attributes lie apart, as most have none.
 */
export class InodeStore {
  readonly #slotSize: number;
  readonly #pieces: Buffer[] = [];
  /** By inode: where its attributes lie in the log, counted from 1. */
  readonly #bodyAt = new NumberList();
  readonly #bodies = new ByteLog();
  /** Given back, to be used again. */
  readonly #idle: number[] = [];
  #last = 0;

  constructor(inodeSize: number) {
    this.#slotSize = Math.min(inodeSize, OLD_INODE + EXTRA_FIELDS);
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
    this.setBody(number, undefined);
    this.#idle.push(number);
  }

  isUsed(number: number): boolean {
    return number < FIRST_INODE || (number <= this.#last && readLinks(this.fields(number)) > 0);
  }

  /** A view, to be changed. */
  fields(number: number): Buffer {
    const index = number - 1;
    const piece = this.#pieces[Math.floor(index / PIECE)];
    if (piece === undefined) throw new RangeError(`there is no inode ${number}`);
    const at = (index % PIECE) * this.#slotSize;
    return piece.subarray(at, at + this.#slotSize);
  }

  /** The extended attributes behind the fields. */
  body(number: number): Buffer | undefined {
    const at = this.#bodyAt.get(number - 1);
    return at === 0 ? undefined : this.#bodies.get(at - 1);
  }

  setBody(number: number, body: Uint8Array | undefined): void {
    this.#bodyAt.set(number - 1, body === undefined ? 0 : this.#bodies.add(body) + 1);
  }

  #add(): number {
    if (this.#last % PIECE === 0) this.#pieces.push(Buffer.alloc(PIECE * this.#slotSize));
    this.#bodyAt.push(0);
    this.#last += 1;
    return this.#last;
  }
}

import { ByteLog } from './byte-log.ts';
import { EXTRA_FIELDS, INODE_TYPE, OLD_INODE, readLinks, readMode } from './format/inode.ts';
import { FIRST_INODE } from './format/superblock.ts';
import { NumberList } from './number-list.ts';

const PIECE = 256;
const TYPE_BITS = 0xf000;

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
    return number < FIRST_INODE || (number <= this.#last && this.linksOf(number) > 0);
  }

  /** 0 where it is not in use, and of most that are reserved. */
  linksOf(number: number): number {
    return readLinks(this.#pieceOf(number), this.#offsetOf(number));
  }

  /** The type's bits of its mode. */
  typeOf(number: number): number {
    return readMode(this.#pieceOf(number), this.#offsetOf(number)) & TYPE_BITS;
  }

  isDirectory(number: number): boolean {
    return this.typeOf(number) === INODE_TYPE.directory.mode;
  }

  /** A view, to be changed. */
  fields(number: number): Buffer {
    const at = this.#offsetOf(number);
    return this.#pieceOf(number).subarray(at, at + this.#slotSize);
  }

  /** The extended attributes behind the fields. */
  body(number: number): Buffer | undefined {
    const at = this.#bodyAt.get(number - 1);
    return at === 0 ? undefined : this.#bodies.get(at - 1);
  }

  setBody(number: number, body: Uint8Array | undefined): void {
    this.#bodyAt.set(number - 1, body === undefined ? 0 : this.#bodies.add(body) + 1);
  }

  #pieceOf(number: number): Buffer {
    const piece = this.#pieces[Math.floor((number - 1) / PIECE)];
    if (piece === undefined) throw new RangeError(`there is no inode ${number}`);
    return piece;
  }

  #offsetOf(number: number): number {
    return ((number - 1) % PIECE) * this.#slotSize;
  }

  #add(): number {
    if (this.#last % PIECE === 0) this.#pieces.push(Buffer.alloc(PIECE * this.#slotSize));
    this.#bodyAt.push(0);
    this.#last += 1;
    return this.#last;
  }
}

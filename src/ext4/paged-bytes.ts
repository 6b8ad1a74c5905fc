import type { PageFile } from './page-file.ts';

/** Nobody asked for it lately; somebody did; and may have changed it. Bits. */
const TOUCHED = 1;
const CHANGED = 2;

/**
 * Bytes in pages of one size, of which only those that were used last stay in memory: the others are in a file. Views
 * are good until `settle`, which alone takes pages out of memory: whoever wants them to stay need only not call it.
 */
export class PagedBytes {
  readonly #pageSize: number;
  readonly #most: number;
  readonly #file: PageFile;
  /** By their numbers; undefined for those that are in the file alone. */
  readonly #pages: (Buffer | undefined)[] = [];
  /** Of those in memory: their numbers, in no order. */
  readonly #present: number[] = [];
  /** By number. */
  #states = new Uint8Array(1024);
  /** In `#present`: where the search for one that can go was left. */
  #hand = 0;
  readonly #idle: Buffer[] = [];

  /** `most` pages are in memory after `settle`. The file is this one's alone, and the caller's to close. */
  constructor(pageSize: number, most: number, file: PageFile) {
    this.#pageSize = pageSize;
    this.#most = most;
    this.#file = file;
  }

  get pages(): number {
    return this.#pages.length;
  }

  /** A further page, all zero. */
  add(): void {
    const page = this.#pages.length;
    const idle = this.#idle.pop();
    const bytes = idle?.fill(0) ?? Buffer.alloc(this.#pageSize);
    if (page === this.#states.length) {
      const states = new Uint8Array(page * 2);
      states.set(this.#states);
      this.#states = states;
    }
    this.#pages.push(bytes);
    this.#present.push(page);
    this.#states[page] = TOUCHED | CHANGED;
  }

  /** To be looked at only. */
  look(page: number): Buffer {
    const bytes = this.#pages[page] ?? this.#fetch(page);
    this.#states[page] = (this.#states[page] ?? 0) | TOUCHED;
    return bytes;
  }

  /** To be changed. */
  change(page: number): Buffer {
    const bytes = this.#pages[page] ?? this.#fetch(page);
    this.#states[page] = TOUCHED | CHANGED;
    return bytes;
  }

  /** Writes out what is more than may be in memory: of what nobody asked for since it was passed last. */
  settle(): void {
    while (this.#present.length > this.#most) {
      if (this.#hand >= this.#present.length) this.#hand = 0;
      const page = this.#present[this.#hand] ?? 0;
      const state = this.#states[page] ?? 0;
      if ((state & TOUCHED) !== 0) {
        this.#states[page] = state & ~TOUCHED;
        this.#hand += 1;
        continue;
      }
      this.#dismiss(page, (state & CHANGED) !== 0);
    }
  }

  #dismiss(page: number, isChanged: boolean): void {
    const bytes = this.#pages[page];
    if (bytes === undefined) throw new Error('a page goes twice');
    if (isChanged) this.#file.write(bytes, page * this.#pageSize);
    this.#states[page] = 0;
    this.#pages[page] = undefined;
    const last = this.#present.pop();
    if (last !== undefined && last !== page) this.#present[this.#hand] = last;
    if (this.#idle.length < MOST_IDLE) this.#idle.push(bytes);
  }

  #fetch(page: number): Buffer {
    if (page >= this.#pages.length) throw new RangeError(`there is no page ${page}`);
    const bytes = this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#pageSize);
    this.#file.read(bytes, page * this.#pageSize);
    this.#pages[page] = bytes;
    this.#present.push(page);
    return bytes;
  }
}

const MOST_IDLE = 16;

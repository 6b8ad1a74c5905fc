import type { Geometry, Run } from './geometry.ts';

/**
 * Which blocks are taken: everything below a mark that moves on, but for the heads of groups, which count as taken,
 * and a list of stretches that were given back or passed over.
 */
export class BlockAllocator {
  readonly #geometry: Geometry;
  /** In their order, none touching the next. */
  #free: Run[] = [];
  #next: number;
  /** Where the next head begins, or an earlier block that is no longer behind `#next`. */
  #head: number;
  #limit: number;

  constructor(geometry: Geometry, limit: number) {
    this.#geometry = geometry;
    this.#limit = limit;
    this.#next = geometry.firstBlock;
    this.#head = this.#next;
    this.#passHeads();
  }

  copy(limit: number): BlockAllocator {
    const copy = new BlockAllocator(this.#geometry, limit);
    copy.#free = [...this.#free];
    copy.#next = this.#next;
    copy.#head = this.#head;
    return copy;
  }

  /** Nothing at or beyond it was ever taken. */
  get mark(): number {
    return this.#next;
  }

  /** Below the mark, and not taken. */
  get free(): readonly Run[] {
    return this.#free;
  }

  /** From now on there is no end: who takes blocks looks at the mark afterwards. */
  liftLimit(): void {
    this.#limit = Infinity;
  }

  /** The next blocks there are, at most so many; undefined where there are none. */
  take(most: number): Run | undefined {
    const first = this.#free[0];
    if (first !== undefined) {
      const length = Math.min(most, first.length);
      this.#shorten(0, length);
      return { start: first.start, length };
    }
    const start = this.#next;
    const length = Math.min(most, this.#head - start, this.#limit - start);
    if (length <= 0) return undefined;
    this.#next += length;
    this.#passHeads();
    return { start, length };
  }

  /** So many blocks in one piece. */
  takeRun(length: number): number | undefined {
    const at = this.#free.findIndex((run) => run.length >= length);
    const fitting = this.#free[at];
    if (fitting !== undefined) {
      this.#shorten(at, length);
      return fitting.start;
    }
    while (this.#head - this.#next < length) {
      if (this.#next >= this.#limit) return undefined;
      const gap = { start: this.#next, length: Math.min(this.#head, this.#limit) - this.#next };
      this.#next += gap.length;
      this.release(gap);
      this.#passHeads();
    }
    const start = this.#next;
    if (start + length > this.#limit) return undefined;
    this.#next += length;
    this.#passHeads();
    return start;
  }

  release(run: Run): void {
    const after = this.#indexFrom(run.start);
    const before = this.#free[after - 1];
    const behind = this.#free[after];
    const joinsBefore = before !== undefined && before.start + before.length === run.start;
    const joinsBehind = behind !== undefined && run.start + run.length === behind.start;
    const start = joinsBefore ? before.start : run.start;
    const end = joinsBehind ? behind.start + behind.length : run.start + run.length;
    this.#free.splice(
      joinsBefore ? after - 1 : after,
      (joinsBefore ? 1 : 0) + (joinsBehind ? 1 : 0),
      { start, length: end - start },
    );
  }

  /** What is not taken of [start, end), heads of groups not looked at. */
  *freeWithin(start: number, end: number): Generator<Run, void> {
    for (let i = Math.max(this.#indexFrom(start) - 1, 0); i < this.#free.length; i += 1) {
      const run = this.#free[i];
      if (run === undefined || run.start >= end) break;
      const from = Math.max(run.start, start);
      const to = Math.min(run.start + run.length, end);
      if (from < to) yield { start: from, length: to - from };
    }
    const from = Math.max(this.#next, start);
    if (from < end) yield { start: from, length: end - from };
  }

  #passHeads(): void {
    if (this.#next < this.#head) return;
    const geometry = this.#geometry;
    let group = geometry.groupOf(this.#next);
    if (this.#next === geometry.startOf(group)) this.#next += geometry.headOf(group);
    do group += 1;
    while (geometry.headOf(group) === 0);
    this.#head = geometry.startOf(group);
  }

  #shorten(index: number, length: number): void {
    const run = this.#free[index];
    if (run === undefined) return;
    if (run.length === length) this.#free.splice(index, 1);
    else this.#free[index] = { start: run.start + length, length: run.length - length };
  }

  /** Of the first that begins at or behind `block`. */
  #indexFrom(block: number): number {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#free[middle]?.start ?? 0) < block) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

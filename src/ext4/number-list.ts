const PIECE_BITS = 14;
const PIECE = 2 ** PIECE_BITS;
const WITHIN = PIECE - 1;

/** Numbers of 32 bits, four bytes each, in pieces that are never copied. */
export class NumberList {
  readonly #pieces: Uint32Array[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  get(index: number): number {
    return this.#pieces[index >>> PIECE_BITS]?.[index & WITHIN] ?? 0;
  }

  /** `index` is below the length. */
  set(index: number, value: number): void {
    const piece = this.#pieces[index >>> PIECE_BITS];
    if (piece !== undefined) piece[index & WITHIN] = value;
  }

  push(value: number): void {
    if ((this.#length & WITHIN) === 0) this.#pieces.push(new Uint32Array(PIECE));
    this.#length += 1;
    this.set(this.#length - 1, value);
  }
}

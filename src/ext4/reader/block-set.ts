/** Numbers from 0 on: a bit for each, in pieces that are made where something was added. */
export class BlockSet {
  readonly #pieces = new Map<number, Uint8Array>();

  /** False where it was there already. */
  add(block: number): boolean {
    const index = Math.floor(block / PIECE_BITS);
    let piece = this.#pieces.get(index);
    if (piece === undefined) {
      piece = new Uint8Array(PIECE_BITS / 8);
      this.#pieces.set(index, piece);
    }
    const bit = block % PIECE_BITS;
    const byte = piece[bit >> 3] ?? 0;
    const mask = 1 << (bit & 7);
    piece[bit >> 3] = byte | mask;
    return (byte & mask) === 0;
  }
}

const PIECE_BITS = 8 * 512;

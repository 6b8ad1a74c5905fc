const PIECE = 64 * 1024;
const LENGTH = 2;

/** Short byte strings, one behind the other in pieces that are never copied; each is found again by its position. */
export class ByteLog {
  readonly #pieces: Buffer[] = [];
  #used = PIECE;

  /** At most 64 KiB less 2 bytes. Returns the position, which fits in 32 bits. */
  add(bytes: Uint8Array): number {
    if (this.#used + LENGTH + bytes.length > PIECE) {
      this.#pieces.push(Buffer.allocUnsafeSlow(PIECE));
      this.#used = 0;
    }
    const position = (this.#pieces.length - 1) * PIECE + this.#used;
    if (position > 0xffffffff) throw new RangeError('more than 4 GiB of names and attributes');
    const piece = this.#pieceAt(position);
    piece.writeUInt16LE(bytes.length, this.#used);
    piece.set(bytes, this.#used + LENGTH);
    this.#used += LENGTH + bytes.length;
    return position;
  }

  /** A view. */
  get(position: number): Buffer {
    const piece = this.#pieceAt(position);
    const at = position % PIECE;
    return piece.subarray(at + LENGTH, at + LENGTH + piece.readUInt16LE(at));
  }

  isAt(position: number, bytes: Uint8Array): boolean {
    const piece = this.#pieceAt(position);
    const at = position % PIECE;
    const length = piece.readUInt16LE(at);
    if (length !== bytes.length) return false;
    for (let i = 0; i < length; i += 1) if (piece[at + LENGTH + i] !== bytes[i]) return false;
    return true;
  }

  #pieceAt(position: number): Buffer {
    const piece = this.#pieces[Math.floor(position / PIECE)];
    if (piece === undefined) throw new RangeError(`nothing is at ${position}`);
    return piece;
  }
}

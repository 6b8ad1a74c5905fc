const NOTHING = new Uint8Array(0);

/**
 * A stream of chunks, read in pieces of the reader's own choice; pieces within one chunk are not copied. What is
 * returned is good until the next call: sources may use their buffers again.
 */
export class ByteWindow {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = NOTHING;
  #at = 0;
  /** Where in the stream `#chunk` begins. */
  #base = 0;
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Where in the stream the next byte is. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /** `length` bytes if they are at hand without waiting. */
  takeNow(length: number): Uint8Array | undefined {
    if (this.#chunk.length - this.#at < length) return undefined;
    const bytes = this.#chunk.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  /** Passes over `length` bytes if they are at hand without waiting. */
  skipNow(length: number): boolean {
    if (this.#chunk.length - this.#at < length) return false;
    this.#at += length;
    return true;
  }

  /** `length` bytes, fewer only where the stream ends; for small lengths, as they are put together in memory. */
  async take(length: number): Promise<Uint8Array> {
    const now = this.takeNow(length);
    if (now !== undefined) return now;
    const pieces: Uint8Array[] = [];
    let missing = length;
    while (missing > 0) {
      const piece = await this.takeSome(missing);
      if (piece === undefined) break;
      // The next chunk may come in the buffer of this one.
      pieces.push(Buffer.from(piece));
      missing -= piece.length;
    }
    return pieces.length === 1 ? (pieces[0] ?? NOTHING) : Buffer.concat(pieces);
  }

  /** At least one and at most `most` bytes, as they come; undefined at the stream's end. */
  async takeSome(most: number): Promise<Uint8Array | undefined> {
    if (!(await this.#fill())) return undefined;
    const length = Math.min(most, this.#chunk.length - this.#at);
    return this.takeNow(length);
  }

  /** Passes over `length` bytes; resolves to false where the stream ends before. */
  async skip(length: number): Promise<boolean> {
    let missing = length;
    while (missing > 0) {
      if (!(await this.#fill())) return false;
      const step = Math.min(missing, this.#chunk.length - this.#at);
      this.#at += step;
      missing -= step;
    }
    return true;
  }

  /** Tells the source that nobody reads on. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    while (this.#at === this.#chunk.length) {
      if (this.#ended) return false;
      this.#base += this.#chunk.length;
      this.#chunk = NOTHING;
      this.#at = 0;
      const next = await this.#source.next();
      if (next.done === true) {
        this.#ended = true;
        return false;
      }
      this.#chunk = next.value;
    }
    return true;
  }
}

import type { ImageFile } from './image-file.ts';

const CHUNK = 64 * 1024;
const CHUNKS = 128;

/**
 * Blocks of metadata, read with their neighbours in aligned chunks of 64 KiB, of which the 128 used last are kept.
 * What it gives are views: they must be copied if they are kept, and never written to.
 */
export class BlockCache {
  readonly #file: ImageFile;
  /** In the order of last use. */
  readonly #chunks = new Map<number, Promise<Buffer>>();

  constructor(file: ImageFile) {
    this.#file = file;
  }

  /** `length` divides 64 KiB and `offset` is a multiple of it. */
  async read(offset: number, length: number): Promise<Buffer> {
    const start = Math.floor(offset / CHUNK) * CHUNK;
    const chunk = await this.#chunk(start);
    // The last chunk is as long as the file lets it be.
    if (offset - start + length > chunk.length) return this.#file.read(offset, length);
    return chunk.subarray(offset - start, offset - start + length);
  }

  #chunk(start: number): Promise<Buffer> {
    const known = this.#chunks.get(start);
    this.#chunks.delete(start);
    const chunk =
      known ?? this.#file.read(start, Math.max(Math.min(CHUNK, this.#file.size - start), 0));
    this.#chunks.set(start, chunk);
    if (known === undefined) {
      chunk.catch(() => this.#chunks.delete(start));
      const oldest = this.#chunks.keys().next().value;
      if (this.#chunks.size > CHUNKS && oldest !== undefined) this.#chunks.delete(oldest);
    }
    return chunk;
  }
}

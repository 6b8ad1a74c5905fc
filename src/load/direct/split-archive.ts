import { TarSplit } from '../../data-root/tar-split.ts';
import type { TarEntry } from '../../oci/tar/reader.ts';
import { BLOCK } from '../../oci/tar/header.ts';

const NOTHING = new Uint8Array(0);

/**
 * What dockerd needs to give an archive back, made while the archive is read: `pass` feeds the reader, `member` follows
 * it. Nothing is kept: a reader that asks for the next chunk has come to the end of the one it has, and what no
 * member has claimed of that is no content.
 */
export class SplitArchive {
  readonly #split = new TarSplit();
  /** What nobody has told anything of yet of the chunk that the reader has, and where in the archive it begins. */
  #rest: Uint8Array = NOTHING;
  #at = 0;
  /** Bytes of the last member's content that have not gone by. */
  #content = 0;

  async *pass(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of archive) {
      this.#rest = chunk;
      this.#takeContent();
      yield chunk;
      this.#takeSegment(this.#rest.length);
    }
  }

  /** A member that the reader gives, before its content is read. */
  member({ offset, name, size }: TarEntry): void {
    this.#takeSegment(offset + BLOCK - this.#at);
    this.#split.file(name, size);
    this.#content = size;
    this.#takeContent();
  }

  /** Once the archive has been read. */
  finish(): Uint8Array {
    this.#takeSegment(this.#rest.length);
    return this.#split.finish();
  }

  #takeSegment(length: number): void {
    if (length > 0) this.#split.segment(this.#take(length));
  }

  #takeContent(): void {
    const length = Math.min(this.#content, this.#rest.length);
    if (length > 0) this.#split.payload(this.#take(length));
    this.#content -= length;
  }

  #take(length: number): Uint8Array {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    this.#at += taken.length;
    return taken;
  }
}

import { TarSplit } from '../../data-root/tar-split.ts';
import type { TarEntry } from '../../oci/tar/reader.ts';
import { BLOCK } from '../../oci/tar/header.ts';

const NOTHING = Buffer.alloc(0);

/** What dockerd needs to give an archive back, made while the archive is read: `pass` feeds the reader, `member` follows it. */
export class SplitArchive {
  readonly #split = new TarSplit();
  /** What nobody has told anything of yet, and where in the archive it begins. */
  #rest: Buffer = NOTHING;
  #at = 0;
  /** Bytes of the last member's content that have not gone by. */
  #content = 0;

  async *pass(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of archive) {
      this.#take(chunk);
      yield chunk;
    }
  }

  /** A member that the reader gives, before its content is read. */
  member({ offset, name, size }: TarEntry): void {
    const head = offset + BLOCK - this.#at;
    this.#split.segment(this.#rest.subarray(0, head));
    this.#split.file(name, size);
    const rest = this.#rest.subarray(head);
    this.#at += head;
    this.#rest = NOTHING;
    this.#content = size;
    this.#take(rest);
  }

  /** Once the archive has been read. */
  finish(): Uint8Array {
    this.#split.segment(this.#rest);
    return this.#split.finish();
  }

  #take(bytes: Uint8Array): void {
    const length = Math.min(this.#content, bytes.length);
    if (length > 0) this.#split.payload(bytes.subarray(0, length));
    this.#content -= length;
    this.#at += length;
    // Kept where the reader has not come to yet: its buffer is used again.
    if (length < bytes.length) this.#rest = Buffer.concat([this.#rest, bytes.subarray(length)]);
  }
}

import { listAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Inode } from '../ext4/reader/inode.ts';
import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import { interruption } from '../model/file-failure.ts';
import type { Blobs } from './blobs.ts';
import { need, Stopped } from '../trees/stopped.ts';

/** The files of a content store in a data image, or any other directory of files named by digests. */
export class ImageBlobs implements Blobs {
  readonly #reader: ImageReader;
  readonly #files: ReadonlyMap<Digest, Inode>;
  readonly #signal: AbortSignal;

  private constructor(reader: ImageReader, files: ReadonlyMap<Digest, Inode>, signal: AbortSignal) {
    this.#reader = reader;
    this.#files = files;
    this.#signal = signal;
  }

  /** Throws `Stopped`. */
  static async open(
    reader: ImageReader,
    directory: string,
    signal: AbortSignal,
  ): Promise<ImageBlobs> {
    const files = new Map<Digest, Inode>();
    const { blocks, blockSize } = reader.facts;
    for (const entry of need(await listAt(reader, directory), reader.path)) {
      const digest = parseDigest(`sha256:${entry.name}`);
      if (digest === undefined || entry.type !== 'file') continue;
      // Engines leave no holes in blobs: what is larger would be read for days.
      if (entry.size > blocks * blockSize)
        throw new Stopped({
          reason: 'image-corrupt',
          image: reader.path,
          detail: `blob ${digest} is said to have ${entry.size} bytes, more than the file system`,
        });
      files.set(digest, entry);
    }
    return new ImageBlobs(reader, files, signal);
  }

  digests(): Iterable<Digest> {
    return this.#files.keys();
  }

  size(digest: Digest): number | undefined {
    return this.#files.get(digest)?.size;
  }

  async *read(
    digest: Digest,
    stretch?: { readonly start: number; readonly end: number },
  ): AsyncGenerator<Uint8Array> {
    const file = this.#files.get(digest);
    if (file === undefined) throw new Error(`${digest} is not there`);
    for await (const piece of this.#reader.readFile(file, stretch)) {
      if (!piece.ok) throw new Stopped(piece.failure);
      if (this.#signal.aborted) throw new Stopped(interruption(this.#signal));
      yield piece.value;
    }
  }
}

import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { refusalOf } from './refusal.ts';

/**
 * A file without a name in the directory of the image, for what memory is too good for: there from the first write
 * on, and gone with the process at the latest. Reads and writes don't wait for a disk, so there are no promises.
 */
export class PageFile {
  readonly #image: string;
  #file: number | undefined;

  /** `image` is the path of the image that is written. */
  constructor(image: string) {
    this.#image = image;
  }

  /** Throws a `Refusal`. */
  write(bytes: Uint8Array, at: number): void {
    this.#trying(() => {
      this.#file ??= openNameless(dirname(this.#image));
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
    });
  }

  /** Fills `bytes`; throws a `Refusal`. */
  read(bytes: Uint8Array, at: number): void {
    const file = this.#file;
    if (file === undefined) throw new Error('nothing was written yet');
    this.#trying(() => {
      for (let done = 0; done < bytes.length;) {
        const count = readSync(file, bytes, done, bytes.length - done, at + done);
        if (count === 0) throw new Error('a page was not written');
        done += count;
      }
    });
  }

  /** Idempotent. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #trying(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw refusalOf(error, this.#image);
    }
  }
}

function openNameless(directory: string): number {
  const path = join(directory, `.stowage-${randomBytes(8).toString('hex')}.pages`);
  const file = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
  } catch (error) {
    closeSync(file);
    throw error;
  }
  return file;
}

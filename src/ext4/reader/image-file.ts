import { open, stat, type FileHandle } from 'node:fs/promises';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { damaged, notWhatItShouldBe } from './damage.ts';

/** What an open file can do, as a FileHandle does it. */
export interface Readable {
  read(
    into: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

/**
 * A file, or a stretch of one such as a partition, that is read at offsets which come from the file itself: nothing
 * outside is ever asked for. Block devices do too.
 */
export class ImageFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly #handle: Readable;
  readonly #start: number;

  constructor(path: string, handle: Readable, start: number, size: number) {
    this.path = path;
    this.size = size;
    this.#handle = handle;
    this.#start = start;
  }

  /** Where in the file it begins, in bytes. */
  get start(): number {
    return this.#start;
  }

  /** Damaged where the file is shorter. */
  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(this.#checked(offset, length));
    await this.readInto(bytes, offset);
    return bytes;
  }

  /** Fills `into`. */
  async readInto(into: Buffer, offset: number): Promise<void> {
    this.#checked(offset, into.length);
    let done = 0;
    while (done < into.length) {
      const count = await this.#readSome(into, done, offset + done);
      if (count === 0) throw damaged(`it ended at byte ${offset + done} while it was read`);
      done += count;
    }
  }

  /** The same file, still closed as one. Damaged where it does not reach that far. */
  part(offset: number, length: number): ImageFile {
    this.#checked(offset, length);
    return new ImageFile(this.path, this.#handle, this.#start + offset, length);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #readSome(into: Buffer, done: number, offset: number): Promise<number> {
    try {
      const { bytesRead } = await this.#handle.read(
        into,
        done,
        into.length - done,
        this.#start + offset,
      );
      return bytesRead;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw damaged(`byte ${offset} can't be read: ${code ?? message}`);
    }
  }

  #checked(offset: number, length: number): number {
    if (
      !Number.isSafeInteger(offset) ||
      !Number.isSafeInteger(length) ||
      offset < 0 ||
      length < 0 ||
      offset + length > this.size
    )
      throw damaged(`it ends at byte ${this.size}, before byte ${offset + length}`);
    return length;
  }
}

/** Fails with `invalid-document` (kind `data image`) or `access-denied`. */
export async function openFile(path: string): Promise<Result<ImageFile>> {
  try {
    // Looked at first: opening a pipe would wait for somebody who writes into it.
    const kind = await stat(path);
    if (kind.isDirectory()) return notAnImage(path, 'this is a directory');
    if (!kind.isFile() && !kind.isBlockDevice()) return notAnImage(path, 'this is no file');
    const handle = await open(path, 'r');
    try {
      const status = await handle.stat();
      const size = status.isBlockDevice() ? await sizeOfDevice(handle) : status.size;
      return ok(new ImageFile(path, handle, 0, size));
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return notAnImage(path, 'there is no such file');
    if (code === 'EACCES' || code === 'EPERM')
      return fail({
        reason: 'access-denied',
        path,
        doing: 'reading the image',
        detail: message,
      });
    return notAnImage(path, message);
  }
}

function notAnImage(path: string, detail: string): Result<never> {
  return fail(notWhatItShouldBe(detail).failureOf(path));
}

/** A device's status has no size, and Node no way to seek: its last byte is searched for. */
async function sizeOfDevice(handle: FileHandle): Promise<number> {
  const byte = Buffer.alloc(1);
  const has = async (offset: number): Promise<boolean> =>
    (await handle.read(byte, 0, 1, offset)).bytesRead === 1;
  if (!(await has(0))) return 0;
  let within = 0;
  let beyond = 1;
  while (await has(beyond)) {
    within = beyond;
    beyond *= 2;
  }
  while (beyond - within > 1) {
    const middle = within + Math.floor((beyond - within) / 2);
    if (await has(middle)) within = middle;
    else beyond = middle;
  }
  return beyond;
}

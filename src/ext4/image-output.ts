import type { FileHandle } from 'node:fs/promises';
import { refusalOf, writing } from './refusal.ts';

const BUFFER = 1024 * 1024;
const BUFFERS = 3;

interface Write {
  readonly start: number;
  readonly end: number;
  readonly done: Promise<void>;
}

/**
 * The file that is written: mostly in order, so what is given is gathered into large writes, of which two may be under
 * way while the next is filled. Throws a `Refusal` where the file can't be written.
 */
export class ImageOutput {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #idle: Buffer[] = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafeSlow(BUFFER));
  /** In the order of their beginning; each gives its buffer back. */
  readonly #underWay: Write[] = [];
  #failed: { readonly error: unknown } | undefined;
  #buffer: Buffer | undefined;
  #start = 0;
  #length = 0;

  /** `path` is for messages. The handle stays the caller's to close. */
  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** `bytes` may be used again once it resolves, which it does at once (with nothing to wait for) mostly. */
  write(offset: number, bytes: Uint8Array): Promise<void> | undefined {
    if (offset !== this.#start + this.#length) this.#send();
    if (this.#buffer === undefined || this.#length + bytes.length > BUFFER)
      return this.#writeSlowly(offset, bytes);
    this.#place(offset, bytes);
    return undefined;
  }

  /** Everything that was written is then in the file. */
  async flush(): Promise<void> {
    this.#send();
    while (this.#underWay.length > 0) await this.#underWay.shift()?.done;
    this.#check();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    await this.flush();
    const bytes = Buffer.alloc(length);
    await writing(this.#path, () => this.#handle.read(bytes, 0, length, offset));
    return bytes;
  }

  async #writeSlowly(offset: number, bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      if (this.#length === BUFFER) this.#send();
      if (this.#buffer === undefined) await this.#takeBuffer();
      const length = Math.min(BUFFER - this.#length, bytes.length - done);
      this.#place(offset + done, bytes.subarray(done, done + length));
      done += length;
    }
  }

  #place(offset: number, bytes: Uint8Array): void {
    if (this.#length === 0) this.#start = offset;
    this.#buffer?.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  async #takeBuffer(): Promise<void> {
    while (this.#idle.length === 0) await this.#underWay.shift()?.done;
    this.#check();
    this.#buffer = this.#idle.pop();
  }

  /** Begins to write what is gathered. */
  #send(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#length === 0) return;
    const [start, end] = [this.#start, this.#start + this.#length];
    // The system may do two writes in any order: what was written here before must be there first.
    const before = this.#underWay
      .filter((write) => write.start < end && start < write.end)
      .map((write) => write.done);
    const done = this.#writeOut(buffer, start, end - start, before);
    this.#underWay.push({ start, end, done });
    this.#buffer = undefined;
    this.#length = 0;
  }

  /** Never rejects: what failed is told by `#check`. */
  async #writeOut(
    buffer: Buffer,
    start: number,
    length: number,
    before: readonly Promise<void>[],
  ): Promise<void> {
    try {
      await Promise.all(before);
      let done = 0;
      while (done < length)
        done += (await this.#handle.write(buffer, done, length - done, start + done)).bytesWritten;
    } catch (error) {
      this.#failed ??= { error };
    }
    this.#idle.push(buffer);
  }

  #check(): void {
    const failed = this.#failed;
    if (failed !== undefined) throw refusalOf(failed.error, this.#path);
  }
}

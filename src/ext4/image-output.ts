import type { FileHandle } from 'node:fs/promises';
import { refusalOf, writing } from './refusal.ts';

const BUFFER = 1024 * 1024;
/** Full buffers that wait or are written while one is filled. */
const BUFFERS = 3;
/** Bytes after which the disk is given what was written: it is idle otherwise until all is there. */
const SYNC = 64 * 1024 * 1024;

interface Full {
  readonly buffer: Buffer;
  readonly start: number;
  readonly length: number;
}

/**
 * The file that is written: mostly in order, so what is given is gathered into large writes, which go on while the
 * next is filled. One after the other: Linux lets one write at a time into a file, and who waits for it takes a
 * processor to do so. Throws a `Refusal` where the file can't be written.
 */
export class ImageOutput {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #idle: Buffer[] = [];
  /** In their order; the first is being written. */
  readonly #full: Full[] = [];
  #failed: { readonly error: unknown } | undefined;
  #isWriting = false;
  #syncing: Promise<void> | undefined;
  #unsynced = 0;
  #written: (() => void) | undefined;
  #buffer: Buffer | undefined;
  #start = 0;
  #length = 0;

  /** `path` is for messages. The handle stays the caller's to close. */
  constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** Takes a copy: nothing is waited for, so `room` is to be asked now and then. */
  write(offset: number, bytes: Uint8Array): void {
    if (offset !== this.#start + this.#length) this.#send();
    let done = 0;
    while (done < bytes.length) {
      const length = Math.min(BUFFER - this.#length, bytes.length - done);
      this.#buffer ??= this.#idle.pop() ?? Buffer.allocUnsafeSlow(BUFFER);
      if (this.#length === 0) this.#start = offset + done;
      const part = length === bytes.length ? bytes : bytes.subarray(done, done + length);
      this.#buffer.set(part, this.#length);
      this.#length += length;
      done += length;
      if (this.#length === BUFFER) this.#send();
    }
  }

  /** What to wait for before more is given, where memory would grow otherwise; it tells too that a write failed. */
  room(): Promise<void> | undefined {
    if (this.#full.length < BUFFERS && this.#failed === undefined) return undefined;
    return this.#wait(BUFFERS - 1);
  }

  /** Everything that was given is then in the file. */
  async flush(): Promise<void> {
    this.#send();
    await this.#drain(0);
    // It may fail, and needs the handle.
    await this.#syncing;
    this.#check();
  }

  async read(offset: number, length: number): Promise<Buffer> {
    await this.flush();
    const bytes = Buffer.alloc(length);
    await writing(this.#path, () => this.#handle.read(bytes, 0, length, offset));
    return bytes;
  }

  async #wait(most: number): Promise<void> {
    await this.#drain(most);
    this.#check();
  }

  async #drain(most: number): Promise<void> {
    while (this.#full.length > most)
      await new Promise<void>((resolve) => {
        this.#written = resolve;
      });
  }

  #check(): void {
    if (this.#failed !== undefined) throw refusalOf(this.#failed.error, this.#path);
  }

  /** What is gathered is next to be written. */
  #send(): void {
    const buffer = this.#buffer;
    if (buffer === undefined || this.#length === 0) return;
    this.#full.push({ buffer, start: this.#start, length: this.#length });
    if (!this.#isWriting) void this.#writeOut();
    this.#buffer = undefined;
    this.#length = 0;
  }

  /** Never rejects: what failed is told by `#check`. */
  async #writeOut(): Promise<void> {
    this.#isWriting = true;
    for (let next = this.#full[0]; next !== undefined; next = this.#full[0]) {
      const { buffer, start, length } = next;
      try {
        let done = 0;
        while (done < length && this.#failed === undefined)
          done += (await this.#handle.write(buffer, done, length - done, start + done))
            .bytesWritten;
      } catch (error) {
        this.#failed ??= { error };
      }
      this.#unsynced += length;
      if (this.#unsynced >= SYNC) this.#syncing ??= this.#sync();
      this.#idle.push(buffer);
      this.#full.shift();
      this.#written?.();
    }
    this.#isWriting = false;
  }

  /** Never rejects, likewise. */
  async #sync(): Promise<void> {
    this.#unsynced = 0;
    try {
      await this.#handle.datasync();
    } catch (error) {
      this.#failed ??= { error };
    }
    this.#syncing = undefined;
  }
}

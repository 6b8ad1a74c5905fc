import type { Content } from './entry.ts';
import type { BlockStore, Mapped } from './block-store.ts';
import { MappedBlocks } from './block-store.ts';
import { EntryRefusal } from './refusal.ts';

/** Blocks of zeros that are compared against, and the largest blocks there are. */
const ZEROS = Buffer.alloc(4096);
/** Bytes that are taken before it is asked whether there is room for more: whole blocks of every size. */
const STEP = 1024 * 1024;

/**
 * Writes a file's content, with a hole wherever a whole block is zero: at once where it is short and in memory.
 * `seed` is the inode's. Throws an `EntryRefusal` where the content is not as long as it was said to be, and what the
 * content throws.
 */
export function writeContent(
  store: BlockStore,
  size: number,
  content: Content | undefined,
  seed: number,
): Mapped | Promise<Mapped> {
  const file = new FileContent(store, size, seed);
  if (content === undefined) return file.end();
  if (!(content instanceof Uint8Array) || content.length > STEP) return writeSlowly(file, content);
  file.write(content);
  return file.end();
}

async function writeSlowly(file: FileContent, content: Content): Promise<Mapped> {
  for await (const chunk of content instanceof Uint8Array ? [content] : content)
    for (let at = 0; at < chunk.length; at += STEP) {
      file.write(chunk.length <= STEP ? chunk : chunk.subarray(at, at + STEP));
      await file.room();
    }
  return file.end();
}

class FileContent {
  readonly #store: BlockStore;
  readonly #blocks: MappedBlocks;
  readonly #size: number;
  #length = 0;
  /** Bytes of a block that is not yet full. */
  #filled = 0;

  constructor(store: BlockStore, size: number, seed: number) {
    this.#store = store;
    this.#size = size;
    this.#blocks = new MappedBlocks(store, seed);
  }

  /** Takes a copy. */
  write(chunk: Uint8Array): void {
    const { partial } = this.#store;
    this.#length += chunk.length;
    if (this.#length > this.#size)
      throw new EntryRefusal(`its size is given as ${this.#size} bytes, and its content has more`);
    let at = 0;
    if (this.#filled > 0) {
      at = Math.min(partial.length - this.#filled, chunk.length);
      partial.set(chunk.subarray(0, at), this.#filled);
      this.#filled += at;
      if (this.#filled < partial.length) return;
      this.#append(partial);
    }
    const rest = (chunk.length - at) % partial.length;
    const whole = chunk.length - rest;
    if (whole > at) this.#append(at === 0 && rest === 0 ? chunk : chunk.subarray(at, whole));
    if (rest > 0) partial.set(chunk.subarray(whole), 0);
    this.#filled = rest;
  }

  room(): Promise<void> | undefined {
    return this.#store.output.room();
  }

  end(): Mapped {
    if (this.#length < this.#size)
      throw new EntryRefusal(
        `its size is given as ${this.#size} bytes, and its content ends after ${this.#length}`,
      );
    if (this.#filled > 0) {
      const { partial } = this.#store;
      partial.fill(0, this.#filled);
      this.#append(partial);
    }
    return this.#blocks.end();
  }

  /** Whole blocks: those that are zero are left out. */
  #append(bytes: Uint8Array): void {
    const { blockSize } = this.#store;
    let start = 0;
    let at = 0;
    while (at < bytes.length) {
      if (!isZero(bytes, at, blockSize)) {
        at += blockSize;
        continue;
      }
      if (at > start) this.#blocks.append(bytes.subarray(start, at));
      const from = at;
      do at += blockSize;
      while (at < bytes.length && isZero(bytes, at, blockSize));
      this.#blocks.skip((at - from) / blockSize);
      start = at;
    }
    if (at > start) this.#blocks.append(start === 0 ? bytes : bytes.subarray(start));
  }
}

/** Most blocks are told by their ends. */
function isZero(bytes: Uint8Array, at: number, length: number): boolean {
  if (bytes[at] !== 0 || bytes[at + length - 1] !== 0) return false;
  return ZEROS.compare(bytes, at, at + length, 0, length) === 0;
}

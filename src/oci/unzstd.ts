import { Decompress } from 'fzstd';
import { CompressionError } from './compression-error.ts';

/**
 * Zstandard (RFC 8878), which Node has only since 22.15: the frames are told apart here, so that what is cut off or asks
 * for too much memory is refused before fzstd decodes it.
 */

/** Bytes of the window that a frame may ask for: what zstd(1) takes without `--long`. */
const LARGEST_WINDOW = 128 * 1024 * 1024;
/** Bytes that are given to the decoder at a time: with few it would copy the same ones again and again. */
const AT_ONCE = 128 * 1024;
const FRAME = 0xfd2fb528;
/** And the fifteen that follow. */
const SKIPPABLE = 0x184d2a50;

/** The frames' content, one after the other. Throws a `CompressionError`, and what the source throws. */
export async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const frames = new FrameWalker();
  const out: Uint8Array[] = [];
  const decoder = new Decompress((chunk) => {
    if (chunk.length > 0) out.push(chunk);
  });
  const push = (chunk: Uint8Array): void => {
    try {
      decoder.push(chunk);
    } catch {
      throw new CompressionError('its compressed data is damaged');
    }
  };
  let pending: Uint8Array[] = [];
  let length = 0;
  const flush = (): Uint8Array[] => {
    if (length > 0) push(Buffer.concat(pending, length));
    pending = [];
    length = 0;
    return out.splice(0);
  };
  for await (const chunk of source) {
    frames.walk(chunk);
    // The source may use its buffer again.
    pending.push(Uint8Array.from(chunk));
    length += chunk.length;
    if (length >= AT_ONCE) yield* flush();
  }
  yield* flush();
  if (!frames.isComplete) throw new CompressionError('it ends within its compressed data');
}

/** Follows the frames and blocks of a stream by their headers alone. */
class FrameWalker {
  #pending = Buffer.alloc(0);
  #state: 'frame' | 'block' = 'frame';
  /** Bytes to pass over before the next header. */
  #skip = 0;
  #hasChecksum = false;

  /** True between frames. */
  get isComplete(): boolean {
    return this.#state === 'frame' && this.#skip === 0 && this.#pending.length === 0;
  }

  walk(chunk: Uint8Array): void {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    if (this.#pending.length > 0) rest = Buffer.concat([this.#pending, rest]);
    for (;;) {
      const passed = Math.min(this.#skip, rest.length);
      this.#skip -= passed;
      rest = rest.subarray(passed);
      if (this.#skip > 0) break;
      const used = this.#state === 'frame' ? this.#frame(rest) : this.#block(rest);
      if (used === 0) break;
      rest = rest.subarray(used);
    }
    this.#pending = Buffer.from(rest);
  }

  /** Bytes of the frame's header; 0 where more are needed. */
  #frame(bytes: Buffer): number {
    if (bytes.length < 8) return 0;
    const magic = bytes.readUInt32LE(0);
    if (magic >= SKIPPABLE && magic <= SKIPPABLE + 15) {
      this.#skip = bytes.readUInt32LE(4);
      return 8;
    }
    if (magic !== FRAME) throw new CompressionError('its compressed data is damaged');
    const descriptor = bytes[4] ?? 0;
    const isSingle = (descriptor & 0x20) !== 0;
    const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
    const sizeFlag = descriptor >> 6;
    const sizeLength = sizeFlag === 0 ? (isSingle ? 1 : 0) : 1 << sizeFlag;
    const length = 5 + (isSingle ? 0 : 1) + dictionary + sizeLength;
    if (bytes.length < length) return 0;
    if (dictionary !== 0)
      throw new CompressionError('it is compressed with a dictionary of its own');
    const window = isSingle
      ? contentSize(bytes, length - sizeLength, sizeLength)
      : windowSize(bytes[5] ?? 0);
    if (window > LARGEST_WINDOW)
      throw new CompressionError(
        `unpacking it takes more than ${LARGEST_WINDOW / 1024 / 1024} MiB of memory`,
      );
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.#state = 'block';
    return length;
  }

  #block(bytes: Buffer): number {
    if (bytes.length < 3) return 0;
    const header = bytes.readUIntLE(0, 3);
    const isLast = (header & 1) !== 0;
    // A block of type 1 is one byte, to be repeated.
    this.#skip = ((header >> 1) & 3) === 1 ? 1 : header >> 3;
    if (isLast) {
      this.#state = 'frame';
      if (this.#hasChecksum) this.#skip += 4;
    }
    return 3;
  }
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSize(bytes: Buffer, at: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(at));
  const size = bytes.readUIntLE(at, length);
  return length === 2 ? size + 256 : size;
}

import { Decompress } from 'fzstd';
import type { XXHash } from 'xxhash-wasm';
import { CompressionError } from './compression-error.ts';

/** Bytes of the window that a frame may ask for: what zstd(1) takes without `--long`. */
const LARGEST_WINDOW = 128 * 1024 * 1024;
/** Bytes of a block, packed and unpacked. */
const LARGEST_BLOCK = 128 * 1024;
const BLOCK_HEADER = 3;
const CHECKSUM = 4;
const FRAME = 0xfd2fb528;
/** And the fifteen that follow. */
const SKIPPABLE = 0x184d2a50;
/** The fewest bytes that both kinds of frames have. */
const SHORTEST_FRAME = 8;

/** What fzstd must see before it looks at what it has: a checksum, which it passes over, and a frame to skip. */
const BEHIND = Buffer.alloc(CHECKSUM + 18);
BEHIND.writeUInt32LE(SKIPPABLE, CHECKSUM);
BEHIND.writeUInt32LE(10, CHECKSUM + 4);

/** What a frame's header says. */
interface FrameHeader {
  /** Bytes that the header has. */
  readonly length: number;
  /** Bytes that blocks have at most. */
  readonly largestBlock: number;
  /** Bytes of content, where whoever wrote it knew. */
  readonly size: number | undefined;
  readonly hasChecksum: boolean;
}

/** What comes next. */
type State = 'frame' | 'block header' | 'block' | 'checksum';

/** The frame that is read. */
interface Frame extends FrameHeader {
  readonly decoder: Decompress;
  readonly hash: XXHash<bigint>;
  /** Bytes of content so far. */
  done: number;
}

/**
 * Frames of Zstandard (RFC 8878), told apart here and decoded by fzstd a block at a time: no more is in memory than
 * the window and a block, however much a few bytes stand for. Sizes and checksums that frames state are held against
 * their content.
 */
export class ZstdFrames {
  readonly #newHash: () => XXHash<bigint>;
  /** What the next part has so far: a header, a block or a checksum. */
  readonly #part = Buffer.alloc(BLOCK_HEADER + LARGEST_BLOCK);
  #length = 0;
  #wanted = SHORTEST_FRAME;
  #state: State = 'frame';
  /** Bytes to pass over before the next part. */
  #skip = 0;
  #frame: Frame | undefined;
  #out: Uint8Array[] = [];

  constructor(newHash: () => XXHash<bigint>) {
    this.#newHash = newHash;
  }

  /** True between frames. */
  get isComplete(): boolean {
    return this.#state === 'frame' && this.#skip === 0 && this.#length === 0;
  }

  /** The content of each block that ends in `chunk`, which may be empty. Throws a `CompressionError`. */
  *read(chunk: Uint8Array): Generator<Uint8Array, void> {
    for (let at = 0; at < chunk.length;) {
      const isSkipped = this.#skip > 0;
      const used = Math.min(
        isSkipped ? this.#skip : this.#wanted - this.#length,
        chunk.length - at,
      );
      if (isSkipped) {
        this.#skip -= used;
      } else {
        this.#part.set(chunk.subarray(at, at + used), this.#length);
        this.#length += used;
        if (this.#length === this.#wanted) yield* this.#take(this.#part.subarray(0, this.#length));
      }
      at += used;
    }
  }

  *#take(part: Buffer): Generator<Uint8Array, void> {
    switch (this.#state) {
      case 'frame':
        this.#takeFrame(part);
        break;
      case 'block header':
        if (this.#takeBlockHeader(part)) yield* this.#takeBlock(part);
        break;
      case 'block':
        yield* this.#takeBlock(part);
        break;
      case 'checksum':
        // The lower half of it is kept.
        if (BigInt(part.readUInt32LE(0)) !== BigInt.asUintN(32, this.#started.hash.digest()))
          throw damaged();
        this.#expect('frame', SHORTEST_FRAME);
    }
  }

  #expect(state: State, wanted: number): void {
    this.#state = state;
    this.#wanted = wanted;
    this.#length = 0;
  }

  get #started(): Frame {
    if (this.#frame === undefined) throw new Error('no frame has begun');
    return this.#frame;
  }

  #takeFrame(part: Buffer): void {
    const magic = part.readUInt32LE(0);
    if (magic >= SKIPPABLE && magic <= SKIPPABLE + 15) {
      this.#skip = part.readUInt32LE(4);
      this.#expect('frame', SHORTEST_FRAME);
      return;
    }
    if (magic !== FRAME) throw damaged();
    const length = headerLength(part[4] ?? 0);
    if (length > part.length) {
      this.#wanted = length;
      return;
    }
    const decoder = new Decompress((content) => {
      if (content.length > 0) this.#out.push(content);
    });
    this.#frame = { ...frameHeader(part), decoder, hash: this.#newHash(), done: 0 };
    this.#push(part.subarray(0, length));
    // The shortest frame has no block header in its first bytes but for the last of them.
    const rest = Buffer.from(part.subarray(length));
    this.#expect('block header', BLOCK_HEADER);
    rest.copy(this.#part);
    this.#length = rest.length;
  }

  /** True where the block has nothing more. */
  #takeBlockHeader(part: Buffer): boolean {
    const header = part.readUIntLE(0, BLOCK_HEADER);
    const size = header >> 3;
    if (size > this.#started.largestBlock) throw damaged();
    // A block of type 1 is one byte, to be repeated.
    const stored = ((header >> 1) & 3) === 1 ? 1 : size;
    this.#state = 'block';
    this.#wanted = BLOCK_HEADER + stored;
    return stored === 0;
  }

  *#takeBlock(part: Buffer): Generator<Uint8Array, void> {
    const frame = this.#started;
    const isLast = ((part[0] ?? 0) & 1) !== 0;
    // In two pieces, as fzstd keeps what was pushed until it has to join it to something.
    this.#push(part.subarray(0, 1));
    this.#push(part.subarray(1));
    if (isLast) this.#push(frame.hasChecksum ? BEHIND : BEHIND.subarray(CHECKSUM));
    const out = this.#out.splice(0);
    for (const content of out) {
      frame.done += content.length;
      if (frame.hasChecksum) frame.hash.update(content);
    }
    if (isLast && frame.size !== undefined && frame.done !== frame.size) throw damaged();
    if (!isLast) this.#expect('block header', BLOCK_HEADER);
    else if (frame.hasChecksum) this.#expect('checksum', CHECKSUM);
    else this.#expect('frame', SHORTEST_FRAME);
    if (out.length === 0) yield new Uint8Array(0);
    yield* out;
  }

  #push(bytes: Uint8Array): void {
    try {
      // It keeps short ones, and the part is written to again.
      this.#started.decoder.push(Uint8Array.from(bytes));
    } catch {
      throw damaged();
    }
  }
}

function damaged(): CompressionError {
  return new CompressionError('its compressed data is damaged');
}

const isSingle = (descriptor: number): boolean => (descriptor & 0x20) !== 0;
const dictionaryLength = (descriptor: number): number => [0, 1, 2, 4][descriptor & 3] ?? 0;

function sizeLength(descriptor: number): number {
  const flag = descriptor >> 6;
  return flag === 0 ? (isSingle(descriptor) ? 1 : 0) : 1 << flag;
}

function headerLength(descriptor: number): number {
  const window = isSingle(descriptor) ? 0 : 1;
  return 5 + window + dictionaryLength(descriptor) + sizeLength(descriptor);
}

/** Of a header that is there as a whole. Throws a `CompressionError` on what is not decoded. */
function frameHeader(bytes: Buffer): FrameHeader {
  const descriptor = bytes[4] ?? 0;
  if (dictionaryLength(descriptor) !== 0)
    throw new CompressionError('it is compressed with a dictionary of its own');
  const length = headerLength(descriptor);
  const size = contentSize(bytes, length, sizeLength(descriptor));
  const window = isSingle(descriptor) ? (size ?? 0) : windowSize(bytes[5] ?? 0);
  if (window > LARGEST_WINDOW)
    throw new CompressionError(
      `unpacking it takes more than ${LARGEST_WINDOW / 1024 / 1024} MiB of memory`,
    );
  const largestBlock = Math.min(window, LARGEST_BLOCK);
  return { length, largestBlock, size, hasChecksum: (descriptor & 4) !== 0 };
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** In the last bytes of a header that ends at `end`. */
function contentSize(bytes: Buffer, end: number, length: number): number | undefined {
  if (length === 0) return undefined;
  if (length === 8) return Number(bytes.readBigUInt64LE(end - length));
  const size = bytes.readUIntLE(end - length, length);
  return length === 2 ? size + 256 : size;
}

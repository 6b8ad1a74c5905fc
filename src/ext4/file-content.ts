import type { Content } from './entry.ts';
import type { BlockStore, Mapped } from './block-store.ts';
import { MappedBlocks } from './block-store.ts';
import { EntryRefusal } from './refusal.ts';

/** Blocks of zeros that are compared against, and the largest blocks there are. */
const ZEROS = Buffer.alloc(4096);
const NOTHING = new Uint8Array(0);

/**
 * Writes a file's content, with a hole wherever a whole block is zero. `seed` is the inode's. Throws an `EntryRefusal`
 * where the content is not as long as it was said to be, and what the content throws.
 */
export async function writeContent(
  store: BlockStore,
  size: number,
  content: Content | undefined,
  seed: number,
): Promise<Mapped> {
  const blocks = new MappedBlocks(store, seed);
  const { partial } = store;
  let filled = 0;
  let length = 0;

  const write = async (chunk: Buffer): Promise<void> => {
    length += chunk.length;
    if (length > size)
      throw new EntryRefusal(`its size is given as ${size} bytes, and its content has more`);
    let at = 0;
    if (filled > 0) {
      at = Math.min(partial.length - filled, chunk.length);
      chunk.copy(partial, filled, 0, at);
      filled += at;
      if (filled < partial.length) return;
      await appendBlocks(blocks, partial, partial.length);
      filled = 0;
    }
    const whole = chunk.length - ((chunk.length - at) % partial.length);
    if (whole > at) await appendBlocks(blocks, chunk.subarray(at, whole), partial.length);
    filled = chunk.copy(partial, 0, whole);
  };

  if (content instanceof Uint8Array) await write(asBuffer(content));
  else for await (const chunk of content ?? [NOTHING]) await write(asBuffer(chunk));
  if (length < size)
    throw new EntryRefusal(
      `its size is given as ${size} bytes, and its content ends after ${length}`,
    );
  if (filled > 0) {
    partial.fill(0, filled);
    await appendBlocks(blocks, partial, partial.length);
  }
  return blocks.end();
}

/** Whole blocks: those that are zero are left out. */
async function appendBlocks(blocks: MappedBlocks, bytes: Buffer, blockSize: number): Promise<void> {
  let start = 0;
  let at = 0;
  while (at < bytes.length) {
    if (!isZero(bytes, at, blockSize)) {
      at += blockSize;
      continue;
    }
    if (at > start) await blocks.append(bytes.subarray(start, at));
    const from = at;
    do at += blockSize;
    while (at < bytes.length && isZero(bytes, at, blockSize));
    blocks.skip((at - from) / blockSize);
    start = at;
  }
  if (at > start) await blocks.append(start === 0 ? bytes : bytes.subarray(start));
}

/** Most blocks are told by their ends. */
function isZero(bytes: Buffer, at: number, length: number): boolean {
  if (bytes[at] !== 0 || bytes[at + length - 1] !== 0) return false;
  return bytes.compare(ZEROS, 0, length, at, at + length) === 0;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

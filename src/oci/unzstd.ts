import { setImmediate as nextTurn } from 'node:timers/promises';
import xxhash from 'xxhash-wasm';
import { CompressionError } from './compression-error.ts';
import { ZstdFrames } from './zstd-frames.ts';

/** Milliseconds after which the event loop gets its turn, or no signal would be heard. */
const TURN = 50;

/**
 * The content of Zstandard's frames, which Node reads only since 22.15, one after the other, in pieces of at most
 * 128 KiB. Throws a `CompressionError`, and what the source throws.
 */
export async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const hashes = await xxhash();
  const frames = new ZstdFrames(() => hashes.create64());
  let turn = performance.now() + TURN;
  for await (const chunk of source)
    for (const content of frames.read(chunk)) {
      if (content.length > 0) yield content;
      if (performance.now() < turn) continue;
      await nextTurn();
      turn = performance.now() + TURN;
    }
  if (!frames.isComplete) throw new CompressionError('it ends within its compressed data');
}

import { read as readCallback } from 'node:fs';
import { promisify } from 'node:util';

const read = promisify(readCallback);

/** Bytes. */
const CHUNK = 1024 * 1024;

/**
 * A file or pipe to its end, from where it stands, the next chunk being read while one is used. Two buffers take
 * turns, so a chunk is good until the next is asked for. The file stays open.
 */
export async function* readChunks(file: number): AsyncGenerator<Uint8Array, void> {
  let [now, ahead] = [Buffer.allocUnsafeSlow(CHUNK), Buffer.allocUnsafeSlow(CHUNK)];
  let next = read(file, now, 0, CHUNK, null);
  try {
    for (;;) {
      const { bytesRead } = await next;
      if (bytesRead === 0) return;
      next = read(file, ahead, 0, CHUNK, null);
      yield now.subarray(0, bytesRead);
      [now, ahead] = [ahead, now];
    }
  } finally {
    // It reads into memory of ours, and from a file that is about to be closed.
    await next.catch(() => undefined);
  }
}

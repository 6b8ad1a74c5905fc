import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** What a thread found out about a file. `stamp` is that of content.ts, before and after it was read. */
export type FileHash =
  | {
      readonly hex: string;
      /** Bytes. */
      readonly size: number;
      readonly inode: string;
      /** False where the file was changed, or lost its name, while it was read. */
      readonly still: boolean;
    }
  /** Such as `EACCES`. */
  | { readonly error: string };

/**
 * Plain JavaScript as text: a thread starts from a file or from text, and the command line is one file. It reads
 * synchronously, since it has nothing else to do.
 */
const THREAD = `
const { createHash } = require('node:crypto');
const { openSync, fstatSync, readSync, closeSync } = require('node:fs');
const { parentPort } = require('node:worker_threads');
const buffer = Buffer.allocUnsafeSlow(1024 * 1024);
const stampOf = (fd) => {
  const { ino, size, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join(' ');
};
parentPort.on('message', (path) => {
  let fd;
  try {
    fd = openSync(path, 'r');
    const before = stampOf(fd);
    const hash = createHash('sha256');
    let size = 0;
    for (;;) {
      const read = readSync(fd, buffer, 0, buffer.length, null);
      if (read === 0) break;
      hash.update(buffer.subarray(0, read));
      size += read;
    }
    const inode = before.split(' ')[0];
    parentPort.postMessage({ hex: hash.digest('hex'), size, inode, still: stampOf(fd) === before });
  } catch (error) {
    parentPort.postMessage({ error: String(error.code ?? error) });
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
});
`;

/** More read a disk no faster, and each holds a megabyte. */
const MOST_THREADS = 8;

/**
 * Hashes the files, one thread for each processor, in no order; hands each result to `take` in this thread. SHA-256
 * is bound by the processor: several streams in one thread take as long as one after the other. Stops early, with
 * nothing more handed over, once the signal is aborted.
 */
export async function hashFiles<I>(
  items: readonly I[],
  pathOf: (item: I) => string,
  take: (item: I, hash: FileHash) => Promise<void>,
  signal: AbortSignal,
  threads = availableParallelism(),
): Promise<void> {
  const queue = items.values();
  const stop = new AbortController();
  const work = async (): Promise<void> => {
    const worker = new Worker(THREAD, { eval: true });
    try {
      for (const item of queue) {
        if (signal.aborted || stop.signal.aborted) return;
        const hash = await ask(worker, pathOf(item), signal);
        if (hash === undefined) return;
        await take(item, hash);
      }
    } catch (error) {
      stop.abort();
      throw error;
    } finally {
      await worker.terminate();
    }
  };
  const count = Math.max(1, Math.min(threads, MOST_THREADS, items.length));
  const ended = await Promise.allSettled(Array.from({ length: count }, work));
  for (const worker of ended) if (worker.status === 'rejected') throw worker.reason;
}

/** Undefined once the signal is aborted. */
function ask(worker: Worker, path: string, signal: AbortSignal): Promise<FileHash | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      settle(() => {
        resolve(undefined);
      });
    };
    const onMessage = (hash: FileHash): void => {
      settle(() => {
        resolve(hash);
      });
    };
    const onError = (error: Error): void => {
      settle(() => {
        reject(error);
      });
    };
    const settle = (end: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      worker.off('message', onMessage);
      worker.off('error', onError);
      end();
    };
    signal.addEventListener('abort', onAbort);
    worker.on('message', onMessage);
    worker.on('error', onError);
    if (signal.aborted) onAbort();
    else worker.postMessage(path);
  });
}

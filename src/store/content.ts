import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { open, rename, unlink, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';

/**
 * Bytes hashed between two turns of the event loop. 1 MiB takes milliseconds, so lock updates, signals
 * and progress go on while gigabytes are hashed, and no second thread is needed to keep a lock alive.
 */
const CHUNK = 1024 * 1024;

export interface Hashed {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Reads the file from its start to its end in constant memory. Rejects with the abort's reason. */
export async function hashHandle(handle: FileHandle, signal?: AbortSignal): Promise<Hashed> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(CHUNK);
  let size = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, CHUNK, size);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    size += bytesRead;
  }
  return { digest: digestFromHex(hash.digest('hex')), size };
}

/** What tells that a file is as it was: whoever writes to it, or puts another in its place, changes one of them. */
export function stampOf(stat: BigIntStats): string {
  return `${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}\n`;
}

/** Makes what was renamed into or out of the directory survive a power cut. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a small file so that a reader sees all of it or what was there before. */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  durable = true,
): Promise<void> {
  const temporary = join(dirname(path), `.new-${randomUUID()}`);
  try {
    await writeFile(temporary, content, { flag: 'wx', flush: durable });
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  if (durable) await syncDirectory(dirname(path));
}

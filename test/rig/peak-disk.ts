import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds between two looks: a build writes some 30 MB meanwhile. */
const PAUSE = 20;

/**
 * The most that directories had on disk at any moment, in bytes of blocks as `stat` counts them: what is sparse counts
 * as little as it takes. What is mounted below them does not count: its image does.
 */
export class PeakDisk {
  readonly #directories: readonly string[];
  readonly #sampling: Promise<void>;
  #stopped = false;
  #most = 0;

  /** Starts looking. */
  constructor(...directories: readonly string[]) {
    this.#directories = directories;
    this.#sampling = this.#sample();
  }

  /** Looks once more. */
  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#sampling;
    return this.#most;
  }

  async #sample(): Promise<void> {
    for (;;) {
      const isLast = this.#stopped;
      let bytes = 0;
      for (const directory of this.#directories) bytes += await diskUsage(directory);
      this.#most = Math.max(this.#most, bytes);
      if (isLast) return;
      await sleep(PAUSE);
    }
  }
}

/** Bytes on disk of everything below, and of that file system alone. What goes meanwhile counts as nothing. */
async function diskUsage(path: string, device?: number): Promise<number> {
  try {
    const status = await lstat(path);
    if (device !== undefined && status.dev !== device) return 0;
    let bytes = status.blocks * 512;
    if (status.isDirectory())
      for (const name of await readdir(path))
        bytes += await diskUsage(join(path, name), status.dev);
    return bytes;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 0;
    throw error;
  }
}

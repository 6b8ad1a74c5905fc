import { open } from 'node:fs/promises';
import type { Context } from '../../model/event.ts';
import { syncFileSystem } from '../../tools/sync-file-system.ts';
import type { WorkFiles } from '../loader.ts';
import { mountPointsOf } from '../work-directory.ts';

/**
 * Has the disk write what each loaded image has left in memory while the next ones are loaded: stopping the engine
 * waits for all of it else, while the processors have nothing to do. What fails here fails again where it counts.
 */
export async function whileWritingBack<T>(
  work: WorkFiles,
  context: Context,
  load: (context: Context) => Promise<T>,
): Promise<T> {
  const writeBack = new WriteBack(work, context.signal);
  try {
    return await load({
      ...context,
      report: (event) => {
        context.report(event);
        if (event.type === 'loaded') writeBack.begin();
      },
    });
  } finally {
    // What is still at it would keep the image from being unmounted.
    await writeBack.end();
  }
}

class WriteBack {
  readonly #work: WorkFiles;
  readonly #signal: AbortSignal;
  #writing: Promise<void> | undefined;
  #wanted = false;

  constructor(work: WorkFiles, signal: AbortSignal) {
    this.#work = work;
    this.#signal = signal;
  }

  /** One at a time: what is wanted meanwhile is done afterwards, once. */
  begin(): void {
    this.#wanted = true;
    this.#writing ??= this.#writeAll();
  }

  async end(): Promise<void> {
    this.#wanted = false;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      await this.#write();
    }
    this.#writing = undefined;
  }

  /** From the file system in the image to the image, and from there to the disk. */
  async #write(): Promise<void> {
    const { directory, image } = this.#work;
    await syncFileSystem(mountPointsOf(directory).image, 'writing what was loaded', this.#signal);
    try {
      const file = await open(image, 'r');
      await file.datasync().finally(() => file.close());
    } catch {
      // The sync before the image gets its name meets the same.
    }
  }
}

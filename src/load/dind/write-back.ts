import { open } from 'node:fs/promises';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import { fileFailure } from '../../model/file-failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { syncFileSystem } from '../../tools/sync-file-system.ts';
import type { WorkFiles } from '../loader.ts';
import { mountPointsOf } from '../work-directory.ts';

/**
 * Has the disk write what each loaded image has left in memory while the next ones are loaded: stopping the engine
 * waits for all of it else, while the processors have nothing to do. That the disk could not is told here, as nobody
 * who syncs later hears of it again. Where loading fails, nothing more is waited for.
 */
export async function whileWritingBack(
  work: WorkFiles,
  context: Context,
  load: (context: Context) => Promise<Result<void>>,
): Promise<Result<void>> {
  const abandoned = new AbortController();
  const signal = AbortSignal.any([context.signal, abandoned.signal]);
  const writeBack = new WriteBack(work, signal);
  let loaded: Result<void> | undefined;
  try {
    loaded = await load({
      ...context,
      report: (event) => {
        context.report(event);
        if (event.type === 'loaded') writeBack.begin();
      },
    });
  } finally {
    if (loaded?.ok !== true) abandoned.abort('nothing is loaded any more');
    await writeBack.end();
  }
  return loaded.ok ? (writeBack.failure ?? loaded) : loaded;
}

class WriteBack {
  readonly #work: WorkFiles;
  readonly #signal: AbortSignal;
  #writing: Promise<void> | undefined;
  #wanted = false;
  #failure: Result<never> | undefined;

  constructor(work: WorkFiles, signal: AbortSignal) {
    this.#work = work;
    this.#signal = signal;
  }

  get failure(): Result<never> | undefined {
    return this.#failure;
  }

  /** One at a time: what is wanted meanwhile is done afterwards, once. */
  begin(): void {
    this.#wanted = true;
    this.#writing ??= this.#writeAll();
  }

  /** Nothing has the mounted image open then. */
  async end(): Promise<void> {
    this.#wanted = false;
    await this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#wanted && !this.#signal.aborted) {
      this.#wanted = false;
      const written = await this.#write();
      if (!written.ok) this.#failure ??= written;
    }
    this.#writing = undefined;
  }

  /** From the file system in the image to the image, and from there to the disk. */
  async #write(): Promise<Result<void>> {
    const { directory, image } = this.#work;
    const mountPoint = mountPointsOf(directory).image;
    const synced = await syncFileSystem(mountPoint, 'writing what was loaded', this.#signal);
    // Those of other makes can't do it for one file system, which costs time alone.
    if (!synced.ok && isLoss(synced.failure)) return synced;
    return untilAborted(this.#signal, syncData(image));
  }
}

/** In the words of sync(1) for EIO. */
function isLoss(failure: Failure): boolean {
  return failure.reason === 'tool-failed' && /input\/output error/i.test(failure.detail);
}

/** Nothing calls a sync off; who has no use for it any more need not wait for it. */
async function untilAborted(
  signal: AbortSignal,
  syncing: Promise<Result<void>>,
): Promise<Result<void>> {
  if (signal.aborted) return ok();
  let stop: () => void = () => undefined;
  const aborted = new Promise<Result<void>>((resolve) => {
    stop = () => {
      resolve(ok());
    };
    signal.addEventListener('abort', stop, { once: true });
  });
  const first = await Promise.race([syncing, aborted]);
  signal.removeEventListener('abort', stop);
  return first;
}

async function syncData(image: string): Promise<Result<void>> {
  try {
    const file = await open(image, 'r');
    await file.datasync().finally(() => file.close());
    return ok();
  } catch (error) {
    return fail(fileFailure(error, image, 'writing what was loaded'));
  }
}

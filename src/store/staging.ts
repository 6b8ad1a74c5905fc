import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { replaceFile } from './content.ts';
import { errorCode, fileFailure, isWriteRefused } from '../model/file-failure.ts';
import { currentOwner, formatOwner, ownerState, parseOwner } from './owner.ts';
import type { Store } from './store.ts';

/** A directory of this process's own, in the store's file system. */
export interface Staging {
  readonly directory: string;
  /** Removes it and everything in it; may be called again. */
  remove(): Promise<void>;
}

/** Milliseconds without a change after which another host's staging is nobody's: a download that stalls ends far sooner. */
const ABANDONED = 24 * 60 * 60 * 1000;

export async function makeStaging(store: Store): Promise<Result<Staging>> {
  const directory = join(store.directory, 'staging', randomUUID());
  try {
    await mkdir(directory);
    await replaceFile(join(directory, 'owner.json'), formatOwner(currentOwner()), false);
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  }
  return ok({
    directory,
    remove: () => removeStaged(directory),
  });
}

/**
 * Removes what was staged. On NFS a removed file stays in its directory under another name (.nfs…) for as long as somebody
 * has it open, so this waits some seconds, and leaves what even then is not empty to be swept.
 */
export async function removeStaged(directory: string): Promise<void> {
  try {
    await rm(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  } catch (error) {
    if (errorCode(error) !== 'ENOTEMPTY') throw error;
  }
}

/**
 * Removes what dead owners left in staging/: at once where the owner ran on this host, and after a day without
 * any change where nobody here can know. Reports each as `reaped`.
 */
export async function sweepStaging(store: Store, report: Report, now = Date.now()): Promise<void> {
  const root = join(store.directory, 'staging');
  for (const name of await readdir(root).catch(() => [])) {
    const directory = join(root, name);
    if (!(await isAbandoned(directory, now))) continue;
    try {
      await rm(directory, { recursive: true, force: true });
      report({ type: 'reaped', what: 'staging', name: directory });
    } catch (error) {
      // Another user's, or another process is sweeping it as well.
      if (!isWriteRefused(error) && errorCode(error) !== 'ENOTEMPTY') throw error;
    }
  }
}

async function isAbandoned(directory: string, now: number): Promise<boolean> {
  const text = await readFile(join(directory, 'owner.json'), 'utf8').catch(() => '');
  const owner = parseOwner(text);
  switch (owner === undefined ? 'elsewhere' : ownerState(owner)) {
    case 'alive':
      return false;
    case 'dead':
      return true;
    case 'elsewhere':
      return (await lastChange(directory)) < now - ABANDONED;
  }
}

async function lastChange(directory: string): Promise<number> {
  let latest = 0;
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  for (const name of ['.', ...names]) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (found !== undefined) latest = Math.max(latest, found.mtimeMs);
  }
  // Gone meanwhile: nothing to sweep.
  return latest === 0 ? Infinity : latest;
}

/**
 * Milliseconds since 1970 at which the oldest download that is still under way began; undefined where there is none.
 */
export async function oldestDownload(store: Store, now = Date.now()): Promise<number | undefined> {
  const root = join(store.directory, 'staging');
  let oldest: number | undefined;
  for (const name of await readdir(root).catch(() => [])) {
    const directory = join(root, name);
    const began = await stat(join(directory, 'owner.json')).catch(() => undefined);
    if (began === undefined || (await isAbandoned(directory, now))) continue;
    oldest = Math.min(oldest ?? Infinity, began.mtimeMs);
  }
  return oldest;
}

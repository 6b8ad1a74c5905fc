import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { mkdir, readdir, readFile, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { replaceFile } from './content.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import type { Owner } from './owner.ts';
import { currentOwner, describeOwner, formatOwner, ownerState, parseOwner } from './owner.ts';

/**
 * The lock between processes: proper-lockfile's directory, and beside it who holds it.
 *
 *     <path>/lock/                 made by who holds the lock; its mtime is kept fresh while the holder lives
 *     <path>/owner-<uuid>.json     that holder: removed before `lock/` is, and never left behind by the living
 *     <path>/trying-<uuid>.json    who is about to make it, until there is `owner-…` or somebody else was first
 *
 * A waiter on the holder's host knows for certain whether the holder lives, and takes a dead one's lock at
 * once: by renaming that very owner record, which only one waiter can. A lock without an owner is that of one who tries
 * and has not yet written it; if all who try are dead, so is its maker. Other hosts' locks are taken over when
 * their mtime is two minutes old, which outlasts NFS attribute caching and clocks that differ.
 *
 * A holder may lose its lock all the same: suspended, or its clock set. So nothing may rest on a lock but the
 * saving of work, and a holder looks whether the lock is still its own before it removes anything.
 */
export interface Lock {
  /** Gives the lock back, unless it was lost: then it is another's by now and stays. May be called again. */
  release(): Promise<void>;
  /** True once another process may hold it as well. */
  isLost(): boolean;
}

export interface LockOptions {
  /** What the lock is for, in the `waiting` event. */
  readonly what: string;
  /** Milliseconds after which a lock that was not refreshed is anybody's. */
  readonly stale?: number | undefined;
}

export type Attempt = { readonly lock: Lock } | { readonly holder: Owner | undefined };

const STALE = 120_000;
const REFRESH = 30_000;
/** Milliseconds between two looks at a lock that somebody else holds. */
export const POLL = 100;

/**
 * Waits for the lock at `path`, a directory that this module makes and removes, and says once for whom it
 * waits. Fails with access-denied, no-space and interrupted.
 */
export async function acquireLock(
  path: string,
  context: Context,
  options: LockOptions,
): Promise<Result<Lock>> {
  let said = false;
  for (;;) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    const attempt = await tryLock(path, options.stale);
    if (!attempt.ok) return attempt;
    if ('lock' in attempt.value) return ok(attempt.value.lock);
    if (!said) {
      const holder = describeHolder(attempt.value.holder);
      context.report({ type: 'waiting', what: options.what, holder });
    }
    said = true;
    await pause(context.signal);
  }
}

/** Takes the lock, or tells who holds it; undefined where the holder has not written that yet. */
export async function tryLock(path: string, stale = STALE): Promise<Result<Attempt>> {
  try {
    for (;;) {
      await makeDirectory(path);
      // A holder that is known to live keeps its lock, however long it was suspended.
      const alive = (await readOwners(path)).find(({ owner }) => ownerState(owner) === 'alive');
      if (alive !== undefined && (await isHeld(path))) return ok({ holder: alive.owner });
      const lock = await take(path, stale);
      if (lock !== undefined) return ok({ lock });
      const held = await stat(join(path, 'lock')).catch(() => undefined);
      if (held === undefined) continue;
      const owners = await readOwners(path);
      const living = owners.find(({ owner }) => ownerState(owner) !== 'dead');
      if (living !== undefined) return ok({ holder: living.owner });
      const dead = owners.length > 0 ? owners : await readDeadTriers(path);
      if (dead.length === 0) return ok({ holder: undefined });
      await takeFromDead(path, held.ino, dead);
    }
  } catch (error) {
    return fail(fileFailure(error, path, 'locking'));
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

async function isHeld(path: string): Promise<boolean> {
  return (await stat(join(path, 'lock')).catch(() => undefined)) !== undefined;
}

export function describeHolder(holder: Owner | undefined): string {
  return holder === undefined ? 'another process' : describeOwner(holder);
}

/** Resolves after one poll, or at once when the work is called off. */
export async function pause(signal: AbortSignal): Promise<void> {
  await sleep(POLL, undefined, { signal }).catch(() => undefined);
}

async function take(path: string, stale: number): Promise<Lock | undefined> {
  const directory = resolve(path, 'lock');
  const record = join(path, `owner-${randomUUID()}.json`);
  const state = { held: false, lost: false };
  let release: () => Promise<void>;
  // Loaded when it is needed: a fetch that finds everything takes no lock.
  const { default: lockfile } = await import('proper-lockfile');
  const trying = join(path, `trying-${randomUUID()}.json`);
  try {
    await replaceFile(trying, formatOwner(currentOwner()), false);
    release = await lockfile.lock(path, {
      lockfilePath: directory,
      realpath: false,
      stale,
      update: Math.min(REFRESH, stale / 2),
      retries: 0,
      fs: guarded(record, state),
      onCompromised: () => {
        state.lost = true;
      },
    });
  } catch (error) {
    const code = errorCode(error);
    await unlink(trying).catch(() => undefined);
    // Whoever released it meanwhile could not remove what held our record.
    await rmdir(path).catch(() => undefined);
    // ENOENT: whoever released it removed `path` under us.
    if (code === 'ELOCKED' || code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    await replaceFile(record, formatOwner(currentOwner()), false);
    state.held = true;
    await unlink(trying).catch(() => undefined);
    await removeOthers(path, record);
  } catch (error) {
    await unlink(trying).catch(() => undefined);
    await release().catch(() => undefined);
    throw error;
  }
  let released: Promise<void> | undefined;
  const giveBack = async (): Promise<void> => {
    // Compromised or released: proper-lockfile says so by rejecting, and there is nothing left to do.
    await release().catch(() => undefined);
    await rmdir(path).catch(() => undefined);
  };
  return {
    isLost: () => state.lost || !fs.existsSync(record),
    release: () => (released ??= giveBack()),
  };
}

/**
 * The file system as proper-lockfile sees it. It removes the lock directory of whoever holds it by now, on
 * release and when the process exits; ours is removed only while our record says that it is ours.
 */
function guarded(record: string, state: { held: boolean; lost: boolean }): typeof fs {
  const mayRemove = (): boolean => {
    if (!state.held) return true;
    state.held = false;
    if (state.lost) return false;
    try {
      fs.unlinkSync(record);
      return true;
    } catch {
      state.lost = true;
      return false;
    }
  };
  return {
    ...fs,
    rmdir: ((directory: string, done: (error: NodeJS.ErrnoException | null) => void) => {
      if (mayRemove()) fs.rmdir(directory, done);
      else done(null);
    }) as typeof fs.rmdir,
    rmdirSync: ((directory: string) => {
      if (mayRemove()) fs.rmdirSync(directory);
    }) as typeof fs.rmdirSync,
  };
}

/**
 * Removes the locks in `directory` whose holders are known to be dead: nobody else would, where what they were for is
 * done. Those of other hosts stay until somebody wants them.
 */
export async function sweepLocks(directory: string): Promise<void> {
  for (const name of await readdir(directory).catch(() => [])) {
    const path = join(directory, name);
    const owners = await readOwners(path);
    const dead = owners.length > 0 ? owners : await readDeadTriers(path);
    if (dead.length === 0 || dead.some(({ owner }) => ownerState(owner) !== 'dead')) continue;
    // Another user's can't be taken, and need not be.
    const attempt = await tryLock(path);
    if (attempt.ok && 'lock' in attempt.value) await attempt.value.lock.release();
  }
}

interface OwnerRecord {
  readonly path: string;
  readonly owner: Owner;
}

async function readOwners(path: string): Promise<readonly OwnerRecord[]> {
  const records: OwnerRecord[] = [];
  for (const name of (await readdir(path).catch(() => [])).sort()) {
    if (!name.startsWith('owner-')) continue;
    const owner = parseOwner(await readFile(join(path, name), 'utf8').catch(() => ''));
    if (owner !== undefined) records.push({ path: join(path, name), owner });
  }
  return records;
}

/** Those who tried, where all of them are dead; none where one may live, or has just become the owner. */
async function readDeadTriers(path: string, besides = ''): Promise<readonly OwnerRecord[]> {
  const records: OwnerRecord[] = [];
  for (const name of await readdir(path).catch(() => [])) {
    if (name.startsWith('owner-') && join(path, name) !== besides) return [];
    if (!name.startsWith('trying-')) continue;
    const owner = parseOwner(await readFile(join(path, name), 'utf8').catch(() => ''));
    if (owner === undefined || ownerState(owner) !== 'dead') return [];
    records.push({ path: join(path, name), owner });
  }
  return records;
}

/** Of all waiters that saw the dead owner, the one whose rename succeeds removes its lock. */
async function takeFromDead(
  path: string,
  inode: number,
  records: readonly OwnerRecord[],
): Promise<void> {
  const mine = join(path, `.new-${randomUUID()}`);
  for (const record of records) {
    try {
      await rename(record.path, mine);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw error;
    }
    await unlink(mine);
  }
  const held = await stat(join(path, 'lock')).catch(() => undefined);
  if (held?.ino === inode) await rmdir(join(path, 'lock')).catch(() => undefined);
}

async function removeOthers(path: string, own: string): Promise<void> {
  for (const { path: other } of [...(await readOwners(path)), ...(await readDeadTriers(path, own))])
    if (other !== own) await unlink(other).catch(() => undefined);
}

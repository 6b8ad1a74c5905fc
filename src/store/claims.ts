import { open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { stampOf } from './content.ts';
import { interruption } from '../model/file-failure.ts';
import { currentOwner, formatOwner } from './owner.ts';
import type { Owner } from './owner.ts';
import type { Lock } from './store-lock.ts';
import { describeHolder, pause, tryLock } from './store-lock.ts';
import type { Shelf, Store } from './store.ts';
import { checkContent, contentPath } from './store.ts';

/** Looks at locks without an owner before it is said that somebody unknown has them: several seconds. */
const UNKNOWN = 50;

type Content = Pick<Descriptor, 'digest' | 'size'>;

/** What this caller alone, of all processes and of all images in this one, shall download now. */
export interface Claims<C extends Content> {
  /** In the order of their digests. */
  readonly missing: readonly C[];
  /** Lets others go on that wait for this one: call it when it is published. May be called again. */
  free(digest: Digest): Promise<void>;
  /** Gives up what is left. */
  freeAll(): Promise<void>;
}

/**
 * Claims what the store lacks of `wanted`, one after the other in the order of the digests, waiting for each
 * that somebody else has claimed until it is published or given up. Everybody claims in this order and
 * downloads only when all is claimed, so nobody can wait in a circle. Says once for each holder that it waits.
 * Fails with access-denied, no-space and interrupted; then nothing is claimed.
 */
export async function claimMissing<C extends Content>(
  store: Store,
  shelf: Shelf,
  wanted: readonly C[],
  context: Context,
  what: string,
): Promise<Result<Claims<C>>> {
  const locks = new Map<Digest, Lock>();
  const missing: C[] = [];
  const freeAll = async (): Promise<void> => {
    for (const digest of [...locks.keys()]) await free(digest);
  };
  const free = async (digest: Digest): Promise<void> => {
    const lock = locks.get(digest);
    locks.delete(digest);
    await lock?.release();
  };
  const said = new Set<string>();
  let unknown = 0;
  const sayWaiting = (holder: Owner | undefined): void => {
    // Two images of one run that share a layer are no news; who has only just taken a lock has not yet written who it is.
    if (holder === undefined ? ++unknown < UNKNOWN : isSelf(holder)) return;
    const name = describeHolder(holder);
    if (said.has(name)) return;
    said.add(name);
    context.report({ type: 'waiting', what, holder: name });
  };
  for (const content of uniqueInOrder(wanted)) {
    const claimed = await claimOne(store, shelf, content, context, sayWaiting);
    if (!claimed.ok) {
      await freeAll();
      return claimed;
    }
    if (claimed.value === undefined) continue;
    locks.set(content.digest, claimed.value);
    missing.push(content);
  }
  return ok({ missing, free, freeAll });
}

/** Each digest once, in their order. */
export function uniqueInOrder<C extends Content>(contents: readonly C[]): readonly C[] {
  const byDigest = new Map(contents.map((content) => [content.digest, content]));
  return [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

/** The lock, or undefined when the content is there. */
async function claimOne(
  store: Store,
  shelf: Shelf,
  content: Content,
  context: Context,
  sayWaiting: (holder: Owner | undefined) => void,
): Promise<Result<Lock | undefined>> {
  const look = contentWatch(store, shelf, content);
  const path = join(store.directory, 'locks', hexOf(content.digest));
  for (;;) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (await look()) return ok(undefined);
    const attempt = await tryLock(path);
    if (!attempt.ok) return attempt;
    if ('lock' in attempt.value) {
      // Between the look and the lock its last holder may have published it.
      await lookAnew(contentPath(store, shelf, content.digest));
      if (!(await look())) return ok(attempt.value.lock);
      await attempt.value.lock.release();
      return ok(undefined);
    }
    sayWaiting(attempt.value.holder);
    await pause(context.signal);
  }
}

/**
 * A client of NFS goes on for up to a minute to say that a name is not there, until the directory is opened: only then
 * does it ask again whether that has changed (nfs(5), close-to-open consistency).
 */
async function lookAnew(path: string): Promise<void> {
  const directory = await open(dirname(path)).catch(() => undefined);
  await directory?.close();
}

/** Looks whether the content is there and good; what was found bad is not hashed again until it changes. */
function contentWatch(store: Store, shelf: Shelf, content: Content): () => Promise<boolean> {
  let bad: string | undefined;
  return async () => {
    const found = await stat(contentPath(store, shelf, content.digest), { bigint: true }).catch(
      () => undefined,
    );
    if (found === undefined || stampOf(found) === bad) return false;
    if ((await checkContent(store, shelf, content)) === 'good') return true;
    bad = stampOf(found);
    return false;
  };
}

function isSelf(owner: Owner): boolean {
  return formatOwner(owner) === formatOwner(currentOwner());
}

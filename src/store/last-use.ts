import { stat, utimes } from 'node:fs/promises';
import type { Digest } from '../model/digest.ts';
import type { Shelf, Store } from './store.ts';
import { contentPath, recordPath } from './store.ts';

/**
 * When content was last used is the mtime of its record in verified/: nothing that is compared, and nothing that a
 * reader needs the right to write. Fetch notes it by the way of its check, build before it begins.
 */

/** Milliseconds within which a use is not noted again, so that a warm fetch writes nothing most of the time. */
export const USE_INTERVAL = 60 * 60 * 1000;

/** Notes that content is used now, where that is allowed and was not noted within the hour. Never fails. */
export async function noteUse(
  store: Store,
  shelf: Shelf,
  digest: Digest,
  now = Date.now(),
): Promise<void> {
  const path = recordPath(store, shelf, digest);
  try {
    const { mtimeMs } = await stat(path);
    if (now - mtimeMs >= USE_INTERVAL) await utimes(path, now / 1000, now / 1000);
  } catch {
    // No record, or another user's: a use that nobody may note.
  }
}

/** Milliseconds since 1970; of content that has no record, when it came. Undefined where it is not there. */
export async function lastUse(
  store: Store,
  shelf: Shelf,
  digest: Digest,
): Promise<number | undefined> {
  const record = await stat(recordPath(store, shelf, digest)).catch(() => undefined);
  if (record !== undefined) return record.mtimeMs;
  const found = await stat(contentPath(store, shelf, digest)).catch(() => undefined);
  return found?.ctimeMs;
}

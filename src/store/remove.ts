import { rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { Digest } from '../model/digest.ts';
import { errorCode } from '../model/file-failure.ts';
import type { Staging } from './staging.ts';
import type { Shelf, Store } from './store.ts';
import { contentPath, recordPath } from './store.ts';

/**
 * Takes a name out of the store, looks whether that was right, and puts it back if not. Between the two steps a
 * reader may find it missing and download it: that costs time, never a wrong answer. Whoever noted a use before its
 * own look is seen here, since this look comes after the name is gone.
 */
async function takeAway(
  path: string,
  staging: Staging,
  isRight: (aside: string) => Promise<boolean>,
): Promise<boolean> {
  const aside = join(staging.directory, randomUUID());
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
  if (await isRight(aside)) return true;
  await rename(aside, path).catch((error: unknown) => {
    // A layout that was written anew meanwhile is as good.
    if (errorCode(error) !== 'ENOTEMPTY' && errorCode(error) !== 'EEXIST') throw error;
  });
  return false;
}

/** Removes content while `isRight` says so of the file that was taken away; tells whether it did. */
export async function removeContent(
  store: Store,
  shelf: Shelf,
  digest: Digest,
  staging: Staging,
  isRight: (aside: string) => Promise<boolean>,
): Promise<boolean> {
  if (!(await takeAway(contentPath(store, shelf, digest), staging, isRight))) return false;
  await unlink(recordPath(store, shelf, digest)).catch(() => undefined);
  return true;
}

/** Removes a layout in images/; its blobs stay. */
export async function removeLayout(
  store: Store,
  directory: string,
  staging: Staging,
  isRight: () => Promise<boolean>,
): Promise<boolean> {
  return takeAway(join(store.directory, 'images', directory), staging, isRight);
}

import { open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { hashHandle, stampOf, syncDirectory } from './content.ts';
import type { Hashed } from './content.ts';
import { fileFailure } from '../model/file-failure.ts';
import type { Shelf, Store } from './store.ts';
import { contentPath, recordVerified } from './store.ts';

/** What was staged and is not what it should be; the staged file is still where it was. */
export interface ContentWrong {
  readonly reason: 'content-wrong';
  readonly actual: Hashed;
}

/**
 * Moves a complete staged file of this store into its place: hash, fsync, 0444, rename, fsync of the directory.
 * Idempotent: what is there already, good or bad, is replaced by verified content. The caller owns the staged
 * file and must not write to it any more.
 */
export async function publish(
  store: Store,
  shelf: Shelf,
  staged: string,
  expected: Pick<Descriptor, 'digest' | 'size'>,
): Promise<Result<void, ContentWrong | ReturnType<typeof fileFailure>>> {
  const path = contentPath(store, shelf, expected.digest);
  let handle: FileHandle | undefined;
  try {
    handle = await open(staged, 'r');
    const before = await handle.stat({ bigint: true });
    const actual = await hashHandle(handle);
    if (actual.digest !== expected.digest || actual.size !== expected.size)
      return fail({ reason: 'content-wrong', actual });
    await handle.chmod(0o444);
    await handle.sync();
    await rename(staged, path);
    await syncDirectory(dirname(path));
    // The rename changed the ctime, so it is looked at once more: by the name, which may be another
    // process's copy by now. That one has its own record.
    const after = await stat(path, { bigint: true });
    if (after.ino === before.ino && after.mtimeNs === before.mtimeNs)
      await recordVerified(store, shelf, expected.digest, stampOf(after));
    return ok();
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  } finally {
    await handle?.close();
  }
}

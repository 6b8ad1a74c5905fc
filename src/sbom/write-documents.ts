import { randomUUID } from 'node:crypto';
import { rename, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileFailure } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { syncDirectory } from '../store/content.ts';

export interface Document {
  /** Absolute. */
  readonly path: string;
  /** As the user calls it. */
  readonly given: string;
  readonly text: string;
}

/**
 * All of them, or none: each is complete and on the disk beside its name before the first gets it. Fails with
 * `access-denied` and `no-space`; then what was there is as it was.
 */
export async function writeDocuments(documents: readonly Document[]): Promise<Result<void>> {
  const staged: { readonly from: string; readonly to: Document }[] = [];
  for (const to of documents) {
    const from = join(dirname(to.path), `.new-${randomUUID()}`);
    staged.push({ from, to });
    try {
      await writeFile(from, to.text, { flag: 'wx', flush: true });
    } catch (error) {
      for (const file of staged) await unlink(file.from).catch(() => undefined);
      return fail(fileFailure(error, to.given, 'writing it'));
    }
  }
  for (const { from, to } of staged)
    try {
      await rename(from, to.path);
      await syncDirectory(dirname(to.path));
    } catch (error) {
      for (const file of staged) await unlink(file.from).catch(() => undefined);
      return fail(fileFailure(error, to.given, 'writing it'));
    }
  return ok();
}

import type { BigIntStats } from 'node:fs';
import { open, rename, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { replaceFile } from '../store/content.ts';
import type { Lock } from '../store/store-lock.ts';
import { usersOf } from '../tools/loop-devices.ts';
import { dataDocumentOf } from './check-inputs.ts';
import { isStill, stampDocument, stampFile, stampTime } from './last-result.ts';
import type { WorkFiles } from './loader.ts';

/**
 * Gives a proved data image and its document their names, and then the times by which the next build knows both.
 * `onPlaced` runs while that is still possible: a further link changes the image's ctime. Returns its size.
 */
export async function placeResult(
  work: WorkFiles,
  output: string,
  lock: Lock,
  describe: (size: number) => string,
  onPlaced: () => Promise<void>,
): Promise<Result<number>> {
  const { size } = await stat(work.image);
  const json = `${work.directory}/data.json`;
  const document = dataDocumentOf(output);
  await writeFile(json, describe(size));
  for (const file of [work.image, json]) await syncFile(file);
  if (lock.isLost()) return fail({ reason: 'output-in-use', output, by: ['another build'] });
  // Asked before the build began, too; but nobody replaces what has been mounted since.
  const users = await usersOf(output);
  if (users.length > 0) return fail({ reason: 'output-in-use', output, by: users });
  // Never an image beside the document of another: between the renames there is none.
  const aside = `${work.directory}/previous.json`;
  const hadDocument = await moveAway(document, aside);
  try {
    await rename(work.image, output);
  } catch (error) {
    if (hadDocument) await rename(aside, document);
    throw error;
  }
  await rename(json, document);
  await syncFile(dirname(output));
  const time = stampTime();
  await stampFile(output, time);
  await onPlaced();
  await stampDocument(document, output, time);
  return ok(size);
}

/**
 * Another text for an image that stays as it is: as it was when it was looked at. Fails with `not-verified` where
 * somebody has written to it since.
 */
export async function placeDocument(
  output: string,
  found: BigIntStats,
  text: string,
): Promise<Result<void>> {
  const document = dataDocumentOf(output);
  await replaceFile(document, text);
  if (!(await isStill(output, found)))
    return fail({
      reason: 'not-verified',
      image: output,
      findings: ['somebody wrote to it while its document was written'],
    });
  await stampDocument(document, output, Number(found.mtimeNs / 1000n) / 1e6);
  return ok();
}

/** False where there was nothing to move. */
async function moveAway(path: string, to: string): Promise<boolean> {
  try {
    await rename(path, to);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Makes what was written survive a power cut. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

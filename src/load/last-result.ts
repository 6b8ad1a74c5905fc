import type { BigIntStats } from 'node:fs';
import { stat, utimes } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataDocument } from './data-document.ts';
import { readDataDocument } from './data-document.ts';

/**
 * The data image that an earlier build left under the output's name, and whether it still is what that build made.
 *
 * Nothing but its two files tells. A build gives both the same mtime, data.json's last. So the image is as it was
 * made while its mtime is data.json's, and its ctime earlier: whoever writes to it changes its mtime, and whoever
 * restores that changes its ctime, which nobody can set. A faithful copy of both (cp -a, rsync -a, tar) passes in
 * most cases; every other copy, and whatever touches one of them, makes it count as changed, which costs a build.
 */
export interface LastResult {
  readonly document: DataDocument;
  readonly image: BigIntStats;
}

/** Why what lies there, if anything does, is of no use. */
export type NoResult = 'no-result' | 'no-document' | 'result-changed';

export async function readLastResult(
  image: string,
  documentFile: string,
): Promise<LastResult | NoResult> {
  const there = await stat(image, { bigint: true }).catch(() => undefined);
  if (there === undefined) return 'no-result';
  const read = await readDataDocument(documentFile);
  const file = await stat(documentFile, { bigint: true }).catch(() => undefined);
  if (!read.ok || read.value === undefined || file === undefined) return 'no-document';
  // After the document was read, so that nobody else's renames lie between the two.
  const found = await stat(image, { bigint: true }).catch(() => undefined);
  if (found?.isFile() !== true) return 'no-result';
  const document = read.value;
  const intact =
    found.size === BigInt(document.size) &&
    found.mtimeNs === file.mtimeNs &&
    found.ctimeNs < file.ctimeNs;
  return intact ? { document, image: found } : 'result-changed';
}

/** Whether the image is the one that was looked at, untouched since. */
export async function isStill(image: string, before: BigIntStats): Promise<boolean> {
  const now = await stat(image, { bigint: true }).catch(() => undefined);
  return (
    now !== undefined &&
    now.ino === before.ino &&
    now.size === before.size &&
    now.mtimeNs === before.mtimeNs &&
    now.ctimeNs === before.ctimeNs
  );
}

/**
 * The time for both files: eighths of a second are the same in a double, in microseconds and in nanoseconds, so both
 * get the very same.
 */
export function stampTime(): number {
  return Math.floor(Date.now() / 125) / 8;
}

export async function stampFile(path: string, time: number): Promise<void> {
  await utimes(path, time, time);
}

/** Looks until a file system with coarse times has them in order: 4 ms on most, two seconds on the coarsest. */
const STAMPS = 300;
const STAMP_PAUSE = 8;

/** Stamps a document so that its ctime is later than its image's, for certain. */
export async function stampDocument(document: string, image: string, time: number): Promise<void> {
  for (let stamps = 0; stamps < STAMPS; stamps++) {
    await stampFile(document, time);
    const { ctimeNs } = await stat(document, { bigint: true });
    if (ctimeNs > (await stat(image, { bigint: true })).ctimeNs) return;
    await sleep(STAMP_PAUSE);
  }
}

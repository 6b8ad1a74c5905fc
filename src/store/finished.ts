import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import {
  access,
  copyFile,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { hexOf, parseDigest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { replaceFile, stampOf, syncDirectory } from './content.ts';
import { errorCode } from '../model/file-failure.ts';
import { makeStaging } from './staging.ts';
import type { Lock } from './store-lock.ts';
import { acquireLock } from './store-lock.ts';
import type { Store } from './store.ts';

/**
 * Finished data images, by the fingerprint of what they were made from:
 *
 *     built/<hex>/data.ext4       the very blocks of the output that was built: a reflink, else a hard link
 *     built/<hex>/finished.json   what it is, and its size, mtime and ctime when it was published; own mtime: last use
 *
 * So they take no space while the output they came from is there, and are made in no time; where neither kind of link
 * can be made, there are none. A hard link has the output's inode: who writes to the output writes to it. Nobody
 * takes one, therefore, whose times are not those that were recorded, and who does take one copies and verifies it.
 * Everything in built/ can be made again: a store without it lacks nothing.
 */
export interface FinishedImage {
  readonly fingerprint: Digest;
  readonly path: string;
  readonly record: FinishedRecord;
  readonly found: BigIntStats;
  /** `changed`: it was written to, or may have been. Nobody may use it. */
  readonly state: 'good' | 'changed';
  /** Milliseconds since 1970. */
  readonly lastUse: number;
}

export interface FinishedRecord {
  /** What is on it, for people: the target, as its pins call it. */
  readonly target: string;
  readonly images: number;
  /** Names and versions of what made it. */
  readonly tools: Readonly<Record<string, string>>;
  /** Of data.ext4: content.ts, `stampOf`. */
  readonly stamp: string;
}

const FORMAT = 1;
const IMAGE = 'data.ext4';
const RECORD = 'finished.json';

/** Finished images that no output shares any more, beyond which the one that was used longest ago goes. */
const KEPT = 2;

/** Undefined where there is none that can be told to be one. */
export async function findFinished(
  store: Store,
  fingerprint: Digest,
): Promise<FinishedImage | undefined> {
  const directory = directoryOf(store, fingerprint);
  const path = join(directory, IMAGE);
  try {
    const record = parseRecord(await readFile(join(directory, RECORD), 'utf8'));
    const { mtimeMs } = await stat(join(directory, RECORD));
    const found = await stat(path, { bigint: true });
    if (record === undefined || !found.isFile()) return undefined;
    const state = isAsRecorded(record, found) ? 'good' : 'changed';
    return { fingerprint, path, record, found, state, lastUse: mtimeMs };
  } catch {
    return undefined;
  }
}

/**
 * A link that goes, with the output it came from, takes the ctime with it, and leaves nobody who could have written
 * to the file since: then size and mtime are enough.
 */
function isAsRecorded(record: FinishedRecord, found: BigIntStats): boolean {
  if (record.stamp === stampOf(found)) return true;
  const [size, mtime] = record.stamp.split(' ');
  return found.nlink === 1n && size === `${found.size}` && mtime === `${found.mtimeNs}`;
}

export async function listFinished(store: Store): Promise<readonly FinishedImage[]> {
  const images: FinishedImage[] = [];
  for (const name of (await readdir(join(store.directory, 'built')).catch(() => [])).sort()) {
    const fingerprint = parseDigest(`sha256:${name}`);
    const image = fingerprint && (await findFinished(store, fingerprint));
    if (image !== undefined) images.push(image);
  }
  return images;
}

/** Best effort, as all notes of use. */
export async function noteFinishedUse(store: Store, image: FinishedImage): Promise<void> {
  const now = Date.now() / 1000;
  await utimes(join(directoryOf(store, image.fingerprint), RECORD), now, now).catch(
    () => undefined,
  );
}

/** Whether a finished image from `directory` could be published: the same file system, and the right to write. Makes nothing. */
export async function canPublishFrom(store: Store, directory: string): Promise<boolean> {
  try {
    const built = join(store.directory, 'built');
    const parent = (await stat(built).catch(() => undefined)) ? built : store.directory;
    for (const path of [parent, join(store.directory, 'locks'), join(store.directory, 'staging')])
      await access(path, constants.W_OK);
    return (await stat(parent)).dev === (await stat(directory)).dev;
  } catch {
    return false;
  }
}

/** While it is held nobody else makes the image of that fingerprint for this store. */
export function lockFinished(
  store: Store,
  fingerprint: Digest,
  what: string,
  context: Context,
): Promise<Result<Lock>> {
  const path = join(store.directory, 'locks', `built-${hexOf(fingerprint)}`);
  return acquireLock(path, context, { what });
}

/**
 * Publishes a proved data image, in the place of what there was. Nothing depends on it: false where the file system
 * or somebody's rights don't allow it. The image's times must not be set afterwards.
 */
export async function publishFinished(
  store: Store,
  fingerprint: Digest,
  image: string,
  about: Omit<FinishedRecord, 'stamp'>,
): Promise<boolean> {
  const staging = await makeStaging(store);
  if (!staging.ok) return false;
  try {
    const directory = join(staging.value.directory, 'finished');
    await mkdir(directory);
    const path = join(directory, IMAGE);
    try {
      await copyFile(image, path, constants.COPYFILE_FICLONE_FORCE);
    } catch {
      await link(image, path);
    }
    const stamp = stampOf(await stat(path, { bigint: true }));
    const record = { 'stowage-finished': FORMAT, ...about, stamp };
    await replaceFile(join(directory, RECORD), `${JSON.stringify(record, null, 2)}\n`);
    const target = directoryOf(store, fingerprint);
    // Another build was first: its output has that inode, whose ctime would tell it of a change.
    if ((await findFinished(store, fingerprint))?.state === 'good') return false;
    await mkdir(join(store.directory, 'built'), { recursive: true });
    await rename(target, join(staging.value.directory, 'before')).catch(() => undefined);
    await rename(directory, target);
    await syncDirectory(join(store.directory, 'built'));
    return true;
  } catch (error) {
    // Not a system's error: a bug.
    if (errorCode(error) === undefined) throw error;
    return false;
  } finally {
    await staging.value.remove();
  }
}

/** A rename out of built/ first, so that a reader finds all of it or nothing. False where it was not to be had. */
export async function removeFinished(store: Store, fingerprint: Digest): Promise<boolean> {
  const staging = await makeStaging(store);
  if (!staging.ok) return false;
  try {
    await rename(directoryOf(store, fingerprint), join(staging.value.directory, 'gone'));
    return true;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return false;
  } finally {
    await staging.value.remove();
  }
}

/** Bytes that go with a finished image: none while an output has the same. */
export function ownBytes({ found }: FinishedImage): number {
  return found.nlink > 1n ? 0 : Number(found.blocks) * 512;
}

/**
 * Makes room for one more of those that no output shares: what builds replace would pile up otherwise, a whole
 * partition each time. A disk takes a while to forget so much, so builds do it on their way.
 */
export async function dropOldFinished(store: Store): Promise<void> {
  const own = (await listFinished(store)).filter((image) => image.found.nlink === 1n);
  const oldest = own.sort((a, b) => b.lastUse - a.lastUse).slice(KEPT - 1);
  for (const { fingerprint } of oldest) await removeFinished(store, fingerprint);
}

function directoryOf(store: Store, fingerprint: Digest): string {
  return join(store.directory, 'built', hexOf(fingerprint));
}

function parseRecord(text: string): FinishedRecord | undefined {
  const record = JSON.parse(text) as Partial<Record<string, unknown>> | null;
  const { target, images, tools, stamp } = record ?? {};
  if (record?.['stowage-finished'] !== FORMAT) return undefined;
  if (typeof target !== 'string' || typeof images !== 'number' || typeof stamp !== 'string')
    return undefined;
  if (typeof tools !== 'object' || tools === null) return undefined;
  return { target, images, stamp, tools: tools as Record<string, string> };
}

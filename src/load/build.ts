import { open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { BlobBad } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { leastSize, likelySize } from '../plan/size.ts';
import { errorCode, fileFailure, interruption } from '../store/file-failure.ts';
import type { Lock } from '../store/store-lock.ts';
import { acquireLock } from '../store/store-lock.ts';
import { usersOf } from '../tools/loop-devices.ts';
import type { BuildRequest, Filled, Loader } from './loader.ts';
import {
  lockOf,
  makeWorkDirectory,
  removeWorkDirectory,
  workDirectoryOf,
} from './work-directory.ts';

export interface BuildOptions {
  /** Absolute path of the data image; data.json goes beside it. */
  readonly output: string;
  /** Checks all that can be checked, and changes nothing. */
  readonly dryRun: boolean;
  /** The dind image's platform, where the loader runs one. */
  readonly dindPlatform?: string;
  /** Proves the finished image before it gets its name: the verifier, which loaders know nothing of. */
  readonly prove: (image: string) => Promise<Result<void>>;
  /** The text of data.json for an image of `size` bytes. */
  readonly describe: (filled: Filled, size: number) => string;
}

export interface Built {
  /** Bytes; absent after a dry run. */
  readonly size?: number;
}

/** Free space, in bytes, under which a file system counts as full: what a failure in it was really about. */
const FULL = 8 * 1024 * 1024;

/** Bytes that Linux's file systems take for one name. */
const LONGEST_NAME = 255;

/**
 * Store and pins to data image, with no network. One build at a time writes an output: a second one waits. The
 * output is replaced by renames after everything was proved; until then it is as it was.
 */
export async function build(
  request: BuildRequest,
  options: BuildOptions,
  loader: Loader,
  context: Context,
): Promise<Result<Built>> {
  const directory = dirname(options.output);
  const checked = await checkDirectory(directory, options.output);
  if (!checked.ok) return checked;
  if (options.dryRun) {
    const ready = await checkInputs(request, options, context);
    if (!ready.ok) return ready;
    const room = await checkSpace(request, directory);
    return room.ok ? ok({}) : room;
  }
  const work = workDirectoryOf(options.output);
  const lock = await acquireLock(lockOf(work), context, {
    what: options.output,
  });
  if (!lock.ok) return lock;
  try {
    const ready = await checkInputs(request, options, context);
    if (!ready.ok) return ready;
    // Before the space is looked at: what a killed build left may be what fills it.
    const reaped = await loader.reap(work, context);
    if (!reaped.ok) return reaped;
    const room = await checkSpace(request, directory);
    if (!room.ok) return room;
    return await buildLocked(request, options, loader, lock.value, context);
  } finally {
    await lock.value.release();
  }
}

async function checkInputs(
  request: BuildRequest,
  options: BuildOptions,
  context: Context,
): Promise<Result<void>> {
  const users = await usersOf(options.output);
  if (users.length > 0) return fail({ reason: 'output-in-use', output: options.output, by: users });
  context.report({ type: 'step', step: 'check store' });
  const complete = await checkStore(request, options.dindPlatform);
  return complete;
}

async function buildLocked(
  request: BuildRequest,
  options: BuildOptions,
  loader: Loader,
  lock: Lock,
  context: Context,
): Promise<Result<Built>> {
  const work = await makeWorkDirectory(options.output);
  if (!work.ok) return work;
  try {
    const filled = await loader.fill(request, work.value, context);
    if (!filled.ok) return await explain(filled, request, work.value.directory);
    context.report({ type: 'step', step: 'verify' });
    const proved = await options.prove(work.value.image);
    if (!proved.ok) return proved;
    if (context.signal.aborted) return fail(interruption(context.signal));
    const { size } = await stat(work.value.image);
    const json = `${work.value.directory}/data.json`;
    await writeFile(json, options.describe(filled.value, size));
    for (const file of [work.value.image, json]) await syncFile(file);
    if (lock.isLost())
      return fail({ reason: 'output-in-use', output: options.output, by: ['another build'] });
    // Never an image beside the document of another: between the renames there is none.
    await rm(dataDocumentOf(options.output), { force: true });
    await rename(work.value.image, options.output);
    await rename(json, dataDocumentOf(options.output));
    await syncFile(dirname(options.output));
    return ok({ size });
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return fail(fileFailure(error, options.output, 'writing the data image'));
  } finally {
    const removed = await removeWorkDirectory(work.value.directory);
    if (!removed.ok)
      context.report({
        type: 'undo-failed',
        what: 'remove the work directory',
        failure: removed.failure,
      });
  }
}

/** A loader that ran out of space on the builder may fail in any way: the disk tells, while it is still full. */
async function explain(
  failed: Result<never>,
  request: BuildRequest,
  directory: string,
): Promise<Result<never>> {
  if (failed.ok || failed.failure.reason === 'interrupted') return failed;
  const available = await availableSpace(directory);
  if (available >= FULL) return failed;
  return fail({
    reason: 'no-space',
    where: dirname(directory),
    needed: likelySize(request.content),
    available,
  });
}

/** `data.json` for `data.ext4`; every other name keeps its ending, so that no two images share a document. */
export function dataDocumentOf(output: string): string {
  return `${output.replace(/\.ext4$/, '')}.json`;
}

async function checkDirectory(directory: string, output: string): Promise<Result<void>> {
  const expected = (detail: string): Result<never> =>
    fail({ reason: 'invalid-option', option: '--output', value: output, expected: detail });
  try {
    if (!(await stat(directory)).isDirectory()) return expected('a file in a directory');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return expected('a file in a directory that exists');
    if (errorCode(error) === 'ENOTDIR') return expected('a file in a directory');
    if (errorCode(error) === 'ENAMETOOLONG') return expected('a shorter path');
    return fail(fileFailure(error, directory, 'writing the data image'));
  }
  // The work directory's name is the longest that is made beside it.
  if (Buffer.byteLength(basename(`${workDirectoryOf(output)}.lock`)) > LONGEST_NAME)
    return expected('a shorter name');
  for (const path of [output, dataDocumentOf(output)]) {
    const there = await stat(path).catch(() => undefined);
    if (there !== undefined && !there.isFile())
      return expected(
        path === output ? 'a file, and no directory or device' : `${path} to be a file, too`,
      );
  }
  return ok();
}

/** Presence and sizes; what is read is hashed while it streams. */
async function checkStore(
  request: BuildRequest,
  dindPlatform: string | undefined,
): Promise<Result<void>> {
  const { pins, store } = request;
  const bad = (digest: Digest, owner: string, problem: BlobBad['problem']): Result<never> =>
    fail({ reason: 'blob-bad', problem, digest, owner, store: store.directory });
  const check = async (
    path: string,
    blob: Pick<Descriptor, 'digest' | 'size'>,
    owner: string,
  ): Promise<Result<void>> => {
    try {
      const found = await stat(path);
      if (!found.isFile()) return bad(blob.digest, owner, 'unreadable');
      return found.size === blob.size ? ok() : bad(blob.digest, owner, 'wrong size');
    } catch (error) {
      return bad(blob.digest, owner, errorCode(error) === 'ENOENT' ? 'missing' : 'unreadable');
    }
  };
  const dind = dindPlatform === undefined ? undefined : pins.dind?.platforms[dindPlatform];
  const images = [
    ...Object.entries(pins.images),
    ...(dind === undefined ? [] : [['engine.dind', dind] as const]),
  ];
  for (const [name, image] of images)
    for (const blob of [
      ...('keptIndex' in image ? [image.keptIndex] : []),
      image.manifest,
      image.config,
      ...image.layers,
    ]) {
      const checked = await check(store.blobPath(blob.digest), blob, name);
      if (!checked.ok) return checked;
    }
  for (const [path, file] of Object.entries(pins.files)) {
    if (file.url === undefined) continue;
    const blob = { digest: file.sha256, size: file.size };
    const checked = await check(store.filePath(file.sha256), blob, path);
    if (!checked.ok) return checked;
  }
  return ok();
}

async function checkSpace(request: BuildRequest, directory: string): Promise<Result<void>> {
  const least = leastSize(request.content);
  const needed = likelySize(request.content);
  const { size } = request.wanted.partition;
  if (size !== 'auto' && size.bytes < least)
    return fail({
      reason: 'no-space',
      where: `a partition of ${size.bytes} bytes`,
      needed,
      available: size.bytes,
    });
  const available = await availableSpace(directory);
  if (available < least) return fail({ reason: 'no-space', where: directory, needed, available });
  return ok();
}

async function availableSpace(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

import { stat, statfs } from 'node:fs/promises';
import { basename } from 'node:path';
import { formatSize } from '../model/bundle-size.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { BlobBad } from '../model/failure.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { ContentEstimate } from '../plan/size.ts';
import { contentFor, fittingSize, isTooSmall, leastSize, likelySize } from '../plan/size.ts';
import type { Store } from '../store/store.ts';
import type { BuildRequest } from './loader.ts';
import { workDirectoryOf } from './work-directory.ts';

/** What can be looked at before a build begins. */

/** Bytes that Linux's file systems take for one name. */
const LONGEST_NAME = 255;

/** `data.json` for `data.ext4`; every other name keeps its ending, so that no two images share a document. */
export function dataDocumentOf(output: string): string {
  return `${output.replace(/\.ext4$/, '')}.json`;
}

export async function checkDirectory(directory: string, output: string): Promise<Result<void>> {
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

/** Presence and sizes; what is read is hashed while it streams. `dindPlatform` adds the image of the loader's engine. */
export async function checkStore(
  store: Store,
  pins: TargetPins,
  dindPlatform: string | undefined,
): Promise<Result<void>> {
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

/** `added`: what of the content takes space on the builder, where the rest may share blocks with a file that is there. */
export async function checkSpace(
  request: BuildRequest,
  directory: string,
  added: ContentEstimate = request.content,
): Promise<Result<void>> {
  const { partition, engine } = request.wanted;
  const content = contentFor(engine, request.content);
  const { size, features } = partition;
  if (size !== 'auto' && isTooSmall(size.bytes, content, { features })) {
    const fits = fittingSize(content, { features });
    return fail({
      reason: 'no-space',
      where: `a partition of ${formatSize(size.bytes)}`,
      needed: fits,
      available: size.bytes,
      fits,
    });
  }
  const available = await availableSpace(directory);
  const here = contentFor(engine, added);
  if (available < leastSize(here))
    return fail({ reason: 'no-space', where: directory, needed: likelySize(here), available });
  return ok();
}

export async function availableSpace(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

import { lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { fileFailure } from '../model/file-failure.ts';
import { currentOwner, formatOwner, ownerState, parseOwner } from '../store/owner.ts';
import { mountPoints } from '../tools/mount.ts';
import type { WorkFiles } from './loader.ts';

/**
 * Where a build works until its result is renamed into place: beside the output, on its file system, one for
 * each output, guarded by the output's lock.
 *
 * ```
 * <dir>/.<output>.stowage/
 *   owner.json     who builds: what a later run asks whether that is still so
 *   data.ext4      the image in the making
 *   mnt/           a mount of itself that the engine's container sees, with what is mounted below it later
 *     data/        the image's mount point
 *   run/           the daemon's socket and configuration
 * ```
 */
const SUFFIX = '.stowage';

export function workDirectoryOf(output: string): string {
  return join(dirname(output), `.${basename(output)}${SUFFIX}`);
}

/** The lock on a work directory, and so on its output. */
export function lockOf(directory: string): string {
  return `${directory}.lock`;
}

export interface MountPoints {
  /** What the container sees. */
  readonly shared: string;
  /** The image's, below it. */
  readonly image: string;
}

export function mountPointsOf(directory: string): MountPoints {
  const shared = join(directory, 'mnt');
  return { shared, image: join(shared, IMAGE_MOUNT) };
}

/** Below the shared directory. */
export const IMAGE_MOUNT = 'data';

/** True for a name that only a build of ours gives. Looked at before anything is removed: labels can be forged. */
export function isWorkDirectory(path: string): boolean {
  const name = basename(path);
  return isAbsolute(path) && name.startsWith('.') && name.endsWith(SUFFIX);
}

/** Makes it afresh; what a killed build left there must have been unmounted before. */
export async function makeWorkDirectory(output: string): Promise<Result<WorkFiles>> {
  const directory = workDirectoryOf(output);
  const removed = await removeWorkDirectory(directory);
  if (!removed.ok) return removed;
  try {
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, 'owner.json'), formatOwner(currentOwner()));
  } catch (error) {
    return fail(fileFailure(error, directory, 'making the work directory'));
  }
  return ok({ directory, image: join(directory, 'data.ext4') });
}

/**
 * Whether a work directory may be removed: its owner has said who he was, and is known to be dead. What says
 * nothing, or can't be read, is somebody else's.
 */
export async function isAbandoned(directory: string): Promise<boolean> {
  try {
    if (!(await lstat(directory)).isDirectory()) return false;
    const owner = parseOwner(await readFile(join(directory, 'owner.json'), 'utf8'));
    return owner !== undefined && ownerState(owner) === 'dead';
  } catch {
    return false;
  }
}

/** Never what is still mounted below it. */
export async function removeWorkDirectory(directory: string): Promise<Result<void>> {
  const mounted = (await mountPoints()).find((point) => point.startsWith(`${directory}/`));
  if (mounted !== undefined)
    return fail({ reason: 'output-in-use', output: mounted, by: ['a mount'] });
  try {
    await rm(directory, { recursive: true, force: true });
    return ok();
  } catch (error) {
    return fail(fileFailure(error, directory, 'removing the work directory'));
  }
}

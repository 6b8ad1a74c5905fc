import type { Context, Step } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { BLOCK, finalBlocks, journalSize } from '../plan/ext4-geometry.ts';
import {
  checkFileSystem,
  completeFileSystem,
  removeJournal,
  resizeFileSystem,
  setUuid,
} from '../tools/e2fsprogs.ts';
import { discardFree } from '../tools/copy-image.ts';
import { readSuperblock } from '../tools/ext4-superblock.ts';
import { writeExtraFiles } from './extra-files.ts';
import type { BuildRequest, WorkFiles } from './loader.ts';
import { DATA_IMAGE } from './loader.ts';

export interface FinishOptions {
  /** Gives back the blocks that removed files had, as an updated file system has them. Default: false. */
  readonly discard?: boolean;
}

/**
 * From an unmounted file system with a filled data root to a whole one of the right size, with the bundle's files.
 * It may have a journal, as the copy of a finished one has. Fails with `no-space` in `DATA_IMAGE` where a fixed size
 * has no room for files or journal.
 */
export async function finishFileSystem(
  request: BuildRequest,
  work: WorkFiles,
  context: Context,
  options: FinishOptions = {},
): Promise<Result<void>> {
  const finished = await finish(request, work, context, options);
  const { image } = work;
  return !finished.ok && finished.failure.reason === 'no-space' && finished.failure.where === image
    ? fail({ ...finished.failure, where: DATA_IMAGE })
    : finished;
}

async function finish(
  request: BuildRequest,
  { image, directory }: WorkFiles,
  context: Context,
  { discard = false }: FinishOptions,
): Promise<Result<void>> {
  const { partition } = request.wanted;
  const { signal } = context;
  reportStep(context, 'write files');
  const written = await writeExtraFiles(request, { image, directory }, context);
  if (!written.ok) return written;

  reportStep(context, 'shrink');
  const { uuid, epoch } = request.identity ?? {};
  const { features } = partition;
  const sized = await finalSizes(request, image, signal);
  if (!sized.ok) return sized;
  const [roomy, ...rest] = sized.value;
  if (roomy !== undefined) {
    const resized = await resizeFileSystem(image, roomy, signal, epoch);
    if (!resized.ok) return resized;
  }
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  if (uuid !== undefined && superblock.value.uuid !== uuid) {
    const set = await setUuid(image, uuid, signal);
    if (!set.ok) return set;
  }
  const blocks = rest[0] ?? superblock.value.blocks;
  const journal = journalSize(blocks * BLOCK, features);
  const completed = await completeFileSystem(image, { features, journal, epoch }, signal);
  if (!completed.ok) return completed;
  for (const target of rest) {
    const resized = await resizeFileSystem(image, target, signal, epoch);
    if (!resized.ok) return resized;
    if (partition.size !== 'auto' && resized.value > target * BLOCK)
      return fail({ reason: 'no-space', where: image });
  }

  reportStep(context, 'check file system');
  // Which is a check, and a repair where that is needed; the proof of the whole checks once more.
  if (discard) return discardFree(image, epoch, signal);
  const sound = await checkFileSystem(image, 'read only', signal);
  if (sound.ok || sound.failure.reason !== 'not-verified') return sound;
  // What a kernel or one of the tools left in disorder may well be in order after a repair.
  const repaired = await checkFileSystem(image, 'repair', signal, epoch);
  return repaired.ok ? checkFileSystem(image, 'read only', signal) : repaired;
}

/**
 * The sizes to go through, in blocks, so that the last is the wanted one: a fixed one, or what has room for what is in
 * it, a journal and the headroom. The first is the one in which the journal is made: tune2fs wants twice as much room
 * as that takes.
 */
async function finalSizes(
  request: BuildRequest,
  image: string,
  signal: AbortSignal,
): Promise<Result<readonly number[]>> {
  const { size, headroom, features, inodes } = request.wanted.partition;
  if (size === 'auto') {
    const removed = await removeJournal(image, signal);
    if (!removed.ok) return removed;
  }
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  const now = superblock.value;
  if (now.hasJournal) return ok([]);
  const blocks = size === 'auto' ? finalBlocks(now, headroom, features, inodes) : now.blocks;
  const journal = journalSize(blocks * BLOCK, features) / BLOCK;
  const free = blocks - (now.blocks - now.freeBlocks);
  const lacking = 2 * journal + JOURNAL_MAP - free;
  return ok(lacking > 0 && journal > 0 ? [blocks + lacking, blocks] : [blocks]);
}

/** Blocks of a journal that is in pieces, at most, and of an orphan file. */
const JOURNAL_MAP = 640;

function reportStep(context: Context, step: Step): void {
  context.report({ type: 'step', step });
}

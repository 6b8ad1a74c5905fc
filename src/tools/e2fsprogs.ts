import { open, stat, truncate } from 'node:fs/promises';
import type { Failure } from '../model/failure.ts';
import { FEATURE_PRESETS } from '../model/ext4-features.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readSuperblock } from './ext4-superblock.ts';
import type { CommandFailure, CommandOptions } from './run-command.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/** ext4 images by e2fsprogs: mke2fs, tune2fs, resize2fs, e2fsck. None of them needs root on a file of ours. */

export interface NewFileSystem {
  /** Bytes; a multiple of 4096. */
  readonly size: number;
  readonly label: string;
  /** By mke2fs' names; default: `FEATURE_PRESETS.default`. */
  readonly features?: readonly string[] | undefined;
  /** In all; default: one for 16 KiB. */
  readonly inodes?: number | undefined;
  /** Percentage of the blocks that only root gets; default: none. */
  readonly reserved?: number | undefined;
  /** Bytes up to which nothing has to be moved when it grows; default: 1024 times the size. */
  readonly growsTo?: number | undefined;
  readonly identity?: Partial<Identity> | undefined;
}

/** What mke2fs makes up where nobody says it. */
export interface Identity {
  readonly uuid: string;
  readonly hashSeed: string;
  /** Seconds since 1970, for its own times. */
  readonly epoch: number;
}

/** Those that a file system gets when it is complete: until then they only cost. */
const LAST_FEATURES: ReadonlySet<string> = new Set(['has_journal', 'orphan_file']);

const MIB = 1024 * 1024;
const BLOCK = 4096;

/**
 * Makes a sparse file at `image`, which must not be there, with an empty ext4 file system in it. It has no journal
 * yet: `completeFileSystem` adds it, of the size that suits what came out. Nothing is lost by that in a file that
 * nobody wants unless the build comes to its end, and every write is done once.
 */
export async function makeFileSystem(
  image: string,
  options: NewFileSystem,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const file = await open(image, 'wx', 0o644);
  await file.close();
  await truncate(image, options.size);
  const { uuid, hashSeed, epoch } = options.identity ?? {};
  const { growsTo = 0 } = options;
  const features = (options.features ?? FEATURE_PRESETS.default).filter(
    (feature) => !LAST_FEATURES.has(feature),
  );
  const extended = [
    'lazy_itable_init=0',
    'root_owner=0:0',
    ...(hashSeed === undefined ? [] : [`hash_seed=${hashSeed}`]),
    ...(growsTo > options.size * 1024 && features.includes('resize_inode')
      ? [`resize=${Math.ceil(growsTo / BLOCK)}`]
      : []),
  ];
  const args = [
    ...['-q', '-F', '-t', 'ext4', '-b', `${BLOCK}`, '-I', '256'],
    // Fixed, so that neither the builder's mke2fs.conf nor its e2fsprogs decide what a device must read.
    ...['-O', ['none', ...features].join(',')],
    ...(options.inodes === undefined ? ['-i', '16384'] : ['-N', `${options.inodes}`]),
    ...['-m', `${options.reserved ?? 0}`, '-L', options.label],
    ...(uuid === undefined ? [] : ['-U', uuid]),
    ...['-E', extended.join(',')],
    image,
  ];
  const made = await runCommand('mke2fs', args, { signal, env: fakeTime(epoch) });
  return made.ok ? ok() : fail(commandFailure(made.failure, 'making the file system'));
}

/** Checks the file system and, with `repair`, mends what can be mended without asking. */
export async function checkFileSystem(
  image: string,
  repair: 'repair' | 'read only',
  signal?: AbortSignal,
  epoch?: number,
): Promise<Result<void>> {
  const checked = await runCommand('e2fsck', [repair === 'repair' ? '-fy' : '-fn', image], {
    signal,
    env: fakeTime(epoch),
  });
  if (checked.ok) return ok();
  const failure = checked.failure;
  // e2fsck(8), exit code: 1 is "errors corrected", which a repair may end with.
  if (failure.reason === 'command-failed' && failure.exitCode === 1 && repair === 'repair')
    return ok();
  if (failure.reason === 'command-failed' && failure.stdout !== '')
    return fail({
      reason: 'not-verified',
      image,
      findings: [`e2fsck: ${lastLines(failure.stdout, 5)}`],
    });
  return fail(commandFailure(failure, 'checking the file system'));
}

/** How much more is tried where the wanted number of blocks does not do: parts of it. */
const MORE = [0, 0.005, 0.01, 0.02, 0.05];

/** What moving costs on the way: longer maps of files, as parts of what is used. */
const MOVING = 0.002;

/** Blocks that are taken away at once: what lies in them is on disk twice until they are cut off. And how often. */
const STEP = (48 * MIB) / BLOCK;
const MOST_STEPS = 8;

/**
 * Resizes to so many blocks, or to few more where moved files need some, and cuts the file to match. The file system
 * must not be mounted and should be sound: nobody looks. Returns the new size in bytes. `epoch` is the time of it.
 *
 * Forced, because resize2fs would ask for a check first, and because what it takes for the least (`-M`) is far from
 * it: its estimate adds up the groups in which something is, and not what is in them.
 */
export async function resizeFileSystem(
  image: string,
  blocks: number,
  signal?: AbortSignal,
  epoch?: number,
): Promise<Result<number>> {
  let now = await readSuperblock(image);
  if (!now.ok) return now;
  const step = Math.max(STEP, Math.ceil((now.value.blocks - blocks) / MOST_STEPS));
  for (let last = 0; now.value.blocks !== blocks && now.value.blocks !== last;) {
    last = now.value.blocks;
    // The inode tables of groups that go are only free once those are gone.
    const used = Math.ceil((last - now.value.freeBlocks) * (1 + MOVING)) + 64;
    const next = Math.max(blocks, last - step);
    const target = next < used && used < last ? used : next;
    const resized = await resizeTo(image, target, last, { signal, env: fakeTime(epoch) });
    if (!resized.ok) return resized;
    now = await readSuperblock(image);
    if (!now.ok) return now;
    const end = now.value.blocks * BLOCK;
    if ((await stat(image)).size !== end) await truncate(image, end);
  }
  return ok(now.value.blocks * BLOCK);
}

async function resizeTo(
  image: string,
  blocks: number,
  now: number,
  options: CommandOptions,
): Promise<Result<void>> {
  for (const more of MORE) {
    const target = Math.ceil(blocks * (1 + more));
    if (target === now || (target > now && more > 0)) return ok();
    if ((await stat(image)).size < target * BLOCK) await truncate(image, target * BLOCK);
    const resized = await runCommand('resize2fs', ['-f', image, `${target}`], options);
    if (resized.ok) return ok();
    if (!ranOut(resized.failure))
      return fail(commandFailure(resized.failure, 'resizing the file system'));
    // It has changed nothing, and yet marked the file system as one with errors.
    const mended = await checkFileSystem(image, 'repair', options.signal);
    if (!mended.ok) return mended;
  }
  return ok();
}

function ranOut(failure: CommandFailure): boolean {
  return failure.reason === 'command-failed' && /No space left/.test(failure.stderr);
}

/** What makes a filled file system a whole one. */
export interface Completion {
  /** By mke2fs' names; default: `FEATURE_PRESETS.default`. */
  readonly features?: readonly string[] | undefined;
  /** Bytes. */
  readonly journal: number;
  /** Seconds since 1970, for the times that mounting has left. */
  readonly epoch?: number | undefined;
}

/**
 * Adds the journal and what goes with it, unless they are there, and forgets where and how often it was mounted.
 * Fails with `no-space` where the journal has no room.
 */
export async function completeFileSystem(
  image: string,
  completion: Completion,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  const wanted = completion.features ?? FEATURE_PRESETS.default;
  const added = wanted.filter((feature) => LAST_FEATURES.has(feature));
  const options = { signal, env: fakeTime(completion.epoch) };
  const journal =
    superblock.value.hasJournal || added.length === 0
      ? []
      : ['-O', added.join(','), '-J', `size=${Math.floor(completion.journal / MIB)}`];
  if (journal.length > 0 && added.includes('orphan_file')) {
    const cleared = await clearNextInode(image, signal);
    if (!cleared.ok) return cleared;
  }
  // The kernel notes the mount point, a path of the builder's; debugfs would leave all but its first byte.
  const tuned = await runCommand('tune2fs', ['-M', '', '-C', '0', ...journal, image], options);
  if (!tuned.ok) return fail(tuneFailure(tuned.failure, image));
  if (completion.epoch === undefined) return ok();
  const time = `@${completion.epoch}`;
  const script = [`mtime ${time}`, `lastcheck ${time}`, 'kbytes_written 0'];
  const set = await runCommand('debugfs', ['-w', '-f', '-', image], {
    ...options,
    input: script.map((line) => `set_super_value ${line}\n`).join(''),
  });
  return set.ok ? ok() : fail(commandFailure(set.failure, 'setting the times of the file system'));
}

/**
 * Empties the free inode that is the next to be used: tune2fs (1.47.0) takes one whose removed file left a size, as
 * debugfs' removing does, for an orphan file to truncate, and fails.
 */
async function clearNextInode(image: string, signal?: AbortSignal): Promise<Result<void>> {
  const doing = 'making room for an orphan file';
  const found = await runCommand('debugfs', ['-R', 'find_free_inode', image], { signal });
  if (!found.ok) return fail(commandFailure(found.failure, doing));
  const inode = /Free inode found: (\d+)/.exec(found.value.stdout)?.[1];
  // tune2fs itself will say that there is none.
  if (inode === undefined) return ok();
  const cleared = await runCommand('debugfs', ['-w', '-R', `clri <${inode}>`, image], { signal });
  return cleared.ok ? ok() : fail(commandFailure(cleared.failure, doing));
}

/** Takes the journal away: where it lies is in the way of shrinking, and its size is another's. */
export async function removeJournal(image: string, signal?: AbortSignal): Promise<Result<void>> {
  const superblock = await readSuperblock(image);
  if (!superblock.ok) return superblock;
  if (!superblock.value.hasJournal) return ok();
  // Together: tune2fs refuses to leave an orphan file alone.
  const removed = await runCommand('tune2fs', ['-O', '^orphan_file,^has_journal', image], {
    signal,
  });
  return removed.ok ? ok() : fail(commandFailure(removed.failure, 'removing the journal'));
}

/** Gives the file system another UUID. Without metadata_csum_seed every checksum is made anew, after a check. */
export async function setUuid(
  image: string,
  uuid: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const sound = await checkFileSystem(image, 'repair', signal);
  if (!sound.ok) return sound;
  const set = await runCommand('tune2fs', ['-U', uuid, image], { signal });
  return set.ok ? ok() : fail(commandFailure(set.failure, 'setting the UUID'));
}

function tuneFailure(failure: CommandFailure, image: string): Failure {
  if (
    failure.reason === 'command-failed' &&
    /too big for filesystem|No space|Could not allocate/i.test(failure.stderr)
  )
    return { reason: 'no-space', where: image };
  return commandFailure(failure, 'adding the journal');
}

/** The clock of e2fsprogs, of which e2fsck has one of its own; files keep their own times. */
export function fakeTime(epoch: number | undefined): Readonly<Record<string, string>> | undefined {
  return epoch === undefined
    ? undefined
    : { E2FSPROGS_FAKE_TIME: `${epoch}`, E2FSCK_TIME: `${epoch}` };
}

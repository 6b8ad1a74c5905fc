import { createImage } from '../ext4/create-image.ts';
import type { Attributes, Entry, Timestamp } from '../ext4/entry.ts';
import type { Finished, ImageOptions, ImageWriter } from '../ext4/image-writer.ts';
import type { Context } from '../model/event.ts';
import { interruption } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { NeededSize } from './needed-size.ts';
import { TreeError } from './tree-error.ts';
import type { TreeItem } from './tree-item.ts';

/** What is made alike in all of a tree. */
export interface Adjustments {
  /** Of everything, whoever has it. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Seconds since 1970: nothing is newer than this. */
  readonly newest?: number;
}

export interface Made extends Finished {
  /** Names that were added: files, directories, links and so on. */
  readonly entries: number;
}

/** Writes a tree into a new image at `path`, which is replaced once all went well. On failure nothing is left. */
export async function makeImage(
  items: AsyncIterable<TreeItem>,
  path: string,
  options: ImageOptions,
  adjustments: Adjustments,
  context: Context,
): Promise<Result<Made>> {
  const created = await createImage(path, options);
  if (!created.ok) return created;
  const writer = created.value;
  let isFinished = false;
  try {
    const needed = new NeededSize(options);
    const walk = items[Symbol.asyncIterator]();
    const entries = await addAll(writer, walk, adjustments, needed, context.signal);
    if (!entries.ok) return await explain(entries, walk, needed, options, context.signal);
    const finished = await writer.finish();
    if (!finished.ok) return await explain(finished, walk, needed, options, context.signal);
    isFinished = true;
    return ok({ ...finished.value, entries: entries.value });
  } catch (error) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (error instanceof TreeError) return fail(error.failure);
    throw error;
  } finally {
    if (!isFinished) await writer.abandon();
  }
}

async function addAll(
  writer: ImageWriter,
  walk: AsyncIterator<TreeItem>,
  adjustments: Adjustments,
  needed: NeededSize,
  signal: AbortSignal,
): Promise<Result<number>> {
  let entries = 0;
  let isDone = false;
  try {
    for (let next = await walk.next(); next.done !== true; next = await walk.next()) {
      if (signal.aborted) return fail(interruption(signal));
      const { entry, content } = next.value;
      needed.add(entry);
      const added = await writer.add(adjust(entry, adjustments), content);
      if (!added.ok) {
        // Who wants to know how much there is reads on.
        isDone = added.failure.reason === 'no-space';
        return added;
      }
      entries += 1;
    }
    isDone = true;
    return signal.aborted ? fail(interruption(signal)) : ok(entries);
  } finally {
    if (!isDone) await walk.return?.();
  }
}

/** A size that does not do is told with one that would: the rest of the tree is counted for it. */
async function explain(
  failed: Result<never>,
  walk: AsyncIterator<TreeItem>,
  needed: NeededSize,
  { size }: ImageOptions,
  signal: AbortSignal,
): Promise<Result<never>> {
  if (failed.ok || failed.failure.reason !== 'no-space') return failed;
  // The disk is full, and not the file system.
  if (typeof size !== 'number' || failed.failure.available !== size) {
    await walk.return?.();
    return failed;
  }
  for (let next = await walk.next(); next.done !== true; next = await walk.next()) {
    needed.add(next.value.entry);
    if (signal.aborted) break;
  }
  await walk.return?.();
  if (signal.aborted) return fail(interruption(signal));
  const fits = Math.max(needed.bytes, failed.failure.needed ?? 0);
  return fail({ ...failed.failure, where: 'the image', needed: fits, fits });
}

function adjust(entry: Entry, { owner, newest }: Adjustments): Entry {
  if (entry.type === 'hard link' || (owner === undefined && !isNewer(entry, newest))) return entry;
  return {
    ...entry,
    ...owner,
    ...(isNewer(entry, newest) ? { mtime: { seconds: newest, nanoseconds: 0 } } : {}),
  };
}

function isNewer({ mtime }: Attributes, newest: number | undefined): newest is number {
  return newest !== undefined && isLater(mtime, newest);
}

function isLater({ seconds, nanoseconds }: Timestamp, newest: number): boolean {
  return seconds > newest || (seconds === newest && nanoseconds > 0);
}

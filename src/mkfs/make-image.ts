import { createImage } from '../ext4/create-image.ts';
import type { Attributes, Entry, Timestamp } from '../ext4/entry.ts';
import type { Finished, ImageOptions, ImageWriter } from '../ext4/image-writer.ts';
import type { Context } from '../model/event.ts';
import { interruption } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
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
    const entries = await addAll(writer, items, adjustments, context.signal);
    if (!entries.ok) return entries;
    const finished = await writer.finish();
    if (!finished.ok) return finished;
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
  items: AsyncIterable<TreeItem>,
  adjustments: Adjustments,
  signal: AbortSignal,
): Promise<Result<number>> {
  let entries = 0;
  for await (const { entry, content } of items) {
    if (signal.aborted) return fail(interruption(signal));
    const added = await writer.add(adjust(entry, adjustments), content);
    if (!added.ok) return added;
    entries += 1;
  }
  return signal.aborted ? fail(interruption(signal)) : ok(entries);
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

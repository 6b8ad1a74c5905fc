import { createImage } from '../ext4/create-image.ts';
import type { Attributes, Entry, Timestamp } from '../ext4/entry.ts';
import type { Finished, ImageOptions, ImageWriter } from '../ext4/image-writer.ts';
import type { Context } from '../model/event.ts';
import { interruption } from '../model/file-failure.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { NeededSize } from './needed-size.ts';
import { TreeError } from './tree-error.ts';
import type { TreeReader } from './tree-reader.ts';

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

/**
 * Writes a tree into a new image at `path`, which is replaced once all went well. On failure nothing is left. Reads the
 * tree to its end or closes it.
 */
export async function makeImage(
  tree: TreeReader,
  path: string,
  options: ImageOptions,
  adjustments: Adjustments,
  context: Context,
): Promise<Result<Made>> {
  const created = await createImage(path, options);
  if (!created.ok) {
    await tree.close();
    return created;
  }
  const writer = created.value;
  let isFinished = false;
  try {
    const needed = new NeededSize(options);
    const entries = await addAll(writer, tree, adjustments, needed, context.signal);
    if (!entries.ok) return await explain(entries, tree, needed, options, context.signal);
    const finished = await writer.finish();
    if (!finished.ok) return await explain(finished, tree, needed, options, context.signal);
    isFinished = true;
    return ok({ ...finished.value, entries: entries.value });
  } catch (error) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (error instanceof TreeError) return fail(error.failure);
    throw error;
  } finally {
    await tree.close();
    if (!isFinished) await writer.abandon();
  }
}

async function addAll(
  writer: ImageWriter,
  tree: TreeReader,
  adjustments: Adjustments,
  needed: NeededSize,
  signal: AbortSignal,
): Promise<Result<number>> {
  for (let entries = 0; ; entries += 1) {
    // Only where there is something to wait for: a turn for each of many small files would cost more than they do.
    let next = tree.next();
    if (next instanceof Promise) next = await next;
    if (signal.aborted) return fail(interruption(signal));
    if (next === undefined) return ok(entries);
    needed.add(next.entry);
    let added = writer.addNow(adjust(next.entry, adjustments), next.content);
    if (added instanceof Promise) added = await added;
    if (!added.ok) return fail(ofTree(added.failure, tree));
  }
}

/** What an image can't hold came from the tree: that is what somebody has to look at. */
function ofTree(failure: Failure, tree: TreeReader): Failure {
  if (failure.reason !== 'entry-refused') return failure;
  const { entry, detail } = failure;
  return { reason: 'tree-bad', ...tree.place(), entry, detail };
}

/** A size that does not do is told with one that would: the rest of the tree is counted for it. */
async function explain(
  failed: Result<never>,
  tree: TreeReader,
  needed: NeededSize,
  { size }: ImageOptions,
  signal: AbortSignal,
): Promise<Result<never>> {
  if (failed.ok || failed.failure.reason !== 'no-space') return failed;
  // The disk is full, and not the file system.
  if (typeof size !== 'number' || failed.failure.available !== size) return failed;
  for (let next = await tree.next(); next !== undefined; next = await tree.next()) {
    needed.add(next.entry);
    if (signal.aborted) return fail(interruption(signal));
  }
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

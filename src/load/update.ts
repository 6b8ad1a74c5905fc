import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { ok } from '../model/result.ts';
import type { Changes } from '../plan/changes.ts';
import { roomForUpdate } from '../plan/size.ts';
import { copyImage, growFileSystem, setLabel } from '../tools/copy-image.ts';
import { removeTrees } from './remove-trees.ts';
import { contentOf } from './content.ts';
import { finishFileSystem } from './finish.ts';
import type { BuildRequest, Loader, WorkFiles } from './loader.ts';

export interface Update {
  /** A finished data image; it is only read. */
  readonly original: string;
  readonly changes: Changes;
  /** What has to be done before an engine starts; where it fails, so does the update. */
  readonly ready?: Promise<Result<void>>;
  /** Called once the disk has less to do. */
  readonly onCopied?: () => void;
}

/**
 * Makes `work.image` of a finished data image: a copy in which the images and files that changed are replaced.
 * The engine is started for images alone.
 */
export async function updateImage(
  request: BuildRequest,
  work: WorkFiles,
  { original, changes, ready = Promise.resolve(ok()), onCopied }: Update,
  loader: Loader,
  context: Context,
): Promise<Result<void>> {
  const { signal } = context;
  // What has not changed is there already.
  const part: BuildRequest = {
    ...request,
    pins: {
      ...request.pins,
      images: changes.images.load,
      files: pick(request.pins.files, changes.files.write),
    },
  };
  let synced: Promise<Result<void>> | undefined;
  const copy = async (mayWrite: Promise<Result<unknown>>): Promise<Result<void>> => {
    context.report({ type: 'step', step: 'copy' });
    const settled = await mayWrite;
    if (!settled.ok) return settled;
    const [copied, isReady] = await Promise.all([copyImage(original, work.image, signal), ready]);
    if (!copied.ok) return copied;
    synced = copied.value.synced;
    onCopied?.();
    if (!isReady.ok) return isReady;
    if (request.wanted.partition.size !== 'auto') return ok();
    const bytes = roomFor(request, part);
    return bytes === 0 ? ok() : growFileSystem(work.image, bytes, signal);
  };
  const { load, remove, rename } = changes.images;
  const needsEngine = Object.keys(load).length + remove.length + rename.length > 0;
  const changed = needsEngine
    ? await loader.change(request, changes.images, work, copy, context)
    : await copy(Promise.resolve(ok()));
  if (!changed.ok) return changed;

  if (changes.files.remove.length > 0) {
    const gone = goneTrees(changes.files.remove, Object.keys(request.pins.files), request);
    const removed = await removeTrees(work.image, gone, signal);
    if (!removed.ok) return removed;
  }
  if (changes.label !== undefined) {
    const labelled = await setLabel(work.image, changes.label, signal);
    if (!labelled.ok) return labelled;
  }
  const finished = await finishFileSystem(part, work, context, { discard: true });
  return finished.ok ? ((await synced) ?? ok()) : finished;
}

/**
 * Bytes that an update writes before anything is removed, as far as can be expected: what is in `part` and not yet in
 * the rest. Where it turns out to be more, a build from scratch takes over.
 */
function roomFor(request: BuildRequest, part: BuildRequest): number {
  const { pins, store } = request;
  const kept = {
    ...pins,
    images: without(pins.images, part.pins.images),
    files: without(pins.files, part.pins.files),
  };
  const loads = Object.keys(part.pins.images).length > 0;
  return roomForUpdate(request.wanted.engine, {
    wanted: contentOf(pins, store),
    kept: contentOf(kept, store),
    loaded: loads ? contentOf(part.pins, store) : undefined,
  });
}

/** The files, or the topmost directory that is there for none but such files. */
function goneTrees(
  removed: readonly string[],
  wanted: readonly string[],
  request: BuildRequest,
): string[] {
  const stays = new Set([request.wanted.partition.dataRoot, ...wanted].flatMap(withParents));
  const trees = removed.map((path) => withParents(path).find((above) => !stays.has(above)) ?? path);
  return [...new Set(trees)].map((path) => `/${path}`);
}

/** `a`, `a/b`, `a/b/c` for `a/b/c`. */
function withParents(path: string): string[] {
  const names = path.split('/');
  return names.map((_, i) => names.slice(0, i + 1).join('/'));
}

function without<T>(from: Readonly<Record<string, T>>, names: object): Record<string, T> {
  return Object.fromEntries(Object.entries(from).filter(([name]) => !Object.hasOwn(names, name)));
}

function pick<T>(from: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  const wanted = new Set(names);
  return Object.fromEntries(Object.entries(from).filter(([name]) => wanted.has(name)));
}

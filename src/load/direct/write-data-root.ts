import type { Content, Entry, Timestamp } from '../../ext4/entry.ts';
import type { StorageItem } from '../../data-root/storage-item.ts';
import type { Context } from '../../model/event.ts';
import { interruption } from '../../model/file-failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { BuildRequest } from '../loader.ts';
import { bundleItems } from './bundle-files.ts';
import type { EngineStorage } from './engine-storage.ts';
import { dealLayers, mergeLanes } from './lanes.ts';
import type { LayerWork, Written } from './layer-items.ts';
import {
  ForesightNeeded,
  inheritedItems,
  laneItems,
  LayerFailure,
  translate,
} from './layer-items.ts';
import type { PlannedContent, PlannedLayer } from './plan-content.ts';
import { keepHeapSmall } from '../small-heap.ts';

/**
 * What takes a data root: an ext4 image, an archive, a directory. After a failure only `abandon` may be called.
 */
export interface Sink {
  /** Resolves once the content is taken; calls must not overlap. Parents come first. */
  add(entry: Entry, content?: Content): Promise<Result<void>>;
  /** The same, with no promise where there is nothing to wait for; absent where there always is. */
  addNow?(entry: Entry, content?: Content): Result<void> | Promise<Result<void>>;
  finish(): Promise<Result<unknown>>;
  /** Removes what was written. Idempotent; does nothing after `finish` succeeded. */
  abandon(): Promise<void>;
}

export interface DataRoot {
  readonly request: BuildRequest;
  readonly content: PlannedContent;
  readonly storage: EngineStorage;
  /** Seconds since 1970, of everything that has no time of its own. */
  readonly epoch: number;
}

/**
 * Writes a data root and the bundle's files in one pass: each layer's blob is read, hashed, unpacked and hashed again
 * in a thread while the one before is written. What is written in which order depends on the content alone. A layer that takes back
 * what it has written makes it begin anew, in a sink of `open`, knowing that layer beforehand.
 */
export async function writeDataRoot(
  root: DataRoot,
  open: () => Promise<Result<Sink>>,
  context: Context,
): Promise<Result<void>> {
  keepHeapSmall();
  const foreseen = new Set<PlannedLayer>();
  // What is begun anew is not told of again.
  const progress = new Progress(root.content, context);
  for (;;) {
    const sink = await open();
    if (!sink.ok) return sink;
    let isFinished = false;
    try {
      const written = await writeOnce(root, sink.value, { foreseen, progress }, context);
      if (!written.ok) return written;
      if (context.signal.aborted) return fail(interruption(context.signal));
      const finished = await sink.value.finish();
      if (!finished.ok) return finished;
      isFinished = true;
      return ok();
    } catch (error) {
      if (context.signal.aborted) return fail(interruption(context.signal));
      if (error instanceof LayerFailure) return fail(error.failure);
      if (!(error instanceof ForesightNeeded)) throw error;
      // Who has met two such layers looks at all of them first.
      for (const layer of foreseen.size === 0 ? [error.layer] : root.content.layers)
        foreseen.add(layer);
    } finally {
      if (!isFinished) await sink.value.abandon();
    }
  }
}

async function writeOnce(
  { request, content, storage, epoch }: DataRoot,
  sink: Sink,
  { foreseen, progress }: { foreseen: ReadonlySet<PlannedLayer>; progress: Progress },
  context: Context,
): Promise<Result<void>> {
  const time: Timestamp = { seconds: epoch, nanoseconds: 0 };
  const { signal } = context;
  const directories = new Set<string>();
  const store = async (items: readonly StorageItem[]): Promise<Result<void>> => {
    for (const item of items) {
      if (item.type === 'directory') directories.add(item.path);
      const added = await addItem(sink, item, time);
      if (!added.ok) return added;
    }
    return ok();
  };
  const before = await store(storage.before());
  if (!before.ok) return before;

  const written = new Map<PlannedLayer, Written>();
  const work = (layer: PlannedLayer): LayerWork => ({
    layer,
    root: layer.furtherOf === undefined ? storage.rootOf(layer) : undefined,
    isChecked: layer.furtherOf !== undefined && storage.rootOf(layer.furtherOf) !== undefined,
    blob: blobEntry(layer, storage, time),
    by: storage.by,
    isForeseen: foreseen.has(layer),
  });
  const lanes = dealLayers([...content.layers, ...content.further]).map((layers) =>
    laneItems(layers.map(work), {
      ...{ store: request.store, time, signal },
      written: (layer, as) => {
        written.set(layer, as);
      },
      through: (layer) => {
        progress.isThrough(layer);
      },
    }),
  );
  const rootOf = (layer: PlannedLayer): string => storage.rootOf(layer) ?? '';
  const layers = mergeLanes(lanes);
  try {
    for (let next = await layers.next(); next.done !== true; next = await layers.next()) {
      const adding = sink.addNow?.(next.value.entry, next.value.content);
      const added =
        adding === undefined || adding instanceof Promise || !adding.ok
          ? await addLayerItem(next.value, sink, request, adding)
          : adding;
      if (!added.ok) return added;
      if (signal.aborted) return fail(interruption(signal));
    }
  } finally {
    await layers.return();
  }
  const inheriting = storage.by === 'containerd' ? content.layers : [];
  for (const item of inheritedItems(inheriting, written, rootOf, request.store)) {
    const added = await addLayerItem(item, sink, request);
    if (!added.ok) return added;
  }

  const after = await store(storage.after(written));
  if (!after.ok) return after;
  const files = bundleItems(request, directories, { mtime: time, signal });
  for (const { entry, content: bytes } of files) {
    const added = await sink.add(entry, bytes);
    if (!added.ok) return added;
    if (signal.aborted) return fail(interruption(signal));
  }
  return ok();
}

async function addLayerItem(
  { entry, content, layer }: Parameters<typeof itemFailure>[0],
  sink: Sink,
  request: BuildRequest,
  adding?: Result<void> | Promise<Result<void>>,
): Promise<Result<void>> {
  try {
    const added = await (adding ?? sink.add(entry, content));
    if (added.ok || added.failure.reason !== 'entry-refused') return added;
    return itemFailure({ entry, layer }, added.failure);
  } catch (error) {
    throw translate(error, layer, request.store);
  }
}

/** A file system that can't hold a layer's member, as an engine would find out. */
function itemFailure(
  { layer }: { readonly entry: Entry; readonly content?: Content; readonly layer: PlannedLayer },
  refused: { readonly entry: string; readonly detail: string },
): Result<never> {
  const { image, blob } = layer;
  const { entry, detail } = refused;
  return fail({ reason: 'layer-bad', image, layer: blob.digest, entry, detail });
}

function blobEntry(
  layer: PlannedLayer,
  storage: EngineStorage,
  mtime: Timestamp,
): Entry | undefined {
  const place = storage.blobOf(layer);
  if (place === undefined) return undefined;
  const { size } = layer.blob;
  const path = Buffer.from(place.path);
  return { type: 'file', path, mode: place.mode, uid: 0, gid: 0, mtime, size };
}

function addItem(sink: Sink, item: StorageItem, mtime: Timestamp): Promise<Result<void>> {
  const common = { path: Buffer.from(item.path), uid: 0, gid: 0, mtime };
  switch (item.type) {
    case 'directory':
      return sink.add({ type: 'directory', mode: item.mode, ...common });
    case 'file': {
      const { mode, bytes } = item;
      return sink.add({ type: 'file', mode, size: bytes.length, ...common }, bytes);
    }
    case 'symlink':
      return sink.add({
        ...{ type: 'symlink', mode: 0o777, target: Buffer.from(item.target) },
        ...common,
      });
  }
}

/** Tells of each image once, as the last of its layers and blobs is through. */
class Progress {
  readonly #start = Date.now();
  readonly #context: Context;
  readonly #images: { readonly name: string; readonly open: Set<string>; bytes: number }[];

  constructor({ images }: PlannedContent, context: Context) {
    this.#context = context;
    this.#images = images.map(({ name, layers, pin }) => ({
      name,
      open: new Set([
        ...layers.map(({ chainId }) => `layer ${chainId}`),
        ...pin.layers.map(({ digest }) => `blob ${digest}`),
      ]),
      bytes: pin.layers.reduce((sum, { size }) => sum + size, 0),
    }));
  }

  isThrough({ chainId, blob, furtherOf }: PlannedLayer): void {
    for (const { name, open, bytes } of this.#images) {
      if (open.size === 0) continue;
      open.delete(`blob ${blob.digest}`);
      if (furtherOf === undefined) open.delete(`layer ${chainId}`);
      if (open.size === 0)
        this.#context.report({
          ...{ type: 'loaded', image: name, bytes },
          elapsed: Date.now() - this.#start,
        });
    }
  }
}

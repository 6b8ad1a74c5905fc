import type { Content, Entry, Timestamp } from '../../ext4/entry.ts';
import type { Failure, LayerBad } from '../../model/failure.ts';
import { printable } from '../../model/printable.ts';
import { CompressionError } from '../../oci/compression-error.ts';
import { LayerApplier, TakenBack } from '../../oci/layer/apply-layer.ts';
import { foresee, ForeseenLayer } from '../../oci/layer/foreseen-layer.ts';
import type { LayerEntry } from '../../oci/layer/layer-entry.ts';
import { LayerError } from '../../oci/layer/layer-entry.ts';
import type { WrittenLayer } from '../../oci/layer/lower-layers.ts';
import { closeLayer, inheritAttributes } from '../../oci/layer/lower-layers.ts';
import { readTar, TarReader } from '../../oci/tar/reader.ts';
import { TarError } from '../../oci/tar/tar-error.ts';
import type { Store } from '../../store/store.ts';
import type { LayerJob } from './layer-thread.ts';
import { BadBlob, LayerThread, WrongDiffId } from './layer-thread.ts';
import type { PlannedLayer } from './plan-content.ts';
import { SplitArchive } from './split-archive.ts';

/** Something to write, in its order. */
export interface Item {
  readonly entry: Entry;
  /** Of files; good until the next item is asked for. */
  readonly content?: Content;
  /** About what it takes to write. */
  readonly bytes: number;
  /** Whose it is: reading its content can fail. */
  readonly layer: PlannedLayer;
}

/** What becomes of a layer. */
export interface LayerWork {
  readonly layer: PlannedLayer;
  /** Where its files go; undefined where they stay packed, or another blob brings them. */
  readonly root: string | undefined;
  /** What it unpacks to is looked at, though it goes nowhere. */
  readonly isChecked: boolean;
  /** Where its blob goes; undefined where that is another's work, or nobody's. */
  readonly blob: Entry | undefined;
  /** As containerd unpacks it, or as dockerd's own driver, which also wants to be able to give its archive back. */
  readonly by: 'containerd' | 'graph driver';
  /** It has to be gone through before it is written. */
  readonly isForeseen: boolean;
}

/** Why a layer can't be written, as the project's failure. */
export class LayerFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.reason);
    this.failure = failure;
  }
}

/** A layer that takes back what was written of it: everything is to be begun anew, with this one foreseen. */
export class ForesightNeeded extends Error {
  readonly layer: PlannedLayer;

  constructor(layer: PlannedLayer) {
    super('a layer takes back what was written');
    this.layer = layer;
  }
}

export interface Written extends WrittenLayer {
  /** Of a graph driver's. */
  readonly tarSplit?: Uint8Array;
}

export interface LayerContext {
  readonly store: Store;
  readonly time: Timestamp;
  readonly signal: AbortSignal;
  /** What a layer has come to, once all of it is given out. */
  readonly written: (layer: PlannedLayer, written: Written) => void;
  /** All that is to be had of a layer is taken, whatever becomes of it. */
  readonly through: (layer: PlannedLayer) => void;
}

/** All that is to be written of the layers of a lane. Throws a `LayerFailure`, or `ForesightNeeded`. */
export async function* laneItems(
  works: readonly LayerWork[],
  context: LayerContext,
): AsyncGenerator<Item, void> {
  const { signal } = context;
  const jobs = works.map((work) => jobOf(work, context.store));
  // A foreseen layer is unpacked twice.
  const thread = new LayerThread(
    jobs.flatMap((job, i) =>
      works[i]?.isForeseen === true ? [{ ...job, copy: false }, job] : [job],
    ),
  );
  const onAbort = (): void => {
    thread.fail(new Error('aborted'));
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    for (const [i, work] of works.entries()) {
      const job = jobs[i];
      if (job === undefined) throw new Error('a layer without a job');
      try {
        yield* layerItems(work, job, thread, context);
        context.through(work.layer);
      } catch (error) {
        throw translate(error, work.layer, context.store);
      }
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    await thread.end();
  }
}

function jobOf({ layer, root, isChecked, blob }: LayerWork, store: Store): LayerJob {
  const { digest, size } = layer.blob;
  return {
    ...{ path: store.blobPath(digest), digest, size, diffId: layer.diffId },
    ...{ copy: blob !== undefined, unpack: root !== undefined || isChecked },
  };
}

/** As engines read archives. */
const DIALECT = { dialect: 'go' } as const;

async function* layerItems(
  { layer, root, isChecked, blob, by, isForeseen }: LayerWork,
  job: LayerJob,
  thread: LayerThread,
  { time, written }: LayerContext,
): AsyncGenerator<Item, void> {
  const options = { isBase: layer.below.length === 0, by, time };
  const foreseen = isForeseen
    ? new ForeseenLayer(await foresee(readTar(thread.layer(job), DIALECT), options))
    : undefined;
  if (blob !== undefined) yield { entry: blob, content: thread.blob(job), bytes: job.size, layer };
  if (root === undefined) {
    if (isChecked) await drain(thread.layer(job));
    return;
  }
  const applier = foreseen ?? new LayerApplier(options);
  const place = { layer, prefix: Buffer.from(root).toString('latin1') };
  const split = by === 'graph driver' ? new SplitArchive() : undefined;
  const archive = thread.layer(job);
  const reader = new TarReader(split === undefined ? archive : split.pass(archive), DIALECT);
  try {
    for (;;) {
      // Most members are at hand.
      const next = reader.next();
      const member = next instanceof Promise ? await next : next;
      if (member === undefined) break;
      split?.member(member);
      for (const entry of applier.take(member)) yield itemOf(entry, place, member.content);
    }
    for (const entry of applier.finish()) yield itemOf(entry, place);
  } catch (error) {
    if (error instanceof TakenBack) throw new ForesightNeeded(layer);
    throw error;
  } finally {
    await reader.close();
  }
  const tarSplit = split?.finish();
  written(layer, {
    ...closeLayer(applier.tree),
    ...(tarSplit === undefined ? {} : { tarSplit }),
  });
}

async function drain(chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  while ((await iterator.next()).done !== true);
}

/** What directories have from lower layers: once all of these are written. From the base up. */
export function* inheritedItems(
  layers: readonly PlannedLayer[],
  written: ReadonlyMap<PlannedLayer, WrittenLayer>,
  rootOf: (layer: PlannedLayer) => string,
  store: Store,
): Generator<Item, void> {
  for (const layer of layers) {
    const own = written.get(layer);
    if (own === undefined || own.inheriting.length === 0) continue;
    const below = layer.below.flatMap((lower) => written.get(lower) ?? []);
    let entries: LayerEntry[];
    try {
      entries = inheritAttributes(own, below);
    } catch (error) {
      throw translate(error, layer, store);
    }
    const place = { layer, prefix: Buffer.from(rootOf(layer)).toString('latin1') };
    for (const entry of entries) yield itemOf(entry, place);
  }
}

/** What any entry costs besides its content. */
const PER_ENTRY = 4096;

function itemOf(
  entry: LayerEntry,
  { layer, prefix }: { readonly layer: PlannedLayer; readonly prefix: string },
  content?: Content,
): Item {
  const at = (path: string): Uint8Array =>
    Buffer.from(path === '' ? prefix : `${prefix}/${path}`, 'latin1');
  const path = at(entry.path);
  const bytes = PER_ENTRY;
  if (entry.type === 'hard link')
    return { entry: { type: entry.type, path, target: at(entry.target) }, bytes, layer };
  if (entry.type !== 'file') return { entry: { ...entry, path }, bytes, layer };
  const common = { entry: { ...entry, path }, bytes: entry.size + bytes, layer };
  return content === undefined ? common : { ...common, content };
}

/** What reading a layer can throw, as a failure that names it; anything else as it is. */
export function translate(error: unknown, layer: PlannedLayer, store: Store): unknown {
  const { blob, image } = layer;
  const bad = (detail: string, entry?: Uint8Array): LayerFailure => {
    const failure: LayerBad = {
      ...{ reason: 'layer-bad', image, layer: blob.digest, detail },
      ...(entry === undefined ? {} : { entry: printable(entry) }),
    };
    return new LayerFailure(failure);
  };
  if (error instanceof BadBlob)
    return new LayerFailure({
      ...{ reason: 'blob-bad', problem: error.problem, digest: blob.digest },
      ...{ owner: image, store: store.directory },
    });
  if (error instanceof WrongDiffId)
    return bad(`it unpacks to ${error.actual}, and the image's config says ${layer.diffId}`);
  if (error instanceof LayerError) return bad(error.detail, error.member);
  if (error instanceof TarError) return bad(error.detail, error.entry);
  if (error instanceof CompressionError) return bad(error.message);
  return error;
}

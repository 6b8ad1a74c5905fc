import type { Digest } from '../../model/digest.ts';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import type { ImagePin } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { hybridArchive } from '../../oci/hybrid-archive.ts';
import { interruption } from '../../store/file-failure.ts';
import type { Store } from '../../store/store.ts';
import { brokenBlob } from '../broken-blob.ts';
import type { EngineContainer } from './engine-container.ts';
import { loadFailure } from './load-failure.ts';

/** Loads that run at once: two cores unpack no more, and the space that loads need meanwhile stays bounded. */
const AT_ONCE = 2;

/** Milliseconds for one image, so that a daemon that hangs ends the build: 10 minutes and a second for each MiB. */
function loadDeadline(image: ImagePin): number {
  return 600_000 + Math.ceil(sizeOf(image) / (1024 * 1024)) * 1000;
}

/** Streams every image into the engine, largest first (HAOS #2054: a load needs space while it runs). */
export async function loadImages(
  images: Readonly<Record<string, ImagePin>>,
  store: Store,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  const waiting = onceEach(images).sort(
    ([a, imageA], [b, imageB]) => sizeOf(imageB) - sizeOf(imageA) || (a < b ? -1 : 1),
  );
  // The first failure calls the other loads off.
  const abort = new AbortController();
  const signal = AbortSignal.any([context.signal, abort.signal]);
  const done = new Set<Digest>();
  const running = new Map<string, ImagePin>();
  const loads = new Set<Promise<void>>();
  const outcome: { failure?: Failure } = {};
  const load = async (name: string, image: ImagePin): Promise<void> => {
    running.set(name, image);
    try {
      const loaded = await loadImage(name, image, store, engine, { ...context, signal });
      if (loaded.ok) for (const layer of image.layers) done.add(layer.digest);
      else outcome.failure ??= loaded.failure;
    } finally {
      running.delete(name);
    }
  };
  try {
    while (outcome.failure === undefined && (waiting.length > 0 || loads.size > 0)) {
      const next = waiting.findIndex(([, image]) => isFree(image, running.values(), done));
      const [chosen] = next >= 0 && loads.size < AT_ONCE ? waiting.splice(next, 1) : [];
      if (chosen === undefined) {
        await Promise.race(loads);
        continue;
      }
      const started: Promise<void> = load(...chosen).finally(() => loads.delete(started));
      loads.add(started);
    }
  } finally {
    abort.abort();
    await Promise.allSettled(loads);
  }
  if (context.signal.aborted) return fail(interruption(context.signal));
  return outcome.failure === undefined ? ok() : fail(outcome.failure);
}

/**
 * Bundle entries of one image as one, with the names of all: an image that is loaded twice gets a second, nameless
 * record that keeps its content for ever.
 */
function onceEach(images: Readonly<Record<string, ImagePin>>): [string, ImagePin][] {
  const byDigest = new Map<Digest, [string, ImagePin]>();
  for (const [name, image] of Object.entries(images)) {
    const known = byDigest.get(image.manifest.digest);
    byDigest.set(
      image.manifest.digest,
      known === undefined
        ? [name, image]
        : [
            `${known[0]}, ${name}`,
            { ...known[1], names: [...new Set([...known[1].names, ...image.names])].sort() },
          ],
    );
  }
  return [...byDigest.values()];
}

/**
 * Two loads that unpack one layer at the same time both do the work, and the loser's snapshot is left for the
 * engine's garbage collector: an image waits until no load under way unpacks a layer that it lacks too.
 */
function isFree(image: ImagePin, running: Iterable<ImagePin>, done: ReadonlySet<Digest>): boolean {
  const busy = new Set([...running].flatMap((other) => other.layers.map(({ digest }) => digest)));
  return image.layers.every(({ digest }) => done.has(digest) || !busy.has(digest));
}

async function loadImage(
  name: string,
  image: ImagePin,
  store: Store,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  const start = Date.now();
  const deadline = loadDeadline(image);
  const timeout = AbortSignal.timeout(deadline);
  const archive = hybridArchive([image], (digest) => store.blobPath(digest));
  const loaded = await engine.api.load(archive, AbortSignal.any([context.signal, timeout]));
  const broken = brokenBlob(archive, name, store);
  if (broken !== undefined) return fail(broken);
  if (context.signal.aborted) return fail(interruption(context.signal));
  if (timeout.aborted)
    return fail({
      reason: 'engine-died',
      doing: `loading ${name}`,
      detail: `it did not finish within ${Math.round(deadline / 1000)} s`,
      log: await engine.lastLog(),
    });
  if (!loaded.ok) return fail(await loadFailure(name, loaded.failure, engine));
  // A load that could not unpack still succeeds and only says so (moby#48293).
  const complaint = loaded.value.find((line) => /error unpacking|no space left/i.test(line));
  if (complaint !== undefined)
    return fail(await loadFailure(name, { reason: 'api-failed', detail: complaint }, engine));
  context.report({
    type: 'loaded',
    image: name,
    bytes: sizeOf(image),
    elapsed: Date.now() - start,
  });
  return ok();
}

function sizeOf(image: ImagePin): number {
  return image.layers.reduce((sum, layer) => sum + layer.size, 0);
}

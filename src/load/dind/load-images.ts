import type { Digest } from '../../model/digest.ts';
import type { Context } from '../../model/event.ts';
import type { Failure } from '../../model/failure.ts';
import type { ImagePin } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { BlobMismatch, hybridArchive } from '../../oci/hybrid-archive.ts';
import type { ApiFailure, InspectedImage } from '../../tools/engine-api.ts';
import { interruption } from '../../store/file-failure.ts';
import type { Store } from '../../store/store.ts';
import { DATA_IMAGE } from '../loader.ts';
import type { EngineContainer } from './engine-container.ts';

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
  const waiting = Object.entries(images).sort(
    ([a, imageA], [b, imageB]) => sizeOf(imageB) - sizeOf(imageA) || (a < b ? -1 : 1),
  );
  const done = new Set<Digest>();
  const running = new Map<string, ImagePin>();
  const loads = new Map<string, Promise<Failure | undefined>>();
  while (waiting.length > 0 || loads.size > 0) {
    const next = waiting.findIndex(([, image]) => isFree(image, running.values(), done));
    if (next >= 0 && loads.size < AT_ONCE) {
      for (const [name, image] of waiting.splice(next, 1)) {
        running.set(name, image);
        loads.set(name, startLoad(name, image));
      }
      continue;
    }
    const failure = await Promise.race(loads.values());
    if (failure === undefined) continue;
    await Promise.all(loads.values());
    return fail(failure);
  }
  return ok();

  async function startLoad(name: string, image: ImagePin): Promise<Failure | undefined> {
    const loaded = await loadImage(name, image, store, engine, context);
    running.delete(name);
    loads.delete(name);
    for (const layer of image.layers) done.add(layer.digest);
    return loaded.ok ? undefined : loaded.failure;
  }
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
  const broken = archive.errored;
  archive.destroy();
  if (broken instanceof BlobMismatch)
    return fail({
      reason: 'blob-bad',
      problem: broken.problem,
      digest: broken.digest,
      owner: name,
      store: store.directory,
    });
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

/** Makes sure that the engine has every image under every name, with the pinned digest, and unpacks what is not. */
export async function checkImages(
  images: Readonly<Record<string, ImagePin>>,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  for (const [name, image] of Object.entries(images)) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    const [first] = image.names;
    if (first === undefined) throw new Error(`${name} has no names`);
    for (const fullName of image.names) {
      const inspected = await inspect(fullName, engine);
      if (!inspected.ok) return fail(await loadFailure(name, inspected.failure, engine));
      const expected = (image.keptIndex ?? image.manifest).digest;
      if (inspected.value.id !== expected)
        return fail({
          reason: 'load-incomplete',
          image: name,
          detail: `the engine has ${inspected.value.id} as ${fullName}, not ${expected}`,
        });
    }
    const unpacked = await unpack(first, image, engine);
    if (!unpacked.ok) return fail(await loadFailure(name, unpacked.failure, engine));
  }
  const collected = await collectGarbage(images, engine);
  if (!collected.ok) return fail(await loadFailure('the set', collected.failure, engine));
  const listed = await engine.api.listImages();
  if (!listed.ok) return fail(await loadFailure('the list of images', listed.failure, engine));
  const expected = Object.values(images).reduce((count, image) => count + image.names.length, 0);
  const names = listed.value.flatMap((image) => image.names);
  if (names.length !== expected)
    return fail({
      reason: 'load-incomplete',
      image: 'the set',
      detail: `the engine lists ${names.length} names instead of ${expected}: ${names.join(', ')}`,
    });
  return ok();
}

/**
 * An image of another platform than the builder's is stored, and not unpacked. Creating a container from it
 * unpacks it in every engine, with no emulator; the container is removed again.
 */
async function unpack(
  name: string,
  image: ImagePin,
  engine: EngineContainer,
): Promise<Result<void, ApiFailure>> {
  const before = await inspect(name, engine);
  if (!before.ok) return before;
  if ((before.value.unpacked?.get(image.manifest.digest) ?? 0) > 0) return ok();
  const container = await engine.api.createContainer(name, image.platform);
  if (!container.ok) return container;
  return engine.api.removeContainer(container.value);
}

/**
 * Removing a container makes containerd collect its garbage before it answers (a synchronous lease deletion);
 * nothing else would before the device's first start.
 */
async function collectGarbage(
  images: Readonly<Record<string, ImagePin>>,
  engine: EngineContainer,
): Promise<Result<void, ApiFailure>> {
  const image = Object.values(images)[0];
  const name = image?.names[0];
  if (image === undefined || name === undefined) return ok();
  const container = await engine.api.createContainer(name, image.platform);
  return container.ok ? engine.api.removeContainer(container.value) : container;
}

function inspect(
  name: string,
  engine: EngineContainer,
): Promise<Result<InspectedImage, ApiFailure>> {
  const [major, minor] = engine.version.api;
  return engine.api.inspectImage(name, { manifests: major > 1 || minor >= 48 });
}

async function loadFailure(
  image: string,
  failure: ApiFailure,
  engine: EngineContainer,
): Promise<Failure> {
  if (/no space left on device/i.test(failure.detail))
    return { reason: 'no-space', where: DATA_IMAGE };
  const death = await engine.death(`loading ${image}`);
  if (death !== undefined) return death;
  return { reason: 'load-incomplete', image, detail: failure.detail };
}

function sizeOf(image: ImagePin): number {
  return image.layers.reduce((sum, layer) => sum + layer.size, 0);
}

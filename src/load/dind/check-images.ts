import type { Context } from '../../model/event.ts';
import type { ImagePin } from '../../model/pins.ts';
import type { Platform } from '../../model/platform.ts';
import { formatPlatform, platformOf, samePlatform } from '../../model/platform.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { interruption } from '../../model/file-failure.ts';
import type { Store } from '../../store/store.ts';
import type { ApiFailure, InspectedImage } from '../../tools/engine-api.ts';
import { isApi } from '../../tools/engine-api.ts';
import type { EngineContainer } from './engine-container.ts';
import { loadFailure } from './load-failure.ts';
import { statedPlatform } from './stated-platform.ts';

/**
 * Makes sure that the engine has every image under every name, with the pinned digest, its platform and all of its
 * layers, and no other; and unpacks what is not. What lies on the disk is the verifier's to prove, once the engine has
 * ended.
 */
export async function checkImages(
  images: Readonly<Record<string, ImagePin>>,
  store: Store,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  const { signal } = context;
  // An engine takes ten milliseconds and more for each answer, and gives several at once.
  const [listed, ...checked] = await Promise.all([
    engine.api.listImages(),
    ...Object.entries(images).map(([name, image]) => checkImage(name, image, store, engine)),
  ]);
  if (signal.aborted) return fail(interruption(signal));
  const present: PresentImage[] = [];
  for (const image of checked) {
    if (!image.ok) return image;
    present.push(image.value);
  }
  if (!listed.ok) return fail(await loadFailure('the list of images', listed.failure, engine));
  // Each was found by name above, so as many means the same.
  const expected = new Set(Object.values(images).flatMap((image) => image.names));
  const names = new Set(listed.value.flatMap((image) => image.names));
  if (names.size !== expected.size)
    return notAsPinned(
      'the set',
      `the engine lists ${names.size} names instead of ${expected.size}: ${[...names].join(', ')}`,
      engine,
    );
  // A graph driver has nothing but unpacked layers, and makes no garbage.
  if (engine.store === 'overlay2' || !engine.unpacks) return ok();
  const packed = present.filter((image) => !image.isUnpacked);
  // Removing a container makes containerd collect its garbage before it answers (a synchronous lease deletion);
  // nothing else would before the device's first start.
  for (const image of packed.length > 0 ? packed : present.slice(0, 1)) {
    const unpacked = await unpack(image, engine, signal);
    if (!unpacked.ok) return fail(await loadFailure(image.entry, unpacked.failure, engine));
  }
  return ok();
}

/** An image that the engine has as it should. */
interface PresentImage {
  /** Of the bundle. */
  readonly entry: string;
  /** One that the engine knows it by. */
  readonly name: string;
  readonly platform: string;
  /** False also where the engine does not say. */
  readonly isUnpacked: boolean;
}

async function checkImage(
  entry: string,
  image: ImagePin,
  store: Store,
  engine: EngineContainer,
): Promise<Result<PresentImage>> {
  const stated = await statedPlatform(store, image);
  let isUnpacked = false;
  for (const name of image.names) {
    const inspected = await inspect(name, engine);
    if (!inspected.ok) return fail(await loadFailure(entry, inspected.failure, engine));
    const detail = difference(name, image, stated, inspected.value, engine);
    if (detail !== undefined) return notAsPinned(entry, detail, engine);
    isUnpacked = (inspected.value.unpacked?.get(image.manifest.digest) ?? 0) > 0;
  }
  const [name] = image.names;
  if (name === undefined) throw new Error(`${image.reference} has no names`);
  const platform = stated === undefined ? image.platform : formatPlatform(stated);
  return ok({ entry, name, platform, isUnpacked });
}

/** The image's fault, unless the engine is dying and therefore says what is not so. */
async function notAsPinned(
  image: string,
  detail: string,
  engine: EngineContainer,
): Promise<Result<never>> {
  return fail(await loadFailure(image, { reason: 'api-failed', detail }, engine));
}

/** What is not as pinned, as a phrase. */
function difference(
  fullName: string,
  image: ImagePin,
  stated: Platform | undefined,
  inspected: InspectedImage,
  engine: EngineContainer,
): string | undefined {
  // A graph driver's images are known by their configs, containerd's by what their names point at.
  const digest =
    engine.store === 'overlay2' ? image.config.digest : (image.keptIndex ?? image.manifest).digest;
  if (inspected.id !== digest)
    return `the engine has ${inspected.id} as ${fullName}, not ${digest}`;
  const { os, architecture, variant, diffIds } = inspected;
  const found = platformOf(os, architecture, variant);
  if (stated !== undefined && (found === undefined || !samePlatform(found, stated)))
    return `the engine takes ${fullName} for one of ${[os, architecture, variant].filter(Boolean).join('/') || 'no platform'}, not of ${formatPlatform(stated)}`;
  if (diffIds.length !== image.layers.length)
    return `the engine has ${diffIds.length} layers of ${fullName}, not ${image.layers.length}`;
  return undefined;
}

/**
 * Before API 1.48 an image of another platform than the builder's is stored, and not unpacked. Creating a container
 * from it unpacks it in every engine, with no emulator; the container is removed again.
 */
async function unpack(
  { name, platform }: PresentImage,
  engine: EngineContainer,
  signal: AbortSignal,
): Promise<Result<void, ApiFailure>> {
  const container = await engine.api.createContainer(name, platform, signal);
  return container.ok ? engine.api.removeContainer(container.value) : container;
}

function inspect(
  name: string,
  engine: EngineContainer,
): Promise<Result<InspectedImage, ApiFailure>> {
  return engine.api.inspectImage(name, { manifests: isApi(engine.version, 1, 48) });
}

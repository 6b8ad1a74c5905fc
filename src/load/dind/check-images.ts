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
  for (const [name, image] of Object.entries(images)) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    const stated = await statedPlatform(store, image);
    for (const fullName of image.names) {
      const inspected = await inspect(fullName, engine);
      if (!inspected.ok) return fail(await loadFailure(name, inspected.failure, engine));
      const detail = difference(fullName, image, stated, inspected.value, engine);
      if (detail !== undefined) return fail({ reason: 'load-incomplete', image: name, detail });
    }
    const platform = stated === undefined ? image.platform : formatPlatform(stated);
    const unpacked = await unpack(image, platform, engine, context.signal);
    if (!unpacked.ok) return fail(await loadFailure(name, unpacked.failure, engine));
  }
  const collected = await collectGarbage(images, store, engine);
  if (!collected.ok) return fail(await loadFailure('the set', collected.failure, engine));
  const listed = await engine.api.listImages();
  if (!listed.ok) return fail(await loadFailure('the list of images', listed.failure, engine));
  // Each was found by name above, so as many means the same.
  const expected = new Set(Object.values(images).flatMap((image) => image.names));
  const names = new Set(listed.value.flatMap((image) => image.names));
  if (names.size !== expected.size)
    return fail({
      reason: 'load-incomplete',
      image: 'the set',
      detail: `the engine lists ${names.size} names instead of ${expected.size}: ${[...names].join(', ')}`,
    });
  return ok();
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
    return `the engine takes ${fullName} for one of ${[os, architecture, variant].filter(Boolean).join('/')}, not of ${formatPlatform(stated)}`;
  if (diffIds.length !== image.layers.length)
    return `the engine has ${diffIds.length} layers of ${fullName}, not ${image.layers.length}`;
  return undefined;
}

/**
 * Before API 1.48 an image of another platform than the builder's is stored, and not unpacked. Creating a container
 * from it unpacks it in every engine, with no emulator; the container is removed again. overlay2 has nothing but
 * unpacked layers.
 */
async function unpack(
  image: ImagePin,
  platform: string,
  engine: EngineContainer,
  signal: AbortSignal,
): Promise<Result<void, ApiFailure>> {
  const [name] = image.names;
  if (name === undefined) throw new Error(`${image.reference} has no names`);
  if (engine.store === 'overlay2' || !engine.unpacks) return ok();
  const before = await inspect(name, engine);
  if (!before.ok) return before;
  if ((before.value.unpacked?.get(image.manifest.digest) ?? 0) > 0) return ok();
  const container = await engine.api.createContainer(name, platform, signal);
  if (!container.ok) return container;
  return engine.api.removeContainer(container.value);
}

/**
 * Removing a container makes containerd collect its garbage before it answers (a synchronous lease deletion);
 * nothing else would before the device's first start. A graph driver makes no garbage, and of what is kept packed
 * there is none but the archives' own index.
 */
async function collectGarbage(
  images: Readonly<Record<string, ImagePin>>,
  store: Store,
  engine: EngineContainer,
): Promise<Result<void, ApiFailure>> {
  const image = Object.values(images)[0];
  const name = image?.names[0];
  if (image === undefined || name === undefined) return ok();
  if (engine.store === 'overlay2' || !engine.unpacks) return ok();
  const stated = await statedPlatform(store, image);
  const platform = stated === undefined ? image.platform : formatPlatform(stated);
  const container = await engine.api.createContainer(name, platform);
  return container.ok ? engine.api.removeContainer(container.value) : container;
}

function inspect(
  name: string,
  engine: EngineContainer,
): Promise<Result<InspectedImage, ApiFailure>> {
  return engine.api.inspectImage(name, { manifests: isApi(engine.version, 1, 48) });
}

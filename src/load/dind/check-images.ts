import type { Context } from '../../model/event.ts';
import type { ImagePin } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { interruption } from '../../store/file-failure.ts';
import type { ApiFailure, InspectedImage } from '../../tools/engine-api.ts';
import type { EngineContainer } from './engine-container.ts';
import { loadFailure } from './load-failure.ts';

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
    const unpacked = await unpack(first, image, engine, context.signal);
    if (!unpacked.ok) return fail(await loadFailure(name, unpacked.failure, engine));
  }
  const collected = await collectGarbage(images, engine);
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

/**
 * An image of another platform than the builder's is stored, and not unpacked. Creating a container from it
 * unpacks it in every engine, with no emulator; the container is removed again.
 */
async function unpack(
  name: string,
  image: ImagePin,
  engine: EngineContainer,
  signal: AbortSignal,
): Promise<Result<void, ApiFailure>> {
  const before = await inspect(name, engine);
  if (!before.ok) return before;
  if ((before.value.unpacked?.get(image.manifest.digest) ?? 0) > 0) return ok();
  const container = await engine.api.createContainer(name, image.platform, signal);
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

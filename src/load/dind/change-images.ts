import type { Context } from '../../model/event.ts';
import { hexOf } from '../../model/digest.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { ImageChanges, NamedImage } from '../../plan/changes.ts';
import type { Store } from '../../store/store.ts';
import type { ApiFailure } from '../../tools/engine-api.ts';
import type { EngineContainer } from './engine-container.ts';
import { loadFailure } from './load-failure.ts';
import { loadImages } from './load-images.ts';

/** No registry's: what is in the way of a name is kept under one of these until everything else is there. */
const ASIDE = 'stowage.local/aside';

/**
 * Turns the images of a running engine into the wanted ones. An image that goes, or gets other names, is held by a
 * name of ours meanwhile: so a name is free before something else is loaded under it (the engine would keep what had
 * it before under no name for ever), and layers that old and new image share are unpacked once. What is not held any
 * more the engine collects when it is asked to: check-images.ts.
 */
export async function changeImages(
  changes: ImageChanges,
  store: Store,
  engine: EngineContainer,
  context: Context,
): Promise<Result<void>> {
  const touched = [...changes.remove, ...changes.rename];
  const setAside = await each(engine, touched, async (image) => {
    const [first] = image.names;
    if (first === undefined) return ok();
    const tagged = await engine.api.tagImage(first, ASIDE, asideTag(image));
    return tagged.ok ? removeNames(engine, image.names) : tagged;
  });
  if (!setAside.ok) return setAside;
  const loaded = await loadImages(changes.load, store, engine, context);
  if (!loaded.ok) return loaded;
  const renamed = await each(engine, changes.rename, async (image) => {
    for (const name of image.newNames) {
      const colon = name.lastIndexOf(':');
      const tagged = await engine.api.tagImage(
        `${ASIDE}:${asideTag(image)}`,
        name.slice(0, colon),
        name.slice(colon + 1),
      );
      if (!tagged.ok) return tagged;
    }
    return ok();
  });
  if (!renamed.ok) return renamed;
  return each(engine, touched, (image) => removeNames(engine, [`${ASIDE}:${asideTag(image)}`]));
}

function asideTag(image: NamedImage): string {
  return hexOf(image.digest);
}

async function removeNames(
  engine: EngineContainer,
  names: readonly string[],
): Promise<Result<void, ApiFailure>> {
  for (const name of names) {
    const removed = await engine.api.removeImage(name);
    if (!removed.ok) return removed;
  }
  return ok();
}

async function each<I extends NamedImage>(
  engine: EngineContainer,
  images: readonly I[],
  work: (image: I) => Promise<Result<void, ApiFailure>>,
): Promise<Result<void>> {
  for (const image of images) {
    const done = await work(image);
    if (!done.ok)
      return fail(await loadFailure(image.names[0] ?? image.digest, done.failure, engine));
  }
  return ok();
}

import type { Context } from '../../model/event.ts';
import { hexOf } from '../../model/digest.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { hybridArchive } from '../../oci/hybrid-archive.ts';
import type { ContainerEngine } from '../../tools/container-engine.ts';
import { brokenBlob } from '../broken-blob.ts';
import type { BuildRequest } from '../loader.ts';

/**
 * Hands the pinned dind image from the store to the builder's engine and returns its ID there. It stays for
 * the next build, under a name that holds its digest; the ID is compared, as anybody may use that name.
 */
export async function loadDindImage(
  outer: ContainerEngine,
  request: BuildRequest,
  builderPlatform: string,
  context: Context,
): Promise<Result<string>> {
  const dind = request.pins.dind;
  const pin = dind?.platforms[builderPlatform];
  if (dind === undefined || pin === undefined)
    return fail({
      reason: 'platform-not-offered',
      image: 'engine.dind',
      reference: dind?.reference ?? 'no dind image is pinned',
      wanted: builderPlatform,
      offered: Object.keys(dind?.platforms ?? {}),
    });
  const name = `stowage.local/dind:${hexOf(pin.manifest.digest).slice(0, 32)}`;
  // The ID of an image is its config's digest in graph-driver stores and its manifest's in containerd stores.
  const right = [pin.config.digest, pin.manifest.digest, hexOf(pin.config.digest)] as string[];
  const present = await outer.imageId(name, context.signal);
  if (!present.ok) return present;
  if (present.value !== undefined && right.includes(present.value)) return ok(present.value);

  const archive = hybridArchive([{ ...pin, names: [name] }], (digest) =>
    request.store.blobPath(digest),
  );
  const loaded = await outer.loadImage(archive, context.signal);
  const broken = brokenBlob(archive, 'engine.dind', request.store);
  if (broken !== undefined) return fail(broken);
  if (!loaded.ok) return loaded;
  const id = await outer.imageId(name, context.signal);
  if (!id.ok) return id;
  if (id.value !== undefined && right.includes(id.value)) return ok(id.value);
  return fail({
    reason: 'load-incomplete',
    image: 'engine.dind',
    detail: `the builder's engine has ${id.value ?? 'nothing'} as ${name}, not ${pin.manifest.digest}`,
  });
}

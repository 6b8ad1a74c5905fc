import { readFile } from 'node:fs/promises';
import type { Descriptor } from '../model/descriptor.ts';
import { digestOf } from '../model/digest.ts';
import { errorCode } from '../model/file-failure.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import { formatPlatform, parsePlatform, platformOf } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readDiffIds, readImageParts, readStatedPlatform } from '../oci/image-parts.ts';
import type { Store } from '../store/store.ts';

/**
 * What the pinned digests stand for is what the pins say beside them: the manifest's config and layers, the platform
 * of the config, and of the target. Fetching looks at the same, but pins are a file that people and bots edit, and
 * an engine would only find out in the middle of a load, or never.
 */
export async function checkDocuments(store: Store, pins: TargetPins): Promise<Result<void>> {
  for (const [name, image] of Object.entries(pins.images)) {
    const checked = await checkImage(name, image, pins.target.platform, store);
    if (!checked.ok) return checked;
  }
  return ok();
}

async function checkImage(
  name: string,
  image: ImagePin,
  target: string,
  store: Store,
): Promise<Result<void>> {
  const contradicted = (detail: string): Result<never> =>
    fail({ reason: 'pin-contradicted', image: name, reference: image.reference, detail });
  const manifest = await readDocument(image.manifest, name, store);
  if (!manifest.ok) return manifest;
  const document = readImageParts(manifest.value);
  if (document?.kind !== 'manifest')
    return contradicted(`${image.manifest.digest} is no image manifest`);
  const pinned = [image.config, ...image.layers];
  const stated = document.parts;
  if (stated.length !== pinned.length)
    return contradicted(
      `${stated.length - 1} layers are in its manifest, ${pinned.length - 1} in the pins`,
    );
  for (const [index, part] of stated.entries()) {
    const pin = pinned[index];
    const what = index === 0 ? 'config' : `layer ${index}`;
    if (part.digest !== pin?.digest)
      return contradicted(
        `its manifest has ${part.digest} as ${what}, the pins ${pin?.digest ?? 'none'}`,
      );
    if (part.size !== pin.size)
      return contradicted(`its manifest gives ${what} ${part.size} bytes, the pins ${pin.size}`);
  }
  const config = await readDocument(image.config, name, store);
  if (!config.ok) return config;
  const diffIds = readDiffIds(config.value);
  if (diffIds === undefined)
    return contradicted(`its config ${image.config.digest} is no image configuration`);
  if (diffIds.length !== image.layers.length)
    return contradicted(
      `its config tells of ${diffIds.length} layers, its manifest of ${image.layers.length}`,
    );
  return checkPlatform(name, image, target, config.value);
}

function checkPlatform(
  name: string,
  image: ImagePin,
  target: string,
  config: Uint8Array,
): Result<void> {
  const mismatch = (expected: string, actual: string): Result<never> =>
    fail({
      reason: 'platform-mismatch',
      image: name,
      reference: image.reference,
      expected,
      actual,
    });
  const [os, architecture, variant] = readStatedPlatform(config);
  const stated = platformOf(os, architecture, variant);
  const wanted = parsePlatform(image.platform);
  const board = parsePlatform(target);
  if (!wanted.ok) return wanted;
  if (!board.ok) return board;
  if (wanted.value.arch !== board.value.arch) return mismatch(target, image.platform);
  const parts = [os, architecture, variant].filter(
    (part) => typeof part === 'string' && part !== '',
  );
  if (stated === undefined) return mismatch(image.platform, parts.join('/') || 'nothing');
  // A config that states no variant contradicts none: older tools left it to the index.
  const hasVariant = typeof variant === 'string' && variant !== '';
  const fits =
    stated.arch === wanted.value.arch && (!hasVariant || stated.variant === wanted.value.variant);
  return fits ? ok() : mismatch(image.platform, formatPlatform(stated));
}

/** Manifests and configs are small: whole, and proved to be what was pinned. */
async function readDocument(
  blob: Descriptor,
  owner: string,
  store: Store,
): Promise<Result<Uint8Array>> {
  const { digest } = blob;
  try {
    const bytes = await readFile(store.blobPath(digest));
    if (digestOf(bytes) === digest) return ok(bytes);
    return fail({
      reason: 'blob-bad',
      problem: 'wrong digest',
      digest,
      owner,
      store: store.directory,
    });
  } catch (error) {
    const problem = errorCode(error) === 'ENOENT' ? 'missing' : 'unreadable';
    return fail({ reason: 'blob-bad', problem, digest, owner, store: store.directory });
  }
}

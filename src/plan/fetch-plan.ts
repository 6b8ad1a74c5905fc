import type { Descriptor } from '../model/descriptor.ts';
import type { InvalidDocument } from '../model/failure.ts';
import { parseSource } from '../model/image-source.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Platform } from '../model/platform.ts';
import { formatPlatform, parsePlatform } from '../model/platform.ts';
import type { Reference } from '../model/reference.ts';
import { nameOf, parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { LocatedSource, Wanted } from './wanted.ts';

/** One image to have in the store. */
export interface ImageToFetch {
  /** Its name in the bundle, or `dind`. */
  readonly owner: string;
  readonly reference: Reference;
  /** What the layout in the store is called by: `ghcr.io/x/y:1`. */
  readonly name: string;
  readonly platform: Platform;
  /** Where it is on this machine; absent for a registry's. */
  readonly local?: LocatedSource;
  /** The index, where it is kept. */
  readonly index?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What the messages and the store call the loader's image. */
export const DIND = 'dind';

/** Where a bundle has its local images: pins know them as the bundle writes them only. */
export type Locations = Pick<Wanted, 'images' | 'dindLocal'>;

/**
 * The images of a target, and the loader's for one builder platform where it is wanted. Fails with
 * invalid-document where the pins name what can't be.
 */
export function imagesToFetch(
  pins: TargetPins,
  dindPlatform: Platform | undefined,
  locations?: Locations,
): Result<readonly ImageToFetch[]> {
  const images: ImageToFetch[] = [];
  for (const [owner, pin] of Object.entries(pins.images)) {
    const image = imageOf(owner, pin, pin.platform, pin, locations?.images[owner]?.local);
    if (!image.ok) return image;
    images.push(image.value);
  }
  if (dindPlatform === undefined) return ok(images);
  const platform = formatPlatform(dindPlatform);
  const pin = pins.dind?.platforms[platform];
  if (pins.dind === undefined || pin === undefined)
    return invalidPins('dind', `it is not pinned for this builder's platform, ${platform}`);
  const image = imageOf(DIND, pins.dind, platform, pin, locations?.dindLocal);
  return image.ok ? ok([...images, image.value]) : image;
}

/** All that an image consists of, each digest once. */
export function blobsOf(
  image: Pick<ImageToFetch, 'manifest' | 'config' | 'layers'> & {
    readonly index?: Descriptor | undefined;
  },
): readonly Descriptor[] {
  const index = image.index === undefined ? [] : [image.index];
  const all = [...index, image.manifest, image.config, ...image.layers];
  return [...new Map(all.map((blob) => [blob.digest, blob])).values()];
}

/** Bytes of descriptors, each digest once. */
export function bytesOf(blobs: readonly Pick<Descriptor, 'digest' | 'size'>[]): number {
  const sizes = new Map(blobs.map((blob) => [blob.digest, blob.size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

function imageOf(
  owner: string,
  pin: { readonly reference: string; readonly from?: string; readonly keptIndex?: Descriptor },
  platformText: string,
  parts: Pick<ImageToFetch, 'manifest' | 'config' | 'layers'>,
  located: LocatedSource | undefined,
): Result<ImageToFetch> {
  const reference = parseReference(pin.reference);
  if (!reference.ok) return invalidPins(owner, reference.failure.detail);
  const platform = parsePlatform(platformText);
  if (!platform.ok) return invalidPins(owner, `${platformText} is no platform`);
  const local = pin.from === undefined ? ok(undefined) : localOf(owner, pin.from, located);
  if (!local.ok) return local;
  const { manifest, config, layers } = parts;
  return ok({
    owner,
    reference: reference.value,
    name: taggedName(reference.value) ?? nameOf(reference.value),
    platform: platform.value,
    ...(local.value === undefined ? {} : { local: local.value }),
    ...(pin.keptIndex === undefined ? {} : { index: pin.keptIndex }),
    manifest,
    config,
    layers,
  });
}

/** As the bundle locates it; pins alone are read from the working directory. */
function localOf(
  owner: string,
  from: string,
  located: LocatedSource | undefined,
): Result<LocatedSource> {
  if (located?.text === from) return ok(located);
  const source = parseSource(from);
  if (!source.ok) return invalidPins(owner, source.failure.detail);
  if (source.value.kind === 'registry') return invalidPins(owner, `${from} is a registry's`);
  const { local } = source.value;
  return ok({
    ...local,
    ...(local.path === undefined ? {} : { location: local.path }),
    ...(local.runRoot === undefined ? {} : { runLocation: local.runRoot }),
  });
}

function invalidPins(owner: string, detail: string): Result<never> {
  const problem: InvalidDocument = {
    reason: 'invalid-document',
    kind: 'pins',
    file: 'pins',
    problems: [{ path: owner, detail }],
  };
  return fail(problem);
}

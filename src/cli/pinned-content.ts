import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { parsePlatform } from '../model/platform.ts';
import type { Pins, TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { blobsOf, DIND, imagesToFetch } from '../plan/fetch-plan.ts';
import type { KnownImage } from '../store/adopt-archives.ts';
import type { SelectedFile, SelectedImage, Selection } from '../store/export-store.ts';
import { readPinsFile } from './inputs.ts';

/** What pins files name of a store's content: all their targets, and the loader's image for all builders. */

export async function readAllPins(files: readonly string[]): Promise<Result<readonly Pins[]>> {
  const all: Pins[] = [];
  for (const file of files) {
    const pins = await readPinsFile(file);
    if (!pins.ok) return pins;
    if (pins.value === undefined) return fail({ reason: 'no-pins', file });
    all.push(pins.value);
  }
  return ok(all);
}

export function targetsOf(pins: readonly Pins[]): readonly TargetPins[] {
  return pins.flatMap(({ targets }) => Object.values(targets));
}

/** Everything that pins mention by a digest. */
export function digestsOf(targets: readonly TargetPins[]): ReadonlySet<Digest> {
  const digests = new Set<Digest>();
  for (const { images, files, dind } of targets) {
    for (const image of [...Object.values(images), ...(dind === undefined ? [] : [dind])])
      if (image.index !== undefined) digests.add(image.index);
    for (const image of [...Object.values(images), ...Object.values(dind?.platforms ?? {})])
      for (const { digest } of [image.manifest, image.config, ...image.layers]) digests.add(digest);
    for (const file of Object.values(files)) digests.add(file.sha256);
  }
  return digests;
}

export function selectionOf(targets: readonly TargetPins[]): Result<Selection> {
  const images: SelectedImage[] = [];
  const files: SelectedFile[] = [];
  for (const target of targets) {
    const own = imagesToFetch(target, undefined);
    if (!own.ok) return own;
    const loaders = loaderImages(target);
    if (!loaders.ok) return loaders;
    for (const { owner, name, manifest, ...parts } of [...own.value, ...loaders.value]) {
      const blobs: readonly Descriptor[] = blobsOf({ manifest, ...parts });
      images.push({ owner, name, manifest, blobs, optional: owner === DIND });
    }
    for (const [path, { sha256, size, url }] of Object.entries(target.files))
      files.push({ path, digest: sha256, size, optional: url === undefined });
  }
  return ok({ images, files });
}

/** What ties the digest by which somebody called an image to its manifest. */
export function knownImages(targets: readonly TargetPins[]): Result<readonly KnownImage[]> {
  const known: KnownImage[] = [];
  for (const target of targets) {
    const own = imagesToFetch(target, undefined);
    if (!own.ok) return own;
    const loaders = loaderImages(target);
    if (!loaders.ok) return loaders;
    for (const { owner, name, manifest } of [...own.value, ...loaders.value]) {
      const index = owner === DIND ? target.dind?.index : target.images[owner]?.index;
      const digests = [manifest.digest, ...(index === undefined ? [] : [index])];
      known.push({ digests, manifest: manifest.digest, name });
    }
  }
  return ok(known);
}

function loaderImages(target: TargetPins): ReturnType<typeof imagesToFetch> {
  const images = [];
  for (const name of Object.keys(target.dind?.platforms ?? {})) {
    const platform = parsePlatform(name);
    if (!platform.ok) return platform;
    const all = imagesToFetch({ ...target, images: {} }, platform.value);
    if (!all.ok) return all;
    images.push(...all.value);
  }
  return ok(images);
}

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeImage, makeLayer, noise, writeLayout } from '../test/rig/image.ts';
import type { Content, Image, Layer } from '../test/rig/image.ts';
import { programOwner } from '../test/rig/owner.ts';
import { push, pushFrom } from '../test/rig/publish.ts';
import type { Registry } from '../test/rig/registry.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';

/**
 * Seven images shaped like HAOS's set: 16 unique layers of about 196 MB compressed and 560 MB unpacked, of which
 * one, the base of 16 MB, is in all seven. Byte for byte the same in every run.
 */
export interface SevenImages {
  readonly images: ReadonlyMap<string, Image>;
  /** The layer that all share. */
  readonly base: Layer;
  /** Bytes of all blobs, each once. */
  readonly uniqueBytes: number;
  /** Bytes of the blobs of each image, summed: what one download an image moves. */
  readonly separateBytes: number;
  /** Digests of all layers, each once. */
  readonly layers: readonly string[];
}

/** Megabytes, compressed, of each image's own layers above the base. */
const OWN: Readonly<Record<string, readonly number[]>> = {
  supervisor: [38, 20, 6],
  core: [14, 6, 4],
  cli: [12, 4],
  dns: [10, 6],
  audio: [18, 8],
  multicast: [9],
  observer: [13, 12],
};
const BASE = 16;
const MEGABYTE = 1_000_000;
/** Bytes, compressed: some 22,000 files in all, as measured in HAOS's set. */
const SMALL_FILE = 5_000;
const LARGE_FILE = 400_000;

/** Publishes the seven as `bench/NAME:1`. */
export async function pushSevenImages(
  registry: Registry,
  platform: string,
  scale = 1,
): Promise<SevenImages> {
  let seed = 7_000;
  const layer = async (megabytes: number): Promise<Layer> => {
    seed += 1;
    return makeLayer(filesOf(seed, Math.floor(megabytes * MEGABYTE * scale)));
  };
  const base = await layer(BASE);
  const images = new Map<string, Image>();
  for (const [name, own] of Object.entries(OWN)) {
    const layers = [base];
    for (const megabytes of own) layers.push(await layer(megabytes));
    const image = await makeImage({ platform, layers });
    await push(registry, `bench/${name}:1`, image);
    images.set(name, image);
  }
  const sizes = new Map<string, number>();
  let separateBytes = 0;
  for (const image of images.values())
    for (const [digest, blob] of image.blobs) {
      sizes.set(digest, blob.length);
      separateBytes += blob.length;
    }
  return {
    images,
    base,
    uniqueBytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
    separateBytes,
    layers: [
      ...new Set([...images.values()].flatMap((image) => image.layers.map((l) => l.digest))),
    ],
  };
}

/** Publishes `bench/dns:RELEASE`, from 2 on: dns as of a later release, all its own layers changed. */
export async function pushNextDns(
  registry: Registry,
  platform: string,
  { base }: SevenImages,
  release: number,
  scale = 1,
): Promise<void> {
  const layers = [base];
  for (const [index, megabytes] of (OWN['dns'] ?? []).entries()) {
    const files = filesOf(8_000 + 10 * release + index, Math.floor(megabytes * MEGABYTE * scale));
    layers.push(await makeLayer(files));
  }
  await push(registry, `bench/dns:${release}`, await makeImage({ platform, layers }));
}

/**
 * A layer's files for `size` compressed bytes: a library or two of some megabytes and many small files, as in
 * HAOS's images. What is in images shrinks to about a third: noise, and twice as much of what gzip swallows.
 */
export function filesOf(seed: number, size: number): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  const random = noise(seed, size);
  let offset = 0;
  for (let number = 0; offset < size; number++) {
    const length = Math.min(size - offset, number % 100 === 0 ? LARGE_FILE : SMALL_FILE);
    const file = Buffer.alloc(Math.ceil(length * 2.85), `line ${number} of ${seed}\n`);
    file.set(random.subarray(offset, offset + length));
    files[`usr/lib/${seed}/part-${number % 40}/file-${number}`] = file;
    offset += length;
  }
  return files;
}

/** Publishes `bench/large:1`: one layer of `size` bytes that is never in memory, and on disk only in the registry. */
export async function pushLargeImage(
  registry: Registry,
  platform: string,
  size: number,
): Promise<void> {
  const owner = programOwner();
  try {
    const layout = join(temporaryTree(owner), 'layout');
    const blobs = join(layout, 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const path = join(layout, 'layer');
    await writeFile(path, '');
    const file = await open(path, 'r+');
    // A hole: what its bytes are does not matter to who hashes and moves them.
    await file.truncate(size);
    await file.close();
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path, { highWaterMark: MEGABYTE }))
      hash.update(chunk as Buffer);
    const digest = `sha256:${hash.digest('hex')}`;
    const content = await largeContent(platform, digest, size);
    await writeLayout(layout, content);
    await rename(path, join(blobs, digest.slice('sha256:'.length)));
    await pushFrom(registry, 'bench/large:1', `oci:${layout}:image`);
  } finally {
    await owner.end();
  }
}

async function largeContent(platform: string, digest: string, size: number): Promise<Content> {
  // makeImage wants the bytes; the rest of what it makes is what is needed.
  const layer = { blob: new Uint8Array(0), digest, diffId: digest, compressed: false };
  const image = await makeImage({ platform, layers: [layer] });
  const blobs = new Map(image.blobs);
  blobs.delete(digest);
  const manifest = JSON.parse(
    Buffer.from(blobs.get(image.descriptor.digest) ?? '').toString('utf8'),
  ) as { layers: { size: number }[] };
  blobs.delete(image.descriptor.digest);
  for (const part of manifest.layers) part.size = size;
  const bytes = Buffer.from(JSON.stringify(manifest));
  const own = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  blobs.set(own, bytes);
  return { descriptor: { ...image.descriptor, digest: own, size: bytes.length }, blobs };
}

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex, digestOf, parseDigest } from '../model/digest.ts';
import { formatPlatform, platformOf } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { ImageParts } from '../oci/image-parts.ts';
import { readImageParts, readStatedPlatform } from '../oci/image-parts.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { FinishedImage } from './finished.ts';
import { listFinished } from './finished.ts';
import { lastUse } from './last-use.ts';
import type { Shelf, Store } from './store.ts';
import { contentPath } from './store.ts';

/** What lies in a store, as far as names and small documents tell: nothing big is read. */
export interface Inventory {
  readonly images: readonly InventoryImage[];
  readonly blobs: ReadonlyMap<Digest, InventoryContent>;
  readonly files: ReadonlyMap<Digest, InventoryContent>;
  /** Data images that builds left for others. */
  readonly finished: readonly FinishedImage[];
}

export interface InventoryContent {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly lastUse: number;
}

export interface InventoryImage {
  /** The layout's name in images/. */
  readonly directory: string;
  /** `ghcr.io/x/y:1`; the directory's where the layout does not say. */
  readonly name: string;
  readonly manifest: Digest;
  /** Of the manifest; '' where it can't be read. */
  readonly mediaType: string;
  /** As its config states it; absent where that is nothing a Linux device has. */
  readonly platform?: string;
  /** All it consists of and all that belongs to it (its index, its signatures), each once. */
  readonly blobs: readonly Descriptor[];
  /** Bytes of all its blobs that are there. */
  readonly size: number;
  readonly lastUse: number;
  /** What it lacks to be an image; a phrase. */
  readonly problem?: string;
}

/** Larger is no manifest: the distribution spec lets registries refuse what is over 4 MiB. */
const MOST_DOCUMENT = 4 * 1024 * 1024;
const LAYOUT_NAME = /^(.*)@sha256_([0-9a-f]{64})$/;

/**
 * Reads a store while others work in it: what comes or goes meanwhile may or may not be in the result. Fails with
 * access-denied.
 */
export async function takeInventory(store: Store): Promise<Result<Inventory>> {
  try {
    // Images first: an image whose layout is there has had its blobs before.
    const directories = await namesIn(join(store.directory, 'images'));
    const blobs = await readShelf(store, 'blobs');
    const files = await readShelf(store, 'files');
    const documents = new Documents(store, blobs);
    const images: InventoryImage[] = [];
    for (const directory of directories.sort()) {
      const [, name, hex] = LAYOUT_NAME.exec(directory) ?? [];
      if (name === undefined || hex === undefined) continue;
      const image = await readImage(store, documents, directory, name, digestFromHex(hex));
      if (image !== undefined) images.push(image);
    }
    return ok({ images, blobs, files, finished: await listFinished(store) });
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'reading the store'));
  }
}

/**
 * Every blob that one of the images needs, and what points at one of them from elsewhere: an index that was kept, or
 * a referrer such as a signature.
 */
export async function blobsNeeded(
  store: Store,
  inventory: Inventory,
  images: readonly InventoryImage[],
): Promise<ReadonlySet<Digest>> {
  const needed = new Set(images.flatMap((image) => image.blobs.map((blob) => blob.digest)));
  const manifests = new Set(images.map((image) => image.manifest));
  const documents = new Documents(store, inventory.blobs);
  for (const { digest, size } of inventory.blobs.values()) {
    if (needed.has(digest) || size > MOST_DOCUMENT) continue;
    const parts = await documents.parts(digest);
    if (parts === undefined) continue;
    const isIndexOfOurs =
      parts.kind === 'index' && parts.parts.some((part) => manifests.has(part.digest));
    const isAboutOurs = parts.subject !== undefined && manifests.has(parts.subject);
    if (isIndexOfOurs || isAboutOurs) needed.add(digest);
    if (isAboutOurs) for (const part of parts.parts) needed.add(part.digest);
  }
  return needed;
}

async function readShelf(
  store: Store,
  shelf: Shelf,
): Promise<ReadonlyMap<Digest, InventoryContent>> {
  const contents = new Map<Digest, InventoryContent>();
  for (const name of await namesIn(join(store.directory, shelf, 'sha256'))) {
    const digest = parseDigest(`sha256:${name}`);
    if (digest === undefined) continue;
    const found = await stat(contentPath(store, shelf, digest)).catch(() => undefined);
    const used = await lastUse(store, shelf, digest);
    if (found !== undefined && used !== undefined)
      contents.set(digest, { digest, size: found.size, lastUse: used });
  }
  return contents;
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

async function readImage(
  store: Store,
  documents: Documents,
  directory: string,
  fileName: string,
  manifest: Digest,
): Promise<InventoryImage | undefined> {
  const path = join(store.directory, 'images', directory);
  const layout = await readLayout(path);
  // Removed since its directory was read.
  if (layout === undefined) return undefined;
  const own = await documents.parts(manifest);
  const blobs = new Map<Digest, Descriptor>();
  const add = (descriptor: Descriptor): void => {
    if (!blobs.has(descriptor.digest)) blobs.set(descriptor.digest, descriptor);
  };
  add({ digest: manifest, size: documents.size(manifest) ?? 0, mediaType: own?.mediaType ?? '' });
  for (const part of own?.parts ?? []) add(part);
  // Whatever the layout names besides belongs to the image, with all that it consists of.
  for (const digest of layout.digests) {
    if (digest === manifest || documents.size(digest) === undefined) continue;
    const parts = await documents.parts(digest);
    add({ digest, size: documents.size(digest) ?? 0, mediaType: parts?.mediaType ?? '' });
    if (parts?.kind === 'manifest') for (const part of parts.parts) add(part);
  }
  const config = own?.kind === 'manifest' ? own.parts[0] : undefined;
  const platform =
    config === undefined ? undefined : platformOf(...(await documents.platform(config.digest)));
  const missing = [...blobs.keys()].filter((digest) => documents.size(digest) === undefined);
  const problem = layout.intact
    ? describeLack(own, missing)
    : 'its layout is damaged or half-written';
  return {
    directory,
    name: layout.name ?? fileName,
    manifest,
    mediaType: own?.mediaType ?? '',
    ...(platform === undefined ? {} : { platform: formatPlatform(platform) }),
    blobs: [...blobs.values()],
    size: [...blobs.keys()].reduce((sum, digest) => sum + (documents.size(digest) ?? 0), 0),
    lastUse: (await lastUse(store, 'blobs', manifest)) ?? layout.changed,
    ...(problem === undefined ? {} : { problem }),
  };
}

function describeLack(own: ImageParts | undefined, missing: readonly Digest[]): string | undefined {
  if (missing.length > 0) return `${missing.join(', ')} is missing`;
  return own?.kind === 'manifest' ? undefined : 'its manifest is no manifest';
}

interface Layout {
  readonly name?: string;
  readonly digests: readonly Digest[];
  readonly intact: boolean;
  readonly changed: number;
}

async function readLayout(path: string): Promise<Layout | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  const texts = new Map<string, string>();
  for (const name of await readdir(path).catch(() => [])) {
    const file = await stat(join(path, name)).catch(() => undefined);
    if (file?.isFile() === true && file.size <= MOST_DOCUMENT)
      texts.set(name, await readFile(join(path, name), 'latin1').catch(() => ''));
  }
  const name = /"org\.opencontainers\.image\.ref\.name"\s*:\s*"([^"\\]+)"/.exec(
    texts.get('index.json') ?? '',
  )?.[1];
  const digests = [...texts.values()].flatMap((text) =>
    [...text.matchAll(/sha256:[0-9a-f]{64}/g)].flatMap(([digest]) => parseDigest(digest) ?? []),
  );
  const hasBlobs = (await stat(join(path, 'blobs')).catch(() => undefined)) !== undefined;
  return {
    ...(name === undefined ? {} : { name }),
    digests: [...new Set(digests)],
    intact: name !== undefined && texts.has('oci-layout') && hasBlobs,
    changed: found.ctimeMs,
  };
}

/** The small documents of a store, each read once. What is not what its digest says is none. */
class Documents {
  readonly #store: Store;
  readonly #blobs: ReadonlyMap<Digest, InventoryContent>;
  readonly #known = new Map<Digest, ImageParts | undefined>();

  constructor(store: Store, blobs: ReadonlyMap<Digest, InventoryContent>) {
    this.#store = store;
    this.#blobs = blobs;
  }

  size(digest: Digest): number | undefined {
    return this.#blobs.get(digest)?.size;
  }

  async parts(digest: Digest): Promise<ImageParts | undefined> {
    if (!this.#known.has(digest)) {
      const bytes = await this.#read(digest);
      this.#known.set(digest, bytes === undefined ? undefined : readImageParts(bytes));
    }
    return this.#known.get(digest);
  }

  async platform(config: Digest): Promise<readonly [unknown, unknown, unknown]> {
    return readStatedPlatform((await this.#read(config)) ?? Buffer.of());
  }

  async #read(digest: Digest): Promise<Buffer | undefined> {
    if ((this.size(digest) ?? Infinity) > MOST_DOCUMENT) return undefined;
    const bytes = await readFile(this.#store.blobPath(digest)).catch(() => undefined);
    return bytes !== undefined && digestOf(bytes) === digest ? bytes : undefined;
  }
}

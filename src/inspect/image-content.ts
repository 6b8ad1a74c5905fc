import { chainIds } from '../data-root/containerd-store.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import { isAttestation } from '../model/media-types.ts';
import { formatPlatform, platformOf } from '../model/platform.ts';
import type { ImageParts } from '../oci/image-parts.ts';
import { readDiffIds, readImageParts, readStatedPlatform } from '../oci/image-parts.ts';
import type { Blobs } from './blobs.ts';
import { readDocument, unpackedSize } from './blobs.ts';
import type { ContentImage, ContentLayer } from './contents.ts';

/** What names stand for, in an archive, a store or an engine. */
export interface NamedTarget {
  readonly name?: string;
  readonly digest: Digest;
}

/**
 * The images behind names: of an index each whose manifest is there. An image that several names stand for comes once.
 */
export async function imagesOf(
  blobs: Blobs,
  targets: readonly NamedTarget[],
): Promise<ContentImage[]> {
  const names = new Map<Digest, string[]>();
  for (const { name, digest } of targets) {
    const known = names.get(digest) ?? [];
    if (name !== undefined && !known.includes(name)) known.push(name);
    names.set(digest, known);
  }
  const reader = new ImageContent(blobs);
  const images = new Map<string, ContentImage>();
  for (const [digest, given] of names)
    for (const image of await reader.imagesAt(digest)) {
      const key = image.manifest ?? digest;
      const before = images.get(key);
      const all = [...new Set([...(before?.names ?? []), ...given])].sort();
      // An index that one of the names stands for says more than the manifest alone.
      images.set(key, { ...image, ...(before?.index === undefined ? {} : before), names: all });
    }
  return sortImages([...images.values()]);
}

export function sortImages(images: readonly ContentImage[]): ContentImage[] {
  const text = ({ names, target, platform, manifest, config }: ContentImage): string =>
    [names[0] ?? '~', target ?? '', platform ?? '', manifest ?? config ?? ''].join('\0');
  return [...images].sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

/** Layers by what a manifest and its config say of them. */
export function layersOf(
  descriptors: readonly Descriptor[],
  diffIds: readonly Digest[] | undefined,
): ContentLayer[] {
  const chain = diffIds === undefined ? [] : chainIds(diffIds);
  const fits = diffIds?.length === descriptors.length;
  return descriptors.map(({ digest, size, mediaType }, i) => {
    const [diffId, chainId] = fits ? [diffIds[i], chain[i]] : [];
    return {
      digest,
      ...(diffId === undefined ? {} : { diffId }),
      ...(chainId === undefined ? {} : { chainId }),
      ...(mediaType === '' ? {} : { mediaType }),
      packed: size,
    };
  });
}

export function platformIn(config: Uint8Array): string | undefined {
  const platform = platformOf(...readStatedPlatform(config));
  return platform === undefined ? undefined : formatPlatform(platform);
}

class ImageContent {
  readonly #blobs: Blobs;
  readonly #unpacked = new Map<Digest, number | undefined>();
  /** Undefined while it is being read: blobs need not be what their digests say, so that an index may list itself. */
  readonly #known = new Map<Digest, readonly ContentImage[] | undefined>();

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  /** Each digest is read once: indexes that list indexes twice over would else grow without end. */
  async imagesAt(digest: Digest): Promise<readonly ContentImage[]> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    if (this.#known.has(digest)) {
      const problem = `its index ${digest} lists itself`;
      return [{ names: [], layers: [], documents: 0, index: digest, problem }];
    }
    this.#known.set(digest, undefined);
    const images = await this.#read(digest);
    this.#known.set(digest, images);
    return images;
  }

  async #read(digest: Digest): Promise<ContentImage[]> {
    const bytes = await readDocument(this.#blobs, digest);
    const bare = { names: [], layers: [], documents: 0 };
    if (bytes === undefined)
      return [{ ...bare, manifest: digest, problem: `its manifest ${digest} is missing` }];
    const parts = readImageParts(bytes);
    if (parts === undefined)
      return [{ ...bare, manifest: digest, problem: `${digest} is no manifest and no index` }];
    if (parts.kind === 'manifest') return [await this.#image(digest, bytes.length, parts)];
    const images = new Map<Digest, ContentImage>();
    const statements = attestationsIn(bytes);
    for (const { digest: part } of parts.parts) {
      if (statements.has(part) || this.#blobs.size(part) === undefined) continue;
      for (const image of await this.imagesAt(part)) {
        const documents = image.documents + bytes.length;
        images.set(image.manifest ?? part, { ...image, index: digest, documents });
      }
    }
    return images.size > 0
      ? [...images.values()]
      : [{ ...bare, index: digest, problem: `no image of its index ${digest} is there` }];
  }

  async #image(manifest: Digest, size: number, { parts }: ImageParts): Promise<ContentImage> {
    const [config, ...descriptors] = parts;
    const bytes = config && (await readDocument(this.#blobs, config.digest));
    const platform = bytes && platformIn(bytes);
    const diffIds = bytes && readDiffIds(bytes);
    const layers: ContentLayer[] = [];
    const missing = bytes === undefined && config !== undefined ? [config.digest] : [];
    for (const layer of layersOf(descriptors, diffIds)) {
      const { digest } = layer;
      if (digest !== undefined && this.#blobs.size(digest) === undefined) missing.push(digest);
      const unpacked = digest === undefined ? undefined : await this.#unpackedSize(digest);
      layers.push({ ...layer, ...(unpacked === undefined ? {} : { unpacked }) });
    }
    return {
      names: [],
      manifest,
      ...(config === undefined ? {} : { config: config.digest }),
      ...(platform === undefined ? {} : { platform }),
      layers,
      documents: size + (config?.size ?? 0),
      ...(missing.length === 0 ? {} : { problem: `${missing.join(', ')} is missing` }),
    };
  }

  async #unpackedSize(digest: Digest): Promise<number | undefined> {
    if (!this.#unpacked.has(digest))
      this.#unpacked.set(digest, await unpackedSize(this.#blobs, digest));
    return this.#unpacked.get(digest);
  }
}

/** Manifests in an index that are statements about images: model/media-types.ts, `isAttestation`. */
function attestationsIn(index: Buffer): ReadonlySet<Digest> {
  const { manifests } = JSON.parse(index.toString('utf8')) as { manifests: unknown };
  const found = new Set<Digest>();
  for (const entry of Array.isArray(manifests) ? (manifests as Entry[]) : []) {
    const digest = parseDigest(entry.digest);
    if (digest !== undefined && isAttestation(entry)) found.add(digest);
  }
  return found;
}

interface Entry {
  readonly digest?: unknown;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

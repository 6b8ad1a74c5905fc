import type { EngineStore } from '../model/bundle.ts';
import type { Digest } from '../model/digest.ts';

/** What is in something that holds images: all of it told by small documents, databases and directories. */
export interface Contents {
  readonly kind: ContentKind;
  /** As it was given. */
  readonly source: string;
  /** One for each manifest, or config where there are no manifests, whatever its names; in the order of names. */
  readonly images: readonly ContentImage[];
  /** Of pins and stores the extra files; of data images what lies outside the data root. */
  readonly files: readonly ContentFile[];
  /** Of data images. */
  readonly fileSystem?: FileSystemFacts;
  /** Of data images with a data root. */
  readonly engine?: EngineFacts;
}

export type ContentKind =
  'data image' | 'pins' | 'store' | 'OCI layout' | 'OCI archive' | 'docker archive';

export interface ContentImage {
  /** Full ones, `docker.io/library/x:1`, sorted; none where nobody has named it. */
  readonly names: readonly string[];
  /** Of pins: which of their targets it is for. */
  readonly target?: string;
  /** `linux/arm/v7`; absent where its config is not there or does not say. */
  readonly platform?: string;
  /** What the names stand for, where that is an index. */
  readonly index?: Digest;
  /** Absent where the engine or the archive keeps none. */
  readonly manifest?: Digest;
  readonly config?: Digest;
  /** From the base up. */
  readonly layers: readonly ContentLayer[];
  /** Bytes of index, manifest and config. */
  readonly documents: number;
  /** What it lacks to be whole, as a phrase. */
  readonly problem?: string;
}

/** Sizes are bytes, and absent where nobody could tell without unpacking. */
export interface ContentLayer {
  /** Of the blob. */
  readonly digest?: Digest;
  readonly diffId?: Digest;
  readonly chainId?: Digest;
  readonly mediaType?: string;
  /** Of the blob. */
  readonly packed?: number;
  /** Of its tar; of overlay2 the sum of its files. */
  readonly unpacked?: number;
  /** What the unpacked layer takes on a data image. */
  readonly onDisk?: number;
}

export interface ContentFile {
  /** Relative to the partition; of stores the digest alone names it. */
  readonly path?: string;
  readonly size: number;
  /** Four octal digits. */
  readonly mode?: string;
  readonly sha256?: Digest;
  readonly target?: string;
}

export interface FileSystemFacts {
  readonly label: string;
  readonly uuid: string;
  /** Bytes. */
  readonly size: number;
  readonly free: number;
  readonly inodes: number;
  readonly freeInodes: number;
  readonly features: readonly string[];
  readonly clean: boolean;
}

export interface EngineFacts {
  /** Relative to the partition; empty where the partition is the data root. */
  readonly dataRoot: string;
  readonly store: EngineStore;
  /** Whose containerd: `daemon` is dockerd's own, `own` a service of its own. Of the containerd store. */
  readonly layout?: 'daemon' | 'own';
  /** Schema of meta.db: 3 for containerd 1.x, 4 for 2.x. */
  readonly schema?: number;
  /** How many layers are unpacked. */
  readonly snapshots: number;
  /** Snapshots or directories of layers that belong to no image: what containers wrote. */
  readonly foreign: number;
  /** Directories in `containers/`. */
  readonly containers: number;
  /** Blobs that belong to no image, and their bytes. */
  readonly extraBlobs: number;
  readonly extraBytes: number;
}

/** What two layers have in common where they are one. */
export function layerKey(layer: ContentLayer): string | undefined {
  return layer.digest ?? layer.diffId ?? layer.chainId;
}

/** What two images have in common where they are one. */
export function imageKey(image: ContentImage): string | undefined {
  return image.manifest ?? image.config;
}

export interface ImageSizes {
  /** All bytes of it; absent where no layer's are known. */
  readonly packed?: number;
  readonly unpacked?: number;
  readonly onDisk?: number;
  /** Of those packed (of those on disk, where none are packed) that other images have too. */
  readonly shared: number;
}

/** One for each image, in their order. */
export function imageSizes(images: readonly ContentImage[]): readonly ImageSizes[] {
  const users = new Map<string, number>();
  for (const image of images)
    for (const key of new Set(image.layers.map(layerKey)))
      if (key !== undefined) users.set(key, (users.get(key) ?? 0) + 1);
  return images.map((image) => {
    const layers = distinct(image.layers);
    const sum = (pick: (layer: ContentLayer) => number | undefined): number | undefined => {
      const known = layers.map(pick).filter((size) => size !== undefined);
      return known.length === 0 && layers.length > 0
        ? undefined
        : known.reduce((total, size) => total + size, 0);
    };
    const packed = sum((layer) => layer.packed);
    const unpacked = sum((layer) => layer.unpacked);
    const onDisk = sum((layer) => layer.onDisk);
    const shared = layers
      .filter((layer) => (users.get(layerKey(layer) ?? '') ?? 0) > 1)
      .reduce((total, layer) => total + (layer.packed ?? layer.onDisk ?? layer.unpacked ?? 0), 0);
    return {
      ...(packed === undefined ? {} : { packed: packed + image.documents }),
      ...(unpacked === undefined ? {} : { unpacked }),
      ...(onDisk === undefined ? {} : { onDisk }),
      shared,
    };
  });
}

export interface SharedLayer {
  readonly layer: ContentLayer;
  readonly images: readonly ContentImage[];
}

/** Layers of more than one image, those of most bytes first. */
export function sharedLayers(images: readonly ContentImage[]): readonly SharedLayer[] {
  const users = new Map<string, { layer: ContentLayer; images: Set<ContentImage> }>();
  for (const image of images)
    for (const layer of image.layers) {
      const key = layerKey(layer);
      if (key === undefined) continue;
      const known = users.get(key);
      if (known === undefined) users.set(key, { layer, images: new Set([image]) });
      else known.images.add(image);
    }
  const size = ({ layer }: { layer: ContentLayer }): number => layer.packed ?? layer.onDisk ?? 0;
  return [...users.values()]
    .filter((shared) => shared.images.size > 1)
    .map((shared) => ({ layer: shared.layer, images: [...shared.images] }))
    .sort((a, b) => size(b) - size(a));
}

/** Bytes of every layer and document once. */
export function totals(images: readonly ContentImage[]): {
  readonly packed: number;
  readonly onDisk: number;
  readonly layers: number;
} {
  const layers = distinct(images.flatMap((image) => image.layers));
  const documents = images.reduce((total, image) => total + image.documents, 0);
  return {
    packed: layers.reduce((total, { packed = 0 }) => total + packed, documents),
    onDisk: layers.reduce((total, { onDisk = 0 }) => total + onDisk, 0),
    layers: layers.length,
  };
}

/** An image may list a layer twice. */
function distinct(layers: readonly ContentLayer[]): readonly ContentLayer[] {
  const seen = new Set<string>();
  return layers.filter((layer) => {
    const key = layerKey(layer);
    if (key === undefined) return true;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

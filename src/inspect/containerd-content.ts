import type { ContainerdPaths, ContainerdStore } from '../data-root/containerd-store.ts';
import { containerdPaths, readContainerdStore } from '../data-root/containerd-store.ts';
import { inodeAt, listAt, readAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Digest } from '../model/digest.ts';
import type { ContentImage, ContentLayer } from './contents.ts';
import { imagesOf } from './image-content.ts';
import { ImageBlobs } from './image-blobs.ts';
import { need, Stopped } from '../trees/stopped.ts';

/** The largest database that is read. */
export const DATABASE_LIMIT = 256 * 1024 * 1024;

/** What a data image with containerd's store holds. */
export interface ContainerdContent {
  readonly store: ContainerdStore;
  readonly paths: ContainerdPaths;
  readonly blobs: ImageBlobs;
  readonly images: readonly ContentImage[];
  /** Blobs that belong to none of them. */
  readonly extra: readonly Digest[];
  /** Keys of snapshots that belong to none of them. */
  readonly foreign: readonly string[];
}

/** Throws `Stopped`. */
export async function readContainerd(
  reader: ImageReader,
  dataRoot: string,
  layout: 'daemon' | 'own',
  signal: AbortSignal,
): Promise<ContainerdContent> {
  const paths = containerdPaths(dataRoot, layout);
  const metaDb = need(await readAt(reader, `/${paths.metaDb}`, DATABASE_LIMIT), reader.path);
  // Where images are kept packed there is none.
  const own = (await inodeAt(reader, `/${paths.snapshotsDb}`)).ok
    ? need(await readAt(reader, `/${paths.snapshotsDb}`, DATABASE_LIMIT), reader.path)
    : undefined;
  const read = readContainerdStore(metaDb, own);
  if (!read.ok)
    throw new Stopped({
      reason: 'image-corrupt',
      image: reader.path,
      detail: `containerd's ${read.failure.database} is damaged: ${read.failure.detail}`,
    });
  const store = read.value;
  const blobs = await ImageBlobs.open(reader, `/${paths.blobs}`, signal);
  const targets = [...store.images].map(([name, { target }]) => ({ name, digest: target.digest }));
  const found = await imagesOf(blobs, targets);
  const images = found.map((image) => ({
    ...image,
    layers: image.layers.map((layer) => withDisk(store, layer)),
  }));
  const used = new Set(
    images.flatMap(({ index, manifest, config, layers }) => [
      ...[index, manifest, config],
      ...layers.map(({ digest }) => digest),
    ]),
  );
  const chains = new Set<string | undefined>(
    images.flatMap(({ layers }) => layers.map(({ chainId }) => chainId)),
  );
  return {
    ...{ store, paths, blobs, images },
    extra: [...blobs.digests()].filter((digest) => !used.has(digest)).sort(),
    foreign: [...store.snapshots.keys()].filter((key) => !chains.has(key)).sort(),
  };
}

/** Where a layer is unpacked, absolute in the partition; undefined where it is not. */
export function snapshotDirectory(
  { store, paths }: Pick<ContainerdContent, 'store' | 'paths'>,
  chainId: string,
): string | undefined {
  const record = store.records.get(store.snapshots.get(chainId)?.record ?? '');
  return record === undefined ? undefined : `/${paths.snapshots}/${record.id}/fs`;
}

function withDisk(store: ContainerdStore, layer: ContentLayer): ContentLayer {
  const record = store.records.get(store.snapshots.get(layer.chainId ?? '')?.record ?? '');
  return record?.size === undefined ? layer : { ...layer, onDisk: record.size };
}

/** Directories in `containers/` of the data root: what an engine has made of images. */
export async function countContainers(reader: ImageReader, dataRoot: string): Promise<number> {
  const listed = await listAt(reader, `/${dataRoot}/containers`);
  return listed.ok ? listed.value.filter(({ type }) => type === 'directory').length : 0;
}

import { chainIds } from '../data-root/containerd-store.ts';
import type { Overlay2Paths } from '../data-root/overlay2-store.ts';
import {
  isCacheId,
  LAYER_FILES,
  overlay2Paths,
  readRepositories,
} from '../data-root/overlay2-store.ts';
import { listAt, readAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';
import { readDiffIds } from '../oci/image-parts.ts';
import { DATABASE_LIMIT } from './containerd-content.ts';
import type { ContentImage, ContentLayer } from './contents.ts';
import { ImageBlobs } from './image-blobs.ts';
import { platformIn, sortImages } from './image-content.ts';
import { readDocument } from './blobs.ts';
import { need, Stopped } from '../trees/stopped.ts';

/** What a data image with the graph driver overlay2 holds: configs and unpacked layers. */
export interface Overlay2Content {
  readonly paths: Overlay2Paths;
  /** Configs alone. */
  readonly blobs: ImageBlobs;
  readonly names: ReadonlyMap<string, Digest>;
  readonly images: readonly ContentImage[];
  /** Names of directories of layers by chain ID. */
  readonly cacheIds: ReadonlyMap<string, string>;
  /** Directories of the driver that belong to no layer of an image. */
  readonly foreign: readonly string[];
}

/** Throws `Stopped`. */
export async function readOverlay2(
  reader: ImageReader,
  dataRoot: string,
  signal: AbortSignal,
): Promise<Overlay2Content> {
  const paths = overlay2Paths(dataRoot);
  const text = need(await readAt(reader, `/${paths.repositories}`, DATABASE_LIMIT), reader.path);
  const names = readRepositories(text.toString('utf8'));
  if (!names.ok)
    throw new Stopped({
      reason: 'image-corrupt',
      image: reader.path,
      detail: `${paths.repositories} is damaged: ${names.failure.detail}`,
    });
  const blobs = await ImageBlobs.open(reader, `/${paths.configs}`, signal);
  const layers = await readLayers(reader, paths);
  const images: ContentImage[] = [];
  for (const config of new Set([...names.value.values(), ...blobs.digests()])) {
    const own = [...names.value].filter(([, id]) => id === config).map(([name]) => name);
    const bytes = await readDocument(blobs, config);
    const diffIds = bytes === undefined ? undefined : readDiffIds(bytes);
    const chain = chainIds(diffIds ?? []);
    const platform = bytes === undefined ? undefined : platformIn(bytes);
    images.push({
      names: own.sort(),
      config,
      ...(platform === undefined ? {} : { platform }),
      layers: chain.map((chainId, i) => {
        const diffId = diffIds?.[i];
        const unpacked = layers.get(chainId)?.size;
        return {
          chainId,
          ...(diffId === undefined ? {} : { diffId }),
          ...(unpacked === undefined ? {} : { unpacked }),
        } satisfies ContentLayer;
      }),
      documents: bytes?.length ?? 0,
      ...(bytes === undefined ? { problem: `its config ${config} is missing` } : {}),
    });
  }
  const cacheIds = new Map<string, string>();
  for (const [chainId, { cacheId }] of layers) cacheIds.set(chainId, cacheId);
  const used = new Set(
    images.flatMap((image) => image.layers.map(({ chainId = '' }) => cacheIds.get(chainId))),
  );
  const directories = await listAt(reader, `/${paths.driver}`);
  const foreign = directories.ok
    ? directories.value.map(({ name }) => name).filter((name) => name !== 'l' && !used.has(name))
    : [];
  return { paths, blobs, names: names.value, images: sortImages(images), cacheIds, foreign };
}

async function readLayers(
  reader: ImageReader,
  paths: Overlay2Paths,
): Promise<ReadonlyMap<string, { readonly cacheId: string; readonly size?: number }>> {
  const layers = new Map<string, { cacheId: string; size?: number }>();
  const listed = await listAt(reader, `/${paths.layers}`);
  for (const { name, type } of listed.ok ? listed.value : []) {
    // Names of other kinds are the layers of containers.
    if (type !== 'directory' || !/^[0-9a-f]{64}$/.test(name)) continue;
    const read = async (file: string): Promise<string> => {
      const bytes = await readAt(reader, `/${paths.layers}/${name}/${file}`, 4096);
      return bytes.ok ? bytes.value.toString('utf8') : '';
    };
    const cacheId = await read(LAYER_FILES.cacheId);
    if (!isCacheId(cacheId)) continue;
    const size = await read(LAYER_FILES.size);
    layers.set(digestFromHex(name), {
      cacheId,
      ...(/^\d{1,15}$/.test(size) ? { size: Number(size) } : {}),
    });
  }
  return layers;
}

/** Where a layer is unpacked, absolute in the partition; undefined where it is not. */
export function layerDirectory(
  { paths, cacheIds }: Pick<Overlay2Content, 'paths' | 'cacheIds'>,
  chainId: string,
): string | undefined {
  const cacheId = cacheIds.get(chainId);
  return cacheId === undefined ? undefined : `/${paths.driver}/${cacheId}/diff`;
}

import {
  CONTAINERD_MODES,
  containerdDirectories,
  snapshotDirectories,
  snapshotRoot,
} from '../../data-root/containerd-tree.ts';
import type { ContainerdLayout } from '../../data-root/containerd-store.ts';
import { containerdPaths } from '../../data-root/containerd-store.ts';
import type { ContainerdImage, ContainerdVersion } from '../../data-root/containerd-writer.ts';
import { containerdDatabases, contentLabels } from '../../data-root/containerd-writer.ts';
import { overlay2Items, overlay2LayerRoot } from '../../data-root/overlay2-writer.ts';
import type { StorageFile, StorageItem } from '../../data-root/storage-item.ts';
import type { Descriptor } from '../../model/descriptor.ts';
import type { Digest } from '../../model/digest.ts';
import { hexOf } from '../../model/digest.ts';
import type { LayerWork, Written } from './layer-items.ts';
import type { PlannedContent, PlannedLayer } from './plan-content.ts';

/** How an engine keeps images: what is written around the contents of layers, and where these go. */
export interface EngineStorage {
  readonly by: LayerWork['by'];
  /** Directories, parents first, and whatever else can be told beforehand. */
  before(): readonly StorageItem[];
  /** Where a layer's files go; undefined where layers stay packed. */
  rootOf(layer: PlannedLayer): string | undefined;
  /** Where its blob goes, if anywhere: the first of several layers of one blob brings it. */
  blobOf(layer: PlannedLayer): { readonly path: string; readonly mode: number } | undefined;
  /** What is known once all layers are written. */
  after(written: ReadonlyMap<PlannedLayer, Written>): readonly StorageItem[];
}

export interface ContainerdOptions {
  /** Relative to the partition's root. */
  readonly dataRoot: string;
  readonly layout: ContainerdLayout;
  readonly version: ContainerdVersion;
  readonly unpack: boolean;
  /** Of all records: seconds since 1970. */
  readonly epoch: number;
}

export function containerdStorage(
  { images, layers, further }: PlannedContent,
  { dataRoot, layout, version, unpack, epoch }: ContainerdOptions,
): EngineStorage {
  const paths = containerdPaths(dataRoot, layout);
  const unpacked = unpack ? layers : [];
  const ids = new Map(unpacked.map((layer, i) => [layer, i + 1]));
  const bringers = new Map<Digest, PlannedLayer>();
  for (const layer of [...layers, ...further])
    if (!bringers.has(layer.blob.digest)) bringers.set(layer.blob.digest, layer);
  const blobPath = (digest: Digest): string => `${paths.blobs}/${hexOf(digest)}`;
  const blobs = new Map<Digest, Descriptor>();
  const small = new Map<Digest, StorageFile>();
  const put = (blob: Descriptor, bytes: Uint8Array): void => {
    const path = blobPath(blob.digest);
    blobs.set(blob.digest, blob);
    small.set(blob.digest, { type: 'file', path, mode: CONTAINERD_MODES.blob, bytes });
  };
  for (const { pin, index, manifest, config } of images) {
    if (pin.keptIndex !== undefined && index !== undefined) put(pin.keptIndex, index.bytes);
    put(pin.manifest, manifest);
    put(pin.config, config);
    for (const layer of pin.layers) blobs.set(layer.digest, layer);
  }
  return {
    by: 'containerd',
    before: () => [
      ...containerdDirectories(dataRoot, layout),
      ...unpacked.flatMap((_, i) => snapshotDirectories(dataRoot, layout, i + 1)),
      ...small.values(),
    ],
    rootOf: (layer) => {
      const id = ids.get(layer);
      return id === undefined ? undefined : snapshotRoot(dataRoot, layout, id);
    },
    blobOf: (layer) => {
      const { digest } = layer.blob;
      // A layer may be what another image has as its config or manifest.
      if (bringers.get(digest) !== layer || small.has(digest)) return undefined;
      return { path: blobPath(digest), mode: CONTAINERD_MODES.blob };
    },
    after: (written) => {
      const labels = contentLabels(
        images.map(({ pin, diffIds, layers: own, index }) => {
          const top = unpack ? own.at(-1)?.chainId : undefined;
          return {
            ...{ manifest: pin.manifest.digest, config: pin.config.digest, diffIds },
            layers: pin.layers.map(({ digest }) => digest),
            ...(top === undefined ? {} : { unpacked: top }),
            ...(index === undefined || pin.keptIndex === undefined
              ? {}
              : { index: { digest: pin.keptIndex.digest, manifests: index.manifests } }),
          };
        }),
      );
      const { metaDb, snapshotsDb } = containerdDatabases({
        time: { seconds: epoch, nanoseconds: 0 },
        blobs: [...blobs.values()].map(({ digest, size }) => ({
          ...{ digest, size, labels: labels.get(digest) ?? {} },
        })),
        images: namesOf(images),
        snapshots: unpacked.map((layer) => {
          const parent = layer.below[0]?.chainId;
          const { inodes = 1, size = 0 } = written.get(layer) ?? {};
          return {
            ...{ chainId: layer.chainId, inodes, size },
            ...(parent === undefined ? {} : { parent }),
          };
        }),
        version,
      });
      return [
        { type: 'file', path: paths.metaDb, mode: CONTAINERD_MODES.metaDb, bytes: metaDb },
        {
          ...{ type: 'file', path: paths.snapshotsDb },
          ...{ mode: CONTAINERD_MODES.snapshotsDb, bytes: snapshotsDb },
        },
      ];
    },
  };
}

/** With the annotations that dockerd leaves on what it loads from an archive, as `image inspect` shows them. */
function namesOf(images: PlannedContent['images']): ContainerdImage[] {
  const targets = new Map<string, Descriptor>();
  for (const { pin } of images)
    for (const name of pin.names) targets.set(name, pin.keptIndex ?? pin.manifest);
  return [...targets]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, target]) => ({
      name,
      target,
      annotations: {
        'io.containerd.image.name': name,
        'org.opencontainers.image.ref.name': name,
      },
    }));
}

export function overlay2Storage(
  { images, layers }: PlannedContent,
  dataRoot: string,
): EngineStorage {
  const items = (written: ReadonlyMap<PlannedLayer, Written>): StorageItem[] =>
    overlay2Items(dataRoot, {
      images: images.map(({ config, pin }) => ({ config, names: pin.names })),
      layers: layers.map((layer) => {
        const parent = layer.below[0]?.chainId;
        const { apparentSize = 0, tarSplit = new Uint8Array(0) } = written.get(layer) ?? {};
        return {
          ...{ chainId: layer.chainId, diffId: layer.diffId, size: apparentSize, tarSplit },
          ...(parent === undefined ? {} : { parent }),
        };
      }),
    });
  const isDirectory = ({ type }: StorageItem): boolean => type === 'directory';
  return {
    by: 'graph driver',
    before: () => items(new Map()).filter(isDirectory),
    rootOf: (layer) => overlay2LayerRoot(dataRoot, layer.chainId),
    blobOf: () => undefined,
    after: (written) => items(written).filter((item) => !isDirectory(item)),
  };
}

import type { Place } from '../ext4/partition.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import type { Result } from '../model/result.ts';
import type { Blobs } from './blobs.ts';
import type { ContainerdContent } from './containerd-content.ts';
import { countContainers, readContainerd, snapshotDirectory } from './containerd-content.ts';
import type { ContentFile, Contents, EngineFacts, FileSystemFacts } from './contents.ts';
import type { FoundRoot } from './find-data-root.ts';
import { findDataRoot } from './find-data-root.ts';
import type { Overlay2Content } from './overlay2-content.ts';
import { layerDirectory, readOverlay2 } from './overlay2-content.ts';
import { imageTreeAt } from '../trees/image-tree.ts';
import { untilStopped } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';

export interface DataImageOptions {
  /** In a disk image; default: the whole file is the partition. */
  readonly place?: Place | undefined;
  /** Relative to the partition; default: found. */
  readonly dataRoot?: string | undefined;
}

/** A data image that is read with no engine, no mount and no root. Close it. */
export interface DataImage {
  readonly contents: Contents;
  readonly reader: ImageReader;
  /** Undefined where there is no data root. */
  readonly root: FoundRoot | undefined;
  readonly containerd?: ContainerdContent;
  readonly overlay2?: Overlay2Content;
  /** Manifests, configs and layers; of overlay2 configs alone. */
  readonly blobs: Blobs;
  /** Where the layer of that chain ID is unpacked, absolute in the partition. */
  layerPath(chainId: string): string | undefined;
  close(): Promise<void>;
}

const NOTHING: Blobs = {
  size: () => undefined,
  // eslint-disable-next-line require-yield, @typescript-eslint/require-await -- there is none to be read
  async *read() {
    throw new Error('there are no blobs');
  },
};

/** Fails as `openImage` does, and with `image-corrupt` where an engine's databases are damaged. */
export async function openDataImage(
  path: string,
  source: string,
  options: DataImageOptions,
  signal: AbortSignal,
): Promise<Result<DataImage>> {
  const opened = await openImage(path, options.place);
  if (!opened.ok) return opened;
  const reader = opened.value;
  const image = await untilStopped(() => readDataImage(reader, source, options.dataRoot, signal));
  if (!image.ok) await reader.close();
  return image;
}

async function readDataImage(
  reader: ImageReader,
  source: string,
  given: string | undefined,
  signal: AbortSignal,
): Promise<DataImage> {
  const root = await findDataRoot(reader, given);
  const containerd =
    root?.store === 'containerd'
      ? await readContainerd(reader, root.dataRoot, root.layout ?? 'daemon', signal)
      : undefined;
  const overlay2 =
    root?.store === 'overlay2' ? await readOverlay2(reader, root.dataRoot, signal) : undefined;
  const files: ContentFile[] = [];
  await listFiles(await imageTreeAt(reader, '/', signal), '', root?.dataRoot, files);
  const contents: Contents = {
    kind: 'data image',
    source,
    images: containerd?.images ?? overlay2?.images ?? [],
    files,
    fileSystem: fileSystemOf(reader),
    ...(root === undefined ? {} : { engine: await engineOf(reader, root, containerd, overlay2) }),
  };
  return {
    ...{ contents, reader, root },
    ...(containerd === undefined ? {} : { containerd }),
    ...(overlay2 === undefined ? {} : { overlay2 }),
    blobs: containerd?.blobs ?? overlay2?.blobs ?? NOTHING,
    layerPath: (chainId) => {
      if (containerd !== undefined) return snapshotDirectory(containerd, chainId);
      return overlay2 === undefined ? undefined : layerDirectory(overlay2, chainId);
    },
    close: () => reader.close(),
  };
}

function fileSystemOf({ facts }: ImageReader): FileSystemFacts {
  return {
    label: facts.label,
    uuid: facts.uuid,
    size: facts.blocks * facts.blockSize,
    free: facts.freeBlocks * facts.blockSize,
    inodes: facts.inodes,
    freeInodes: facts.freeInodes,
    features: [...facts.features].sort(),
    clean: facts.clean,
  };
}

async function engineOf(
  reader: ImageReader,
  root: FoundRoot,
  containerd: ContainerdContent | undefined,
  overlay2: Overlay2Content | undefined,
): Promise<EngineFacts> {
  const extra = containerd?.extra ?? [];
  const schema = containerd?.store.version;
  return {
    dataRoot: root.dataRoot,
    store: root.store,
    ...(root.layout === undefined ? {} : { layout: root.layout }),
    ...(schema === undefined ? {} : { schema }),
    snapshots: containerd?.store.snapshots.size ?? overlay2?.cacheIds.size ?? 0,
    foreign: (containerd?.foreign ?? overlay2?.foreign ?? []).length,
    containers: await countContainers(reader, root.dataRoot),
    extraBlobs: extra.length,
    extraBytes: extra.reduce((sum, digest) => sum + (containerd?.blobs.size(digest) ?? 0), 0),
  };
}

/** Everything that is no directory, outside the data root. */
async function listFiles(
  directory: TreeNode | undefined,
  above: string,
  dataRoot: string | undefined,
  into: ContentFile[],
): Promise<void> {
  if (directory === undefined || dataRoot === '') return;
  for (const [latin1, node] of await directory.children()) {
    const name = Buffer.from(latin1, 'latin1').toString('utf8');
    const path = above === '' ? name : `${above}/${name}`;
    if (path === dataRoot || path === 'lost+found') continue;
    if (node.type === 'directory') await listFiles(node, path, dataRoot, into);
    else
      into.push({ path, size: await sizeOf(node), mode: node.mode.toString(8).padStart(4, '0') });
  }
}

async function sizeOf(node: TreeNode): Promise<number> {
  return node.type === 'symlink' ? (await node.target()).length : node.size;
}

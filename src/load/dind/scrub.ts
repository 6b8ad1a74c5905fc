import type { EngineStore } from '../../model/bundle.ts';
import type { Context } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { inodeAt, listAt } from '../../ext4/reader/at-path.ts';
import type { ImageReader } from '../../ext4/reader/image-reader.ts';
import { openImage } from '../../ext4/reader/open-image.ts';
import { removeTrees } from '../remove-trees.ts';

/**
 * What of a data root belongs to the images; every engine recreates the rest, much of which would make all
 * devices alike or tell of the builder: engine-id, network and buildkit databases, sockets, locks, logs.
 * A value of `true` keeps the whole directory.
 */
const KEPT: Readonly<Record<EngineStore, Kept>> = {
  containerd: {
    containerd: {
      daemon: {
        'io.containerd.content.v1.content': { blobs: true },
        'io.containerd.metadata.v1.bolt': { 'meta.db': true },
        'io.containerd.snapshotter.v1.overlayfs': { 'metadata.db': true, snapshots: true },
      },
    },
  },
  // Not imagedb/metadata, which says when an image was tagged, and what pulls (distribution) and containers leave.
  overlay2: {
    image: {
      overlay2: {
        'repositories.json': true,
        imagedb: { content: { sha256: true } },
        layerdb: { sha256: true },
      },
    },
    overlay2: true,
  },
};

/** What overlay2 leaves among the layers where quotas are to be had. */
const IN_DRIVER = 'backingFsBlockDev';

interface Kept {
  readonly [name: string]: true | Kept;
}

/** Removes everything else from the unmounted image. */
export async function scrub(
  image: string,
  dataRoot: string,
  store: EngineStore,
  context: Context,
): Promise<Result<void>> {
  const reader = await openImage(image);
  if (!reader.ok) return reader;
  let trees: string[];
  try {
    const found = await strangers(reader.value, `/${dataRoot}`, KEPT[store]);
    if (!found.ok) return found;
    trees = found.value;
    const inDriver = `/${dataRoot}/overlay2/${IN_DRIVER}`;
    if (store === 'overlay2' && (await inodeAt(reader.value, inDriver)).ok) trees.push(inDriver);
  } finally {
    await reader.value.close();
  }
  return removeTrees(image, trees, context.signal);
}

async function strangers(
  image: ImageReader,
  directory: string,
  kept: Kept,
): Promise<Result<string[]>> {
  const listed = await listAt(image, directory);
  if (!listed.ok) {
    if (listed.failure.reason !== 'not-in-image') return fail(listed.failure);
    return fail({
      reason: 'not-verified',
      image: image.path,
      findings: [`${directory} is not there: the engine wrote somewhere else`],
    });
  }
  const trees: string[] = [];
  for (const { name } of listed.value) {
    const path = `${directory}/${name}`;
    const inner = Object.hasOwn(kept, name) ? kept[name] : undefined;
    if (inner === undefined) trees.push(path);
    else if (inner !== true) {
      const below = await strangers(image, path, inner);
      if (!below.ok) return below;
      trees.push(...below.value);
    }
  }
  return ok(trees);
}

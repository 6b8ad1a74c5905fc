import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readContainerdStore } from '../../../src/data-root/containerd-store.ts';
import type { EngineStore } from '../../integration/engine-fixture.ts';
import { digestOf } from '../../rig/image.ts';
import { mustAsRoot } from '../../rig/process.ts';
import type { Sample } from './samples.ts';
import { readFileSync } from 'node:fs';

/** What an engine keeps of images on its partition. */
export interface Kept {
  /** With containerd's store every blob, with overlay2 the configs. */
  readonly blobs: readonly string[];
  /** Chain IDs of unpacked layers, and names of what is no image's. */
  readonly layers: readonly string[];
  /** Directories of unpacked layers, as many as layers. */
  readonly directories: number;
}

/** What there has to be for these images, and nothing else. */
export function expected(store: EngineStore, samples: readonly Sample[]): Kept {
  const blobs = new Set<string>();
  const layers = new Set<string>();
  for (const { image, diffIds } of samples) {
    if (store === 'overlay2') blobs.add(image.config.digest);
    else for (const digest of image.blobs.keys()) blobs.add(digest);
    let chain: string | undefined;
    for (const diffId of diffIds) {
      chain = chain === undefined ? diffId : digestOf(Buffer.from(`${chain} ${diffId}`));
      layers.add(chain);
    }
  }
  return { blobs: [...blobs].sort(), layers: [...layers].sort(), directories: layers.size };
}

export async function kept(partition: string, store: EngineStore): Promise<Kept> {
  const root = join(partition, 'docker');
  const list = async (path: string): Promise<string[]> =>
    (await mustAsRoot('sh', ['-c', 'ls "$0" 2>/dev/null || :', join(root, path)]))
      .split('\n')
      .filter(Boolean);
  if (store === 'overlay2') {
    const layers = await list('image/overlay2/layerdb/sha256');
    const configs = await list('image/overlay2/imagedb/content/sha256');
    return {
      blobs: configs.map((hex) => `sha256:${hex}`).sort(),
      layers: layers.map((hex) => `sha256:${hex}`).sort(),
      directories: (await list('overlay2')).filter((name) => name !== 'l').length,
    };
  }
  const at = (path: string): string => `containerd/daemon/io.containerd.${path}`;
  const blobs = await list(at('content.v1.content/blobs/sha256'));
  const snapshotter = at('snapshotter.v1.overlayfs');
  const read = readContainerdStore(
    readFileSync(join(root, at('metadata.v1.bolt/meta.db'))),
    readFileSync(join(root, snapshotter, 'metadata.db')),
  );
  // The engine may just be writing: whoever waits looks again.
  const layers = read.ok ? [...read.value.snapshots.keys()] : [read.failure.detail];
  return {
    blobs: blobs.map((hex) => `sha256:${hex}`).sort(),
    layers: layers.sort(),
    directories: (await list(join(snapshotter, 'snapshots'))).length,
  };
}

/** Waits for as long as an engine may take to collect what nothing needs, and gives what it kept then. */
export async function settled(partition: string, store: EngineStore, until: Kept): Promise<Kept> {
  const wanted = JSON.stringify(until);
  for (let tries = 0; ; tries += 1) {
    const now = await kept(partition, store);
    if (tries === 50 || JSON.stringify(now) === wanted) return now;
    await sleep(200);
  }
}

/** Directories of unpacked layers with their inodes: what was made anew under the same name would show. */
export async function unpacked(partition: string, store: EngineStore): Promise<readonly string[]> {
  const path =
    store === 'containerd'
      ? 'docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots'
      : 'docker/overlay2';
  return (await mustAsRoot('ls', ['-i1', join(partition, path)]))
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.endsWith(' l'))
    .sort();
}

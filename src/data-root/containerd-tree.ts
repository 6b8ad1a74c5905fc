import type { ContainerdLayout } from './containerd-store.ts';
import { containerdPaths } from './containerd-store.ts';
import { ancestors } from './storage-item.ts';
import type { StorageDirectory } from './storage-item.ts';

/** Modes of what is put into the directories below; all of it is root's. */
export const CONTAINERD_MODES = {
  blob: 0o444,
  metaDb: 0o644,
  snapshotsDb: 0o600,
} as const;

/**
 * The directories of containerd's storage, parents first, as the engine itself makes them: from the data root down to
 * `blobs/sha256` and `snapshots`. `snapshotDirectories` gives those of each snapshot.
 */
export function containerdDirectories(
  dataRoot: string,
  layout: ContainerdLayout,
): StorageDirectory[] {
  const { root, metaDb, snapshotsDb, snapshots, blobs, ingest } = containerdPaths(dataRoot, layout);
  const parent = (path: string): string => path.slice(0, path.lastIndexOf('/'));
  const of = (path: string, mode: number): StorageDirectory => ({ type: 'directory', path, mode });
  const above = ancestors(dataRoot);
  return [
    ...above.map((path, i) =>
      of(path, i < above.length - 1 ? 0o755 : layout === 'daemon' ? 0o710 : 0o700),
    ),
    ...(layout === 'daemon' ? [of(parent(root), 0o700), of(root, 0o700)] : []),
    of(parent(ingest), 0o755),
    of(parent(blobs), 0o755),
    of(blobs, 0o755),
    of(ingest, 0o755),
    of(parent(metaDb), 0o711),
    of(parent(snapshotsDb), 0o700),
    of(snapshots, 0o700),
  ];
}

/** The directories of one snapshot; the layer's files go into `fs` of the last but one. */
export function snapshotDirectories(
  dataRoot: string,
  layout: ContainerdLayout,
  id: number,
): StorageDirectory[] {
  const path = `${containerdPaths(dataRoot, layout).snapshots}/${id}`;
  return [
    { type: 'directory', path, mode: 0o700 },
    { type: 'directory', path: `${path}/fs`, mode: 0o755 },
    { type: 'directory', path: `${path}/work`, mode: 0o711 },
  ];
}

/** Where the files of a snapshot's layer are: `…/snapshots/<id>/fs`. */
export function snapshotRoot(dataRoot: string, layout: ContainerdLayout, id: number): string {
  return `${containerdPaths(dataRoot, layout).snapshots}/${id}/fs`;
}

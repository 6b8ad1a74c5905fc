import type { ContainerdPaths, ContainerdStore } from '../data-root/containerd-store.ts';
import { containerdPaths, readContainerdStore } from '../data-root/containerd-store.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf, parseDigest } from '../model/digest.ts';
import type { DirectoryEntry } from '../ext4/reader/at-path.ts';
import type { Inspection } from './inspection.ts';

/** What the containerd store of a data image says of itself, and what lies on its disk. */
export interface StoredContent {
  readonly store: ContainerdStore;
  readonly paths: ContainerdPaths;
  /** The files in the blob directory that are named as blobs are, with their sizes. */
  readonly blobFiles: ReadonlyMap<Digest, number>;
}

/** Stands for the snapshotter's database where nothing is unpacked, and so none has to be. */
const NO_DATABASE = Symbol('no database');

/** Undefined where there is no store to speak of; the inspection then has the finding. */
export async function readStoredContent(
  inspection: Inspection,
  dataRoot: string,
  unpacked: boolean,
): Promise<StoredContent | undefined> {
  const paths = await findLayout(inspection, dataRoot);
  if (paths === undefined) return undefined;
  const metaDb = await inspection.read(`/${paths.metaDb}`, "containerd's database");
  const snapshotsDb =
    unpacked || (await inspection.exists(`/${paths.snapshotsDb}`))
      ? await inspection.read(`/${paths.snapshotsDb}`, "the snapshotter's database")
      : NO_DATABASE;
  const blobs = await inspection.list(`/${paths.blobs}`, 'the content store');
  if (metaDb === undefined || snapshotsDb === undefined) return undefined;
  const read = readContainerdStore(metaDb, snapshotsDb === NO_DATABASE ? undefined : snapshotsDb);
  if (!read.ok) {
    const { database, detail } = read.failure;
    inspection.find(
      `${database === 'meta.db' ? paths.metaDb : paths.snapshotsDb} is damaged: ${detail}`,
    );
    return undefined;
  }
  const most = await inspection.size();
  const blobFiles = readBlobNames(inspection, paths, blobs ?? [], most);
  return { store: read.value, paths, blobFiles };
}

async function findLayout(
  inspection: Inspection,
  dataRoot: string,
): Promise<ContainerdPaths | undefined> {
  const entries = await inspection.list(`/${dataRoot}`, 'the data root');
  if (entries === undefined) return undefined;
  // A containerd of its own keeps its plugins' directories at its root: dockerd's has them further down.
  const own = entries.some((entry) => entry.name.startsWith('io.containerd.'));
  return containerdPaths(dataRoot, own ? 'own' : 'daemon');
}

function readBlobNames(
  inspection: Inspection,
  paths: ContainerdPaths,
  entries: readonly DirectoryEntry[],
  most: number,
): Map<Digest, number> {
  const files = new Map<Digest, number>();
  for (const entry of entries) {
    const digest = parseDigest(`sha256:${entry.name}`);
    if (digest === undefined || entry.type !== 'file')
      inspection.find(`${paths.blobs}/${entry.name} is no blob`);
    // Engines leave no holes in blobs: it would be hashed for days.
    else if (entry.size > most)
      inspection.find(
        `blob ${digest} is said to have ${entry.size} bytes, more than the file system`,
      );
    else files.set(digest, entry.size);
  }
  return files;
}

/** Where a blob lies, absolute within the partition. */
export function blobPath(paths: ContainerdPaths, digest: Digest): string {
  return `/${paths.blobs}/${hexOf(digest)}`;
}

/** JSON of a blob, or undefined with a finding. */
export async function readJsonBlob(
  inspection: Inspection,
  content: StoredContent,
  digest: Digest,
  owner: string,
): Promise<unknown> {
  if (!content.blobFiles.has(digest)) return undefined;
  const bytes = await inspection.read(blobPath(content.paths, digest), owner);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    inspection.find(`${owner}: ${digest} is not JSON`);
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

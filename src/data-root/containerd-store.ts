import { digestOf, parseDigest } from '../model/digest.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { BoltBucket } from './bolt.ts';
import { openBolt } from './bolt.ts';

/**
 * What containerd knows of its images, blobs and snapshots, read from its two databases: meta.db
 * (containerd, core/metadata/buckets.go) and the overlayfs snapshotter's metadata.db (core/snapshots/storage/bolt.go).
 * Encodings: Go's zigzag varint in meta.db, unsigned varint for the snapshotter's ids, a snapshotter's `kind`
 * in one byte.
 */
export interface ContainerdStore {
  /** The schema of meta.db: 3 for containerd 1.x, 4 for 2.x; undefined where it does not say. */
  readonly version: number | undefined;
  /** dockerd's is `moby`; the only one read. */
  readonly namespaces: readonly string[];
  /** By full name: `docker.io/library/x:tag`. */
  readonly images: ReadonlyMap<string, StoredImage>;
  readonly blobs: ReadonlyMap<Digest, StoredBlob>;
  /** By key: a chain ID where committed, a container's ID where not. */
  readonly snapshots: ReadonlyMap<string, StoredSnapshot>;
  /** The snapshotter's own records, by `StoredSnapshot.record`. */
  readonly records: ReadonlyMap<string, SnapshotRecord>;
  /** `<parent id>/<child id>`, as the snapshotter lists them. */
  readonly links: ReadonlySet<string>;
  /** Keys of containers that meta.db knows of: dockerd has none of its own while it is stopped. */
  readonly containers: readonly string[];
  /** What keeps content from being collected for a while, and content that is not complete. */
  readonly leases: readonly string[];
  readonly ingests: readonly string[];
}

export interface StoredImage {
  readonly target: Descriptor;
  readonly labels: Readonly<Record<string, string>>;
}

export interface StoredBlob {
  readonly size: number;
  readonly labels: Readonly<Record<string, string>>;
}

export interface StoredSnapshot {
  /** The snapshotter's name for it: `moby/<n>/<key>`. */
  readonly record: string;
  readonly parent?: string;
}

export interface SnapshotRecord {
  /** The name of its directory under `snapshots/`. */
  readonly id: number;
  readonly kind: 'view' | 'active' | 'committed';
  /** The parent's record. */
  readonly parent?: string;
  /** Bytes on disk; absent while active. */
  readonly size?: number;
}

export interface StoreCorrupt {
  readonly reason: 'containerd-store-corrupt';
  readonly database: 'meta.db' | 'metadata.db';
  readonly detail: string;
}

const NAMESPACE = 'moby';
const SNAPSHOTTER = 'overlayfs';

/** Where containerd keeps things, relative to the partition's root. */
export interface ContainerdPaths {
  readonly root: string;
  readonly blobs: string;
  readonly ingest: string;
  readonly metaDb: string;
  readonly snapshotsDb: string;
  readonly snapshots: string;
}

/**
 * `daemon`: the containerd that dockerd starts itself keeps its things under `containerd/daemon` of the data
 * root. `own`: the data root is the root of a containerd that runs as a service of its own.
 */
export type ContainerdLayout = 'daemon' | 'own';

export function containerdPaths(dataRoot: string, layout: ContainerdLayout): ContainerdPaths {
  const root = layout === 'daemon' ? `${dataRoot}/containerd/daemon` : dataRoot;
  return {
    root,
    blobs: `${root}/io.containerd.content.v1.content/blobs/sha256`,
    ingest: `${root}/io.containerd.content.v1.content/ingest`,
    metaDb: `${root}/io.containerd.metadata.v1.bolt/meta.db`,
    snapshotsDb: `${root}/io.containerd.snapshotter.v1.overlayfs/metadata.db`,
    snapshots: `${root}/io.containerd.snapshotter.v1.overlayfs/snapshots`,
  };
}

/** OCI image-spec, config.md, "Layer ChainID": one for each layer, from the base up. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}

/**
 * Neither buffer may change afterwards. A database without the namespace has no images, which is no failure; nor is a
 * store without the snapshotter's, whose images are all packed.
 */
export function readContainerdStore(
  metaDb: Uint8Array,
  snapshotsDb: Uint8Array | undefined,
): Result<ContainerdStore, StoreCorrupt> {
  try {
    const meta = open(metaDb, 'meta.db').bucket('v1');
    if (meta === undefined) throw new Corrupt('meta.db', 'there is no bucket v1');
    const moby = meta.bucket(NAMESPACE);
    const own =
      snapshotsDb === undefined ? undefined : open(snapshotsDb, 'metadata.db').bucket('v1');
    const version = meta.get('version');
    return ok({
      version: version === undefined ? undefined : readVarint(version, 'meta.db', 'version'),
      namespaces: names(meta),
      images: readImages(moby?.bucket('images')),
      blobs: readBlobs(moby?.bucket('content')?.bucket('blob')),
      snapshots: readSnapshots(moby?.bucket('snapshots')?.bucket(SNAPSHOTTER)),
      records: readRecords(own?.bucket('snapshots')),
      links: readLinks(own?.bucket('parents')),
      containers: names(moby?.bucket('containers')),
      leases: names(moby?.bucket('leases')),
      ingests: names(moby?.bucket('content')?.bucket('ingests')),
    });
  } catch (error) {
    if (!(error instanceof Corrupt)) throw error;
    return fail({
      reason: 'containerd-store-corrupt',
      database: error.database,
      detail: error.message,
    });
  }
}

type Database = StoreCorrupt['database'];

/** Leaves the readers below; never leaves this file. */
class Corrupt extends Error {
  readonly database: Database;
  constructor(database: Database, detail: string) {
    super(detail);
    this.database = database;
  }
}

function open(bytes: Uint8Array, database: Database): BoltBucket {
  const opened = openBolt(bytes);
  if (!opened.ok) throw new Corrupt(database, opened.failure.detail);
  return opened.value;
}

function children(bucket: BoltBucket | undefined): [string, BoltBucket][] {
  return (bucket?.entries() ?? []).flatMap((entry) =>
    entry.kind === 'bucket' ? [[entry.key.toString('utf8'), entry.bucket]] : [],
  );
}

function names(bucket: BoltBucket | undefined): string[] {
  return children(bucket).map(([name]) => name);
}

function readImages(bucket: BoltBucket | undefined): Map<string, StoredImage> {
  return new Map(
    children(bucket).map(([name, image]) => {
      const target = image.bucket('target');
      const digest = parseDigest(target?.get('digest')?.toString('utf8'));
      const size = target?.get('size');
      if (digest === undefined || size === undefined)
        throw new Corrupt('meta.db', `image ${name} has no target`);
      return [
        name,
        {
          target: {
            digest,
            mediaType: target?.get('mediatype')?.toString('utf8') ?? '',
            size: readVarint(size, 'meta.db', `the size of image ${name}`),
          },
          labels: readLabels(image),
        },
      ];
    }),
  );
}

function readBlobs(bucket: BoltBucket | undefined): Map<Digest, StoredBlob> {
  return new Map(
    children(bucket).map(([key, blob]) => {
      const digest = parseDigest(key);
      const size = blob.get('size');
      if (digest === undefined) throw new Corrupt('meta.db', `${key} is no digest of a blob`);
      if (size === undefined) throw new Corrupt('meta.db', `blob ${key} has no size`);
      return [
        digest,
        {
          size: readVarint(size, 'meta.db', `the size of blob ${key}`),
          labels: readLabels(blob),
        },
      ];
    }),
  );
}

function readSnapshots(bucket: BoltBucket | undefined): Map<string, StoredSnapshot> {
  return new Map(
    children(bucket).map(([key, snapshot]) => {
      const record = snapshot.get('name')?.toString('utf8');
      if (record === undefined) throw new Corrupt('meta.db', `snapshot ${key} has no name`);
      const parent = snapshot.get('parent')?.toString('utf8') ?? '';
      return [key, { record, ...(parent === '' ? {} : { parent }) }];
    }),
  );
}

const KINDS = new Map<number, SnapshotRecord['kind']>([
  [1, 'view'],
  [2, 'active'],
  [3, 'committed'],
]);

function readRecords(bucket: BoltBucket | undefined): Map<string, SnapshotRecord> {
  return new Map(
    children(bucket).map(([name, record]) => {
      const id = record.get('id');
      const kind = KINDS.get(record.get('kind')?.[0] ?? 0);
      if (id === undefined || kind === undefined)
        throw new Corrupt('metadata.db', `snapshot ${name} has no id or no kind`);
      const parent = record.get('parent')?.toString('utf8') ?? '';
      const size = record.get('size');
      return [
        name,
        {
          id: readUvarint(id, 'metadata.db', `the id of ${name}`).value,
          kind,
          ...(parent === '' ? {} : { parent }),
          ...(size === undefined
            ? {}
            : { size: readVarint(size, 'metadata.db', `the size of ${name}`) }),
        },
      ];
    }),
  );
}

/** Keys are the parent's id, a zero byte and the child's id. */
function readLinks(bucket: BoltBucket | undefined): Set<string> {
  return new Set(
    (bucket?.entries() ?? []).map(({ key }) => {
      const parent = readUvarint(key, 'metadata.db', 'a parent');
      const child = readUvarint(key.subarray(parent.length + 1), 'metadata.db', 'a child');
      return `${parent.value}/${child.value}`;
    }),
  );
}

function readLabels(bucket: BoltBucket): Readonly<Record<string, string>> {
  // No prototype: a label may be called `__proto__`.
  const labels = Object.create(null) as Record<string, string>;
  for (const entry of bucket.bucket('labels')?.entries() ?? [])
    if (entry.kind === 'value') labels[entry.key.toString('utf8')] = entry.value.toString('utf8');
  return labels;
}

/** Go, encoding/binary: `Varint`, zigzag; negative sizes and ids cannot be. */
function readVarint(bytes: Buffer, database: Database, what: string): number {
  const raw = readUvarint(bytes, database, what, 2).value;
  if (raw % 2 !== 0) throw new Corrupt(database, `${what} is negative`);
  return raw / 2;
}

/** Go, encoding/binary: `Uvarint`, LEB128. Values above 2^53 / `spare` cannot be here. */
function readUvarint(
  bytes: Buffer,
  database: Database,
  what: string,
  spare = 1,
): { value: number; length: number } {
  let value = 0n;
  for (let i = 0; i < Math.min(bytes.length, 10); i++) {
    const byte = bytes[i] ?? 0;
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte >= 0x80) continue;
    if (value > BigInt(Number.MAX_SAFE_INTEGER) / BigInt(spare)) break;
    return { value: Number(value), length: i + 1 };
  }
  throw new Corrupt(database, `${what} is no number`);
}

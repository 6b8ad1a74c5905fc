import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { BoltTree, BoltTreeEntry } from './bolt-writer.ts';
import { writeBolt } from './bolt-writer.ts';

/** What a containerd is to know: blobs, images and snapshots, all of the namespace of dockerd. */
export interface ContainerdContent {
  /** When all of it was made, as its records say: since 1970. */
  readonly time: { readonly seconds: number; readonly nanoseconds: number };
  /** In any order. */
  readonly blobs: readonly ContainerdBlob[];
  readonly images: readonly ContainerdImage[];
  /** Parents before children. The n-th has the ID n, which is the name of its directory: from 1. */
  readonly snapshots: readonly ContainerdSnapshot[];
  /** Default 4. */
  readonly version?: ContainerdVersion;
}

/**
 * The schema of meta.db: 3 of containerd 1.x, 4 of 2.x. The latter takes 3 as well and makes 4 of it when it starts; 1.7
 * reads 4 without a look at the number (tried with Docker 26.1 and 28.5).
 */
export type ContainerdVersion = 3 | 4;

export interface ContainerdBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Of `contentLabels`. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface ContainerdImage {
  /** `docker.io/library/x:tag`. */
  readonly name: string;
  /** A manifest or an index. */
  readonly target: Descriptor;
  /** Of the target; default none. */
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ContainerdSnapshot {
  readonly chainId: Digest;
  /** The chain ID below; absent for a base. */
  readonly parent?: Digest;
  /** Distinct inodes, that of the root directory included. */
  readonly inodes: number;
  /** Bytes on disk: allocated blocks of 512 bytes, times 512. */
  readonly size: number;
}

/** What an image is made of, for the labels that keep it from being collected. */
export interface LabelledImage {
  readonly manifest: Digest;
  readonly config: Digest;
  /** Of the manifest, from the base up, and what each unpacks to. */
  readonly layers: readonly Digest[];
  readonly diffIds: readonly Digest[];
  /** The chain ID of the uppermost snapshot; absent where the image is not unpacked or has no layers. */
  readonly unpacked?: Digest;
  /** Where the image's name stands for an index: all its manifests in their order, those that are not there too. */
  readonly index?: { readonly digest: Digest; readonly manifests: readonly Digest[] };
}

const NAMESPACE = 'moby';
const SNAPSHOTTER = 'overlayfs';
const COMMITTED = 3;

/** Labels by digest of everything that the images are made of; what images share is labelled once. */
export function contentLabels(
  images: readonly LabelledImage[],
): ReadonlyMap<Digest, Readonly<Record<string, string>>> {
  const labels = new Map<Digest, Record<string, string>>();
  const label = (digest: Digest, key: string, value: string): void => {
    const known = labels.get(digest) ?? {};
    labels.set(digest, known);
    known[key] = value;
  };
  for (const image of images) {
    const { manifest, config, index, unpacked } = image;
    index?.manifests.forEach((digest, i) => {
      label(index.digest, `containerd.io/gc.ref.content.m.${i}`, digest);
    });
    label(manifest, 'containerd.io/gc.ref.content.config', config);
    image.layers.forEach((layer, i) => {
      label(manifest, `containerd.io/gc.ref.content.l.${i}`, layer);
      const diffId = image.diffIds[i];
      // Who unpacks it finds out, and notes it.
      if (unpacked !== undefined && diffId !== undefined)
        label(layer, 'containerd.io/uncompressed', diffId);
    });
    if (unpacked === undefined) labels.set(config, labels.get(config) ?? {});
    else label(config, `containerd.io/gc.ref.snapshot.${SNAPSHOTTER}`, unpacked);
  }
  return labels;
}

/** The two databases of `containerdPaths`: containerd, core/metadata/buckets.go and core/snapshots/storage/bolt.go. */
export function containerdDatabases(content: ContainerdContent): {
  readonly metaDb: Uint8Array;
  readonly snapshotsDb: Uint8Array;
} {
  const records = numberSnapshots(content.snapshots);
  return {
    metaDb: writeBolt(metaTree(content, records)),
    snapshotsDb: writeBolt(snapshotsTree(content, records)),
  };
}

interface NumberedSnapshot extends ContainerdSnapshot {
  readonly id: number;
  /** The snapshotter's name for it. */
  readonly record: string;
  readonly below?: NumberedSnapshot;
}

function numberSnapshots(snapshots: readonly ContainerdSnapshot[]): NumberedSnapshot[] {
  const known = new Map<Digest, NumberedSnapshot>();
  return snapshots.map((snapshot, i) => {
    const { chainId, parent } = snapshot;
    const below = parent === undefined ? undefined : known.get(parent);
    if (known.has(chainId) || (parent !== undefined && below === undefined))
      throw new Error(`snapshot ${chainId} is there twice or comes before its parent`);
    const numbered: NumberedSnapshot = {
      ...snapshot,
      id: i + 1,
      record: `${NAMESPACE}/${i + 1}/${chainId}`,
      ...(below === undefined ? {} : { below }),
    };
    known.set(chainId, numbered);
    return numbered;
  });
}

function metaTree(content: ContainerdContent, snapshots: readonly NumberedSnapshot[]): BoltTree {
  const dates = datesOf(content.time);
  const children = new Map<Digest, Digest[]>();
  for (const { chainId, parent } of snapshots)
    if (parent !== undefined) {
      const known = children.get(parent);
      if (known === undefined) children.set(parent, [chainId]);
      else known.push(chainId);
    }
  const moby: BoltTreeEntry[] = [
    [
      'content',
      bucket([
        [
          'blob',
          bucket(
            content.blobs.map(({ digest, size, labels }) => [
              digest,
              bucket([...dates, ['size', varint(size)], ...recordEntry('labels', labels)]),
            ]),
          ),
        ],
      ]),
    ],
    [
      'images',
      bucket(
        content.images.map(({ name, target, annotations }) => [
          name,
          bucket([
            ...recordEntry('annotations', annotations ?? {}),
            ...dates,
            [
              'target',
              bucket([
                ['digest', target.digest],
                ['mediatype', target.mediaType],
                ['size', varint(target.size)],
              ]),
            ],
          ]),
        ]),
      ),
    ],
    [
      'snapshots',
      bucket([
        [
          SNAPSHOTTER,
          bucket(
            snapshots.map(({ chainId, parent, record }) => {
              const above = children.get(chainId);
              return [
                chainId,
                bucket([
                  ...dates,
                  ['name', record],
                  ...optional('parent', parent),
                  ...(above === undefined
                    ? []
                    : [['children', bucket(above.map((child) => [child, '']))] as const]),
                ]),
              ];
            }),
            snapshots.length,
          ),
        ],
      ]),
    ],
  ];
  const version = varint(content.version ?? 4);
  return bucket([
    [
      'v1',
      bucket([
        ['version', version],
        [NAMESPACE, bucket(moby)],
      ]),
    ],
  ]);
}

function snapshotsTree(
  content: ContainerdContent,
  snapshots: readonly NumberedSnapshot[],
): BoltTree {
  const dates = datesOf(content.time);
  const records = snapshots.map(({ id, record, below, inodes, size }): BoltTreeEntry => [
    record,
    bucket([
      ...dates,
      ['id', uvarint(id)],
      ['kind', Buffer.from([COMMITTED])],
      ...optional('parent', below?.record),
      ['inodes', varint(inodes)],
      ['size', varint(size)],
    ]),
  ]);
  const parents = snapshots.flatMap(({ id, record, below }): BoltTreeEntry[] =>
    below === undefined
      ? []
      : [[Buffer.concat([uvarint(below.id), Buffer.alloc(1), uvarint(id)]), record]],
  );
  return bucket([
    [
      'v1',
      bucket([
        ['snapshots', bucket(records, snapshots.length)],
        ['parents', bucket(parents)],
      ]),
    ],
  ]);
}

function bucket(entries: readonly BoltTreeEntry[], sequence = 0): BoltTree {
  return { entries, sequence };
}

function optional(key: string, value: string | undefined): BoltTreeEntry[] {
  return value === undefined ? [] : [[key, value]];
}

function recordEntry(key: string, record: Readonly<Record<string, string>>): BoltTreeEntry[] {
  const entries = Object.entries(record);
  return entries.length === 0 ? [] : [[key, bucket(entries)]];
}

function datesOf(time: ContainerdContent['time']): BoltTreeEntry[] {
  const bytes = goTime(time);
  return [
    ['createdat', bytes],
    ['updatedat', bytes],
  ];
}

/** Seconds from the year 1, where Go's time begins, to 1970. */
const BEFORE_1970 = 62_135_596_800n;

/** Go, time: `Time.MarshalBinary` of a time in UTC. */
function goTime(time: ContainerdContent['time']): Buffer {
  const bytes = Buffer.alloc(15, 0xff);
  bytes.writeUInt8(1, 0);
  bytes.writeBigInt64BE(BigInt(time.seconds) + BEFORE_1970, 1);
  bytes.writeUInt32BE(time.nanoseconds, 9);
  return bytes;
}

/** Go, encoding/binary: `PutUvarint`, LEB128. */
function uvarint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

/** Go, encoding/binary: `PutVarint`, zigzag, of a number that is not negative. */
function varint(value: number): Buffer {
  return uvarint(BigInt(value) * 2n);
}

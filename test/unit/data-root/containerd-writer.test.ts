import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { BoltBucket } from '../../../src/data-root/bolt.ts';
import { openBolt } from '../../../src/data-root/bolt.ts';
import { chainIds, readContainerdStore } from '../../../src/data-root/containerd-store.ts';
import {
  containerdDirectories,
  snapshotDirectories,
  snapshotRoot,
} from '../../../src/data-root/containerd-tree.ts';
import type { ContainerdContent } from '../../../src/data-root/containerd-writer.ts';
import { containerdDatabases, contentLabels } from '../../../src/data-root/containerd-writer.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { digestOf } from '../../../src/model/digest.ts';

const TIME = { seconds: 1_700_000_000, nanoseconds: 0 };

function fixture(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`fixtures/${name}.gz`, import.meta.url)));
}

function open(bytes: Uint8Array): BoltBucket {
  const opened = openBolt(bytes);
  assert.ok(opened.ok, opened.ok ? '' : opened.failure.detail);
  return opened.value;
}

/** Every key of a database with its value, as lines; counters of snapshots count otherwise after other histories. */
function lines(bucket: BoltBucket, path = ''): string[] {
  return bucket.entries().flatMap((entry) => {
    const key = `${path}/${entry.key.toString('latin1').replace(/^moby\/\d+\//, 'moby/N/')}`;
    if (entry.kind === 'bucket') return [`${key}/`, ...lines(entry.bucket, key)];
    const value = entry.value.toString('latin1').replace(/^moby\/\d+\//, 'moby/N/');
    return [`${key} = ${/\/(created|updated)at$/.test(key) ? 'then' : value}`];
  });
}

const base = digestOf('base');
const [layerA, layerB] = [digestOf('packed base'), digestOf('packed top')];

function twoImages(): { content: ContainerdContent; chains: Digest[][] } {
  const chains = ['one', 'two'].map((name) => chainIds([base, digestOf(`top ${name}`)]));
  const parents = new Map<Digest, Digest | undefined>(
    chains.flatMap((chain) => chain.map((id, i) => [id, chain[i - 1]])),
  );
  const labels = contentLabels(
    chains.map((chain, i) => ({
      manifest: digestOf(`manifest ${i}`),
      config: digestOf(`config ${i}`),
      layers: [layerA, layerB],
      diffIds: [base, digestOf('top')],
      ...(i === 1 ? {} : { unpacked: chain.at(-1) ?? base }),
      ...(i === 1
        ? {
            index: {
              digest: digestOf('index'),
              manifests: [digestOf('other'), digestOf('manifest 1')],
            },
          }
        : {}),
    })),
  );
  const content: ContainerdContent = {
    time: TIME,
    blobs: [...labels].map(([digest, of], i) => ({ digest, size: 100 * i, labels: of })),
    images: [
      {
        name: 'docker.io/library/one:1',
        target: { digest: digestOf('manifest 0'), mediaType: 'a/manifest', size: 422 },
      },
      {
        name: 'ghcr.io/x/two:2',
        target: { digest: digestOf('index'), mediaType: 'an/index', size: 2 ** 40 },
      },
    ],
    snapshots: [...parents].map(([chainId, parent], i) => ({
      chainId,
      ...(parent === undefined ? {} : { parent }),
      inodes: i + 1,
      size: 4096 * i,
    })),
  };
  return { content, chains };
}

describe('containerdDatabases', () => {
  it('writes what is read back', () => {
    const { content, chains } = twoImages();
    const { metaDb, snapshotsDb } = containerdDatabases(content);
    const read = readContainerdStore(metaDb, snapshotsDb);
    assert.ok(read.ok);
    const store = read.value;
    assert.equal(store.version, 4);
    assert.deepEqual(store.namespaces, ['moby']);
    assert.deepEqual(
      new Map([...store.images].map(([name, { target }]) => [name, target])),
      new Map(content.images.map(({ name, target }) => [name, target])),
    );
    assert.deepEqual(
      new Map([...store.blobs].map(([digest, blob]) => [digest, { ...blob.labels }])),
      new Map(
        [...content.blobs]
          .sort((a, b) => (a.digest < b.digest ? -1 : 1))
          .map(({ digest, labels }) => [digest, labels]),
      ),
    );
    assert.deepEqual(
      content.blobs.map(({ digest }) => store.blobs.get(digest)?.size),
      content.blobs.map(({ size }) => size),
    );
    assert.deepEqual(
      content.snapshots.map(({ chainId }) => store.snapshots.get(chainId)),
      content.snapshots.map(({ chainId, parent }, i) => ({
        record: `moby/${i + 1}/${chainId}`,
        ...(parent === undefined ? {} : { parent }),
      })),
    );
    const [, second] = chains;
    assert.deepEqual(store.records.get(`moby/3/${second?.[1] ?? ''}`), {
      id: 3,
      kind: 'committed',
      parent: `moby/1/${base}`,
      size: 8192,
    });
    assert.deepEqual([...store.links], ['1/2', '1/3']);
    assert.deepEqual([store.containers, store.leases, store.ingests], [[], [], []]);
  });

  it('tells the engine where to count on', () => {
    const { metaDb, snapshotsDb } = containerdDatabases(twoImages().content);
    const meta = open(metaDb).bucket('v1')?.bucket('moby')?.bucket('snapshots');
    assert.equal(meta?.bucket('overlayfs')?.sequence, 3n);
    assert.equal(open(snapshotsDb).bucket('v1')?.bucket('snapshots')?.sequence, 3n);
  });

  it('encodes numbers and times as Go does', () => {
    const { metaDb, snapshotsDb } = containerdDatabases(twoImages().content);
    const image = open(metaDb)
      .bucket('v1')
      ?.bucket('moby')
      ?.bucket('images')
      ?.bucket('docker.io/library/one:1');
    assert.equal(image?.bucket('target')?.get('size')?.toString('hex'), 'cc06');
    assert.equal(image.get('createdat')?.toString('hex'), '010000000edce5e80000000000ffff');
    const many = containerdDatabases({
      ...{ time: { seconds: -1, nanoseconds: 999_999_999 }, blobs: [], images: [], version: 3 },
      snapshots: Array.from({ length: 301 }, (_, i) => ({
        chainId: digestOf(`${i}`),
        ...(i === 0 ? {} : { parent: digestOf(`${i - 1}`) }),
        ...{ inodes: 1, size: 0 },
      })),
    });
    const parents = open(many.snapshotsDb).bucket('v1')?.bucket('parents');
    assert.ok(parents?.get(Buffer.from('ab0200ac02', 'hex')), 'of 299 and 300');
    assert.equal(open(many.metaDb).bucket('v1')?.get('version')?.toString('hex'), '06');
    const record = open(snapshotsDb).bucket('v1')?.bucket('snapshots')?.entries()[0];
    assert.ok(record?.kind === 'bucket');
    assert.equal(record.bucket.get('kind')?.toString('hex'), '03');
  });

  it('writes key for key what dockerd 28 wrote of the same images', () => {
    const [theirMeta, theirOwn] = [fixture('meta.db'), fixture('metadata.db')];
    const read = readContainerdStore(theirMeta, theirOwn);
    assert.ok(read.ok);
    const store = read.value;
    const records = open(theirOwn).bucket('v1')?.bucket('snapshots');
    const byId = [...store.snapshots].sort(
      ([, a], [, b]) =>
        (store.records.get(a.record)?.id ?? 0) - (store.records.get(b.record)?.id ?? 0),
    );
    const { metaDb, snapshotsDb } = containerdDatabases({
      time: TIME,
      blobs: [...store.blobs].map(([digest, { size, labels }]) => ({ digest, size, labels })),
      images: [...store.images].map(([name, { target }]) => ({ name, target })),
      snapshots: byId.map(([chainId, { parent, record }]) => ({
        chainId: chainId as Digest,
        ...(parent === undefined ? {} : { parent: parent as Digest }),
        inodes: (records?.bucket(record)?.get('inodes')?.[0] ?? 0) / 2,
        size: store.records.get(record)?.size ?? 0,
      })),
    });
    // Of no meaning to anybody but those who left them: an import's annotations, and places for what is under way.
    const aside = /\/annotations\/|^\/v1\/moby\/(content\/ingests|leases)\/$/;
    const compare = (ours: Uint8Array, theirs: Uint8Array): void => {
      assert.deepEqual(
        lines(open(ours)).sort(),
        lines(open(theirs))
          .filter((line) => !aside.test(line))
          .sort(),
      );
    };
    compare(metaDb, theirMeta);
    compare(snapshotsDb, theirOwn);
  });

  it('writes the same bytes for the same content', () => {
    assert.deepEqual(
      containerdDatabases(twoImages().content),
      containerdDatabases(twoImages().content),
    );
  });

  it('throws on snapshots out of order', () => {
    const { content } = twoImages();
    const [first, second] = content.snapshots;
    assert.ok(first && second);
    for (const snapshots of [
      [second, first],
      [first, first],
    ])
      assert.throws(
        () => containerdDatabases({ ...content, snapshots }),
        /comes before its parent/,
      );
  });
});

describe('contentLabels', () => {
  it('keeps everything of an image from being collected', () => {
    const { content, chains } = twoImages();
    const labels = new Map(content.blobs.map((blob) => [blob.digest, blob.labels]));
    assert.deepEqual(labels.get(digestOf('index')), {
      'containerd.io/gc.ref.content.m.0': digestOf('other'),
      'containerd.io/gc.ref.content.m.1': digestOf('manifest 1'),
    });
    assert.deepEqual(labels.get(digestOf('manifest 0')), {
      'containerd.io/gc.ref.content.config': digestOf('config 0'),
      'containerd.io/gc.ref.content.l.0': layerA,
      'containerd.io/gc.ref.content.l.1': layerB,
    });
    assert.deepEqual(labels.get(digestOf('config 0')), {
      'containerd.io/gc.ref.snapshot.overlayfs': chains[0]?.[1],
    });
    assert.deepEqual(labels.get(digestOf('config 1')), {}, 'not unpacked');
    assert.deepEqual(labels.get(layerA), { 'containerd.io/uncompressed': base });
    assert.equal(labels.size, 7);
  });
});

describe('containerdDirectories', () => {
  const list = (layout: 'daemon' | 'own', root: string): string[] =>
    containerdDirectories(root, layout).map(({ path, mode }) => `${mode.toString(8)} ${path}`);

  it('makes every parent before what is in it', () => {
    for (const layout of ['daemon', 'own'] as const) {
      const directories = [
        ...containerdDirectories('var/lib/x', layout),
        ...snapshotDirectories('var/lib/x', layout, 12),
      ].map(({ path }) => path);
      assert.equal(new Set(directories).size, directories.length);
      directories.forEach((path, i) => {
        const parent = path.split('/').slice(0, -1).join('/');
        assert.ok(parent === '' || directories.indexOf(parent) < i, path);
        if (parent !== '') assert.ok(directories.includes(parent), path);
      });
      assert.ok(directories.includes(snapshotRoot('var/lib/x', layout, 12)));
    }
  });

  it('knows the modes that the engine gives', () => {
    assert.deepEqual(list('daemon', 'docker'), [
      '710 docker',
      '700 docker/containerd',
      '700 docker/containerd/daemon',
      '755 docker/containerd/daemon/io.containerd.content.v1.content',
      '755 docker/containerd/daemon/io.containerd.content.v1.content/blobs',
      '755 docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256',
      '755 docker/containerd/daemon/io.containerd.content.v1.content/ingest',
      '711 docker/containerd/daemon/io.containerd.metadata.v1.bolt',
      '700 docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs',
      '700 docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots',
    ]);
    assert.equal(list('own', 'containerd')[1], '755 containerd/io.containerd.content.v1.content');
  });
});

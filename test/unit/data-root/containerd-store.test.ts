import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import {
  chainIds,
  containerdPaths,
  readContainerdStore,
} from '../../../src/data-root/containerd-store.ts';
import { digestOf } from '../../../src/model/digest.ts';
import { writeBolt } from './write-bolt.ts';
import type { Tree } from './write-bolt.ts';

function fixture(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`fixtures/${name}.gz`, import.meta.url)));
}

describe('readContainerdStore', () => {
  const read = readContainerdStore(fixture('meta.db'), fixture('metadata.db'));
  assert.ok(read.ok);
  const store = read.value;

  it('reads what dockerd 28 left', () => {
    assert.equal(store.version, 4);
    assert.deepEqual(store.namespaces, ['moby']);
    assert.deepEqual(
      [...store.images.keys()],
      [
        'docker.io/library/hello:1',
        'docker.io/library/hello:latest',
        'ghcr.io/x/arm:3',
        'ghcr.io/x/dup:3',
        'ghcr.io/x/other:2',
      ],
    );
    const target = store.images.get('docker.io/library/hello:1')?.target;
    assert.deepEqual(target, {
      digest: 'sha256:0e8ba1b3376039c394c14f42b43f86bc6f501ae6686874e6d65fed359632c130',
      mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
      size: 607,
    });
    const blob = store.blobs.get(target.digest);
    assert.equal(blob?.size, 607);
    assert.match(blob.labels['containerd.io/gc.ref.content.config'] ?? '', /^sha256:f3d50bcd/);
    assert.deepEqual(store.containers, []);
  });

  it('joins snapshots and the snapshotter’s records', () => {
    assert.equal(store.snapshots.size, 5);
    assert.equal(store.records.size, 5);
    for (const [chainId, snapshot] of store.snapshots) {
      const record = store.records.get(snapshot.record);
      assert.equal(record?.kind, 'committed');
      assert.ok((record.size ?? 0) > 0);
      assert.ok(snapshot.record.endsWith(chainId));
      if (snapshot.parent === undefined) continue;
      const parent = store.snapshots.get(snapshot.parent);
      assert.equal(record.parent, parent?.record);
      const parentId = store.records.get(parent?.record ?? '')?.id;
      assert.ok(store.links.has(`${parentId ?? 0}/${record.id}`));
    }
    assert.equal(store.links.size, 4);
  });

  it('names the database that is damaged, and what is wrong in it', () => {
    const empty = writeBolt({ v1: {} });
    const of = (moby: Tree, own: Tree = {}): string => {
      const result = readContainerdStore(writeBolt({ v1: { moby } }), writeBolt({ v1: own }));
      assert.ok(!result.ok);
      return `${result.failure.database}: ${result.failure.detail}`;
    };
    const digest = digestOf('x');
    const blob = (size: Uint8Array): Tree => ({ content: { blob: { [digest]: { size } } } });
    assert.match(of(blob(Buffer.from([3]))), /^meta.db: .* is negative/);
    assert.match(of(blob(Buffer.from([0x80]))), /^meta.db: .* is no number/);
    assert.match(of(blob(Buffer.alloc(20, 0xff))), /^meta.db: .* is no number/);
    assert.match(of({ content: { blob: { [digest]: {} } } }), /has no size/);
    assert.match(of({ content: { blob: { short: { size: 'a' } } } }), /no digest/);
    assert.match(of({ images: { x: { target: { digest: 'y' } } } }), /image x has no target/);
    assert.match(of({}, { snapshots: { s: { id: 'a', kind: 'x' } } }), /^metadata.db: /);
    const bad = readContainerdStore(empty, Buffer.alloc(5));
    assert.ok(!bad.ok && bad.failure.database === 'metadata.db');
    const noBucket = readContainerdStore(writeBolt({}), empty);
    assert.ok(!noBucket.ok && noBucket.failure.database === 'meta.db');
  });

  it('reads numbers of several bytes, and a store with nothing in it', () => {
    const digest = digestOf('x');
    const result = readContainerdStore(
      writeBolt({
        v1: { moby: { content: { blob: { [digest]: { size: Buffer.from('cc06', 'hex') } } } } },
      }),
      writeBolt({
        v1: {
          snapshots: { 'moby/1/x': { id: Buffer.from('ac02', 'hex'), kind: Buffer.from([2]) } },
          parents: { '\u0001\u0000\u0002': 'moby/1/x' },
        },
      }),
    );
    assert.ok(result.ok);
    assert.equal(result.value.blobs.get(digest)?.size, 422);
    assert.deepEqual(result.value.records.get('moby/1/x'), { id: 300, kind: 'active' });
    assert.deepEqual([...result.value.links], ['1/2']);
    assert.equal(result.value.images.size, 0);
    assert.equal(result.value.version, undefined);
  });
});

describe('chainIds', () => {
  it('is the diff ID for the base and a hash of both above', () => {
    const [a, b] = [digestOf('a'), digestOf('b')];
    const second = digestOf(`${a} ${b}`);
    assert.deepEqual(chainIds([a, b, b]), [a, second, digestOf(`${second} ${b}`)]);
    assert.deepEqual(chainIds([]), []);
  });
});

describe('containerdPaths', () => {
  it('knows dockerd’s own containerd and one that runs by itself', () => {
    assert.equal(
      containerdPaths('docker', 'daemon').metaDb,
      'docker/containerd/daemon/io.containerd.metadata.v1.bolt/meta.db',
    );
    assert.equal(
      containerdPaths('containerd', 'own').blobs,
      'containerd/io.containerd.content.v1.content/blobs/sha256',
    );
  });
});

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openBolt } from '../../src/data-root/bolt.ts';
import type { BoltSettings, BoltTree, BoltTreeEntry } from '../../src/data-root/bolt-writer.ts';
import { writeBolt } from '../../src/data-root/bolt-writer.ts';
import { containerdDatabases, contentLabels } from '../../src/data-root/containerd-writer.ts';
import { chainIds } from '../../src/data-root/containerd-store.ts';
import { digestOf } from '../../src/model/digest.ts';
import { sealMeta } from '../unit/data-root/write-bolt.ts';
import { boltJudge, hasGoBolt } from '../rig/bolt-check.ts';
import { rounds, skip } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

function numbered(count: number, item: (i: number) => BoltTreeEntry[1]): BoltTreeEntry[] {
  return Array.from({ length: count }, (_, i) => [`key-${i}`, item(i)]);
}

/** Buckets that hold as many keys as their number, some of them too many for their parent's page. */
function buckets(count: number): BoltTree {
  return {
    sequence: count,
    entries: numbered(count, (i) => ({
      sequence: i,
      entries: numbered(i % 500 === 0 ? 300 : i % 4, (n) => `value ${n}`),
    })),
  };
}

const longKeys: BoltTree = {
  entries: [...Array(20).keys()].map((i) => [Buffer.alloc(32768 - i, 0xff), `${i}`]),
};

function containerd(images: number): { metaDb: Uint8Array; snapshotsDb: Uint8Array } {
  const described = Array.from({ length: images }, (_, i) => {
    const diffIds = ['base', `middle ${i % 7}`, `top ${i}`].map((name) => digestOf(name));
    const layers = diffIds.map((diffId) => digestOf(`packed ${diffId}`));
    const [manifest, config] = [digestOf(`manifest ${i}`), digestOf(`config ${i}`)];
    return { chain: chainIds(diffIds), diffIds, layers, manifest, config };
  });
  const labels = contentLabels(
    described.map(({ chain, ...image }) => ({ ...image, unpacked: chain.at(-1) ?? image.config })),
  );
  const parents = new Map(
    described.flatMap(({ chain }) => chain.map((id, i) => [id, chain[i - 1]])),
  );
  return containerdDatabases({
    time: { seconds: 1_700_000_000, nanoseconds: 0 },
    blobs: [...labels].map(([digest, of]) => ({ digest, size: 1000, labels: of })),
    images: described.map(({ manifest: digest }, i) => ({
      name: `registry.example.org/name-${i}:1`,
      target: { digest, mediaType: 'application/vnd.oci.image.manifest.v1+json', size: 1000 },
    })),
    snapshots: [...parents].map(([chainId, parent]) => ({
      chainId,
      ...(parent === undefined ? {} : { parent }),
      inodes: 10,
      size: 4096,
    })),
  });
}

test('Go’s bbolt finds no fault, before and after it changed the database', async (t) => {
  if (!hasGoBolt()) {
    skip(t, 'go.etcd.io/bbolt for Go');
    return;
  }
  const judge = await boltJudge(t);
  const dir = temporaryTree(t);
  const trees: Readonly<Record<string, [BoltTree, BoltSettings?]>> = {
    'one empty bucket': [{ entries: [['v1', { entries: [] }]] }],
    'many buckets': [{ entries: [['v1', buckets(rounds(5000, 20_000))]] }],
    'pages hardly filled': [{ entries: [['v1', buckets(1000)]] }, { fill: 0.1 }],
    'small pages': [{ entries: [['v1', buckets(1000)]] }, { pageSize: 1024 }],
    'large pages': [{ entries: [['v1', buckets(1000)]] }, { pageSize: 65536 }],
    'long keys': [{ entries: [['v1', longKeys]] }],
    'long keys in small pages': [{ entries: [['v1', longKeys]] }, { pageSize: 1024 }],
    'a large value': [
      {
        entries: [
          [
            'v1',
            {
              entries: [
                ['x', Buffer.alloc(1e6)],
                ['y', ''],
              ],
            },
          ],
        ],
      },
    ],
  };
  const databases = new Map(
    Object.entries(trees).map(([name, [tree, settings]]) => [name, writeBolt(tree, settings)]),
  );
  const { metaDb, snapshotsDb } = containerd(rounds(300, 3000));
  databases.set('meta.db', metaDb).set('metadata.db', snapshotsDb);
  const files = [...databases].map(([name, bytes]) => {
    const file = join(dir, name.replaceAll(' ', '-'));
    writeFileSync(file, bytes);
    return file;
  });
  const reports = await judge(files);
  assert.equal(reports.length, files.length);
  for (const { file, before, after, buckets: held, keys, kept } of reports) {
    assert.deepEqual({ before, after }, { before: [], after: [] }, file);
    assert.equal(kept, keys, file);
    assert.ok(held > 0, file);
    // What bbolt made of it is read by ours too.
    const opened = openBolt(readFileSync(file));
    assert.ok(opened.ok, opened.ok ? '' : `${file}: ${opened.failure.detail}`);
  }
});

test('Go’s bbolt finds what is wrong', async (t) => {
  if (!hasGoBolt()) {
    skip(t, 'go.etcd.io/bbolt for Go');
    return;
  }
  const judge = await boltJudge(t);
  const file = join(temporaryTree(t), 'spoilt.db');
  const bytes = Buffer.from(writeBolt({ entries: [['v1', buckets(1000)]] }));
  // A page at the end that is neither free nor in use.
  const spoilt = Buffer.concat([bytes, Buffer.alloc(4096)]);
  for (const meta of [0, 4096]) {
    spoilt.writeBigUInt64LE(BigInt(spoilt.length / 4096), meta + 56);
    sealMeta(spoilt.subarray(meta, meta + 4096));
  }
  writeFileSync(file, spoilt);
  const [report] = await judge([file]);
  assert.match(report?.before.join() ?? '', /unreachable/);
});

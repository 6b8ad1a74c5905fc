import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { digestOf } from '../../../src/model/digest.ts';
import { verifyConsistency, verifyDataImage } from '../../../src/verify/verify.ts';
import type { Draft } from './data-image.ts';
import { DATA_ROOT, LABEL, bucket, draftImage, varint, writeDraft } from './data-image.ts';
import { blobs, judge, layer, one, pin, remove, watch } from './judge.ts';

const SNAPSHOTS = 'docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots';

describe('verifyDataImage', () => {
  it('finds a right image right, with its pins and by itself', async () => {
    const draft = draftImage();
    const { image, remove: clean } = writeDraft(draft);
    try {
      const before = readFileSync(image);
      const { context, events } = watch();
      const expected = { dataRoot: DATA_ROOT, label: LABEL, pins: draft.pins };
      const verified = await verifyDataImage(image, expected, context);
      assert.ok(verified.ok, JSON.stringify(verified));
      const { bytes, news, ...counts } = verified.value;
      const expectedCounts = { images: 2, blobs: 8, snapshots: 4, files: 2, unpackedFiles: 0 };
      assert.deepEqual(counts, expectedCounts);
      assert.deepEqual(news, []);
      assert.ok(bytes > 0);
      assert.deepEqual(events.at(-1), { type: 'verified', image, images: 2, blobs: 8, files: 2 });
      const alone = await verifyConsistency(image, { dataRoot: DATA_ROOT }, context);
      assert.ok(alone.ok, JSON.stringify(alone));
      assert.ok(readFileSync(image).equals(before));
    } finally {
      clean();
    }
  });

  /** What is spoilt, what must be found, and whether that shows without the pins too. */
  const cases: readonly (readonly [string, (draft: Draft) => void, readonly RegExp[], boolean])[] =
    [
      [
        'a missing name',
        (draft) => {
          remove(bucket(draft.moby, 'images'), 'example.org/one:latest');
        },
        [/^image one: the engine has no example\.org\/one:latest$/],
        false,
      ],
      [
        'a name too many',
        (draft) => {
          const images = bucket(draft.moby, 'images');
          images['example.org/extra:1'] = images['example.org/one:1'] ?? '';
        },
        [/^image example\.org\/extra:1 is not pinned/],
        false,
      ],
      [
        'a name on another image',
        (draft) => {
          bucket(draft.moby, 'images', 'example.org/one:latest', 'target')['digest'] = pin(
            draft,
            'two',
          ).manifest.digest;
        },
        [/^image one: example\.org\/one:latest is sha256:.* pinned is sha256:/],
        false,
      ],
      [
        'a missing layer',
        (draft) => {
          draft.disk.delete(draft.blob(layer(one(draft), 1)));
        },
        [/^image .*: layer sha256:.* is missing$/],
        true,
      ],
      [
        'a flipped bit in a layer',
        (draft) => {
          draft.disk.set(draft.blob(layer(one(draft), 1)), {
            bytes: Buffer.from('onf'),
            mode: 0o444,
          });
        },
        [/^image .*: layer sha256:.* has other bytes: sha256:/],
        true,
      ],
      [
        'a short layer',
        (draft) => {
          draft.disk.set(draft.blob(layer(one(draft), 1)), {
            bytes: Buffer.from('on'),
            mode: 0o444,
          });
        },
        [/^image .*: layer sha256:.* has 2 bytes instead of 3$/],
        true,
      ],
      [
        'a blob that containerd does not know',
        (draft) => {
          remove(blobs(draft), layer(one(draft), 1));
        },
        [/^image .*: layer sha256:.* is unknown to containerd$/],
        true,
      ],
      [
        'a blob of another size for containerd',
        (draft) => {
          bucket(blobs(draft), layer(one(draft), 1))['size'] = varint(99);
        },
        [/^image .*: layer sha256:.* has 99 bytes for containerd instead of 3$/],
        true,
      ],
      [
        'a blob of nobody',
        (draft) => {
          draft.disk.set(draft.blob(digestOf('stray')), {
            bytes: Buffer.from('stray'),
            mode: 0o444,
          });
        },
        [/^blob sha256:.* \(5 bytes\) belongs to no pinned image$/],
        true,
      ],
      [
        'an index of a stranger',
        (draft) => {
          const text = JSON.stringify({ manifests: [{ digest: digestOf('stranger') }] });
          draft.disk.set(draft.blob(digestOf(text)), { bytes: Buffer.from(text), mode: 0o444 });
        },
        [/^blob sha256:.* belongs to no pinned image$/],
        true,
      ],
      [
        'a record of a blob that is not there',
        (draft) => {
          blobs(draft)[digestOf('ghost')] = { size: varint(5) };
        },
        [/^blob sha256:.* is known to containerd and is not there$/],
        true,
      ],
      [
        'a label that holds a layer, missing',
        (draft) => {
          remove(
            bucket(blobs(draft), one(draft).manifest.digest, 'labels'),
            'containerd.io/gc.ref.content.l.1',
          );
        },
        [/^image .*: containerd may collect sha256:.*manifest's label/],
        true,
      ],
      [
        'a label that holds the snapshots, missing',
        (draft) => {
          remove(bucket(blobs(draft), one(draft).config.digest), 'labels');
        },
        [/^image .*: containerd may collect its snapshots/],
        true,
      ],
      [
        'an image of a foreign platform that was stored and not unpacked',
        (draft) => {
          for (const chainId of draft.chains['two']?.slice(1) ?? []) {
            const snapshots = bucket(draft.moby, 'snapshots', 'overlayfs');
            const name = bucket(snapshots, chainId)['name'];
            assert.ok(typeof name === 'string');
            remove(snapshots, chainId);
            remove(bucket(draft.own, 'snapshots'), name);
            draft.disk.delete(`${SNAPSHOTS}/${name.split('/')[1] ?? ''}/fs/file`);
          }
        },
        [/^image .*: its layer with chain ID .* is not unpacked$/, /is not unpacked$/],
        true,
      ],
      [
        'a snapshot on no parent',
        (draft) => {
          remove(
            bucket(draft.moby, 'snapshots', 'overlayfs', draft.chains['one']?.[1] ?? ''),
            'parent',
          );
        },
        [/^image .*: snapshot .* has the parent none instead of sha256:/],
        true,
      ],
      [
        'a snapshot that is not committed',
        (draft) => {
          const chainId = draft.chains['one']?.[1] ?? '';
          bucket(draft.own, 'snapshots', `moby/2/${chainId}`)['kind'] = Buffer.from([2]);
        },
        [/^image .*: snapshot .* is active instead of committed$/],
        true,
      ],
      [
        'a snapshot that the snapshotter does not know',
        (draft) => {
          remove(bucket(draft.own, 'snapshots'), `moby/2/${draft.chains['one']?.[1] ?? ''}`);
        },
        [
          /^image .*: snapshot .* is unknown to the snapshotter/,
          /snapshots\/2 belongs to no snapshot$/,
        ],
        true,
      ],
      [
        'a snapshot below another in the snapshotter',
        (draft) => {
          remove(bucket(draft.own, 'parents'), '\u0001\u0000\u0002');
        },
        [/^image .*: snapshot .* is not listed below its parent/],
        true,
      ],
      [
        'a snapshot without a directory',
        (draft) => {
          draft.disk.delete(`${SNAPSHOTS}/2/fs/file`);
        },
        [/^image .*: snapshot .* has no directory .*snapshots\/2$/],
        true,
      ],
      [
        'a snapshot with nothing in its directory',
        (draft) => {
          draft.disk.delete(`${SNAPSHOTS}/2/fs/file`);
          draft.disk.set(`${SNAPSHOTS}/2/other`, { bytes: Buffer.from(''), mode: 0o644 });
        },
        [/^image .*: .*snapshots\/2\/fs is not there$/],
        true,
      ],
      [
        "a container's snapshot",
        (draft) => {
          bucket(draft.moby, 'snapshots', 'overlayfs')['container'] = { name: 'moby/9/container' };
          bucket(draft.own, 'snapshots')['moby/9/container'] = {
            id: Buffer.from([9]),
            kind: Buffer.from([2]),
          };
        },
        [/^snapshot container belongs to no pinned image$/],
        true,
      ],
      [
        'what the engine leaves behind',
        (draft) => {
          draft.disk.set('docker/engine-id', { bytes: Buffer.from('id'), mode: 0o600 });
          draft.disk.set('docker/network/files/local-kv.db', {
            bytes: Buffer.from('x'),
            mode: 0o600,
          });
        },
        [/^docker\/network is left over/, /^docker\/engine-id is left over/],
        true,
      ],
      [
        'a missing file, another mode, other bytes',
        (draft) => {
          draft.disk.delete('.empty');
          draft.disk.set('extra/deep/file', { bytes: Buffer.from('tixt'), mode: 0o644 });
        },
        [
          /^file extra\/deep\/file has mode 0644 instead of 0640$/,
          /^file extra\/deep\/file has other bytes/,
          /^file \.empty is missing$/,
        ],
        false,
      ],
      [
        'strangers outside the data root',
        (draft) => {
          draft.disk.set('stranger', { bytes: Buffer.from(''), mode: 0o644 });
          draft.disk.set('extra/deep/second', { bytes: Buffer.from(''), mode: 0o644 });
        },
        [/^extra\/deep\/second is neither pinned/, /^stranger is neither pinned/],
        false,
      ],
      [
        'several things at once',
        (draft) => {
          remove(bucket(draft.moby, 'images'), 'example.org/one:latest');
          draft.disk.delete(draft.blob(layer(one(draft), 1)));
          draft.disk.delete('.empty');
        },
        [/the engine has no/, /layer sha256:.* is missing/, /file \.empty is missing/],
        false,
      ],
    ];
  for (const [name, spoil, expected, showsAlone] of cases)
    it(`finds ${name}`, async () => {
      const verdict = await judge(spoil);
      assert.equal(verdict.findings.length, expected.length, verdict.findings.join('\n'));
      const found = [...verdict.findings].sort();
      for (const pattern of expected)
        assert.ok(
          found.some((finding) => pattern.test(finding)),
          `${pattern.source}\n${found.join('\n')}`,
        );
      if (showsAlone) assert.notDeepEqual(verdict.alone, []);
    });

  it('lets the index pass that `docker load` leaves', async () => {
    const verdict = await judge((draft) => {
      const text = JSON.stringify({ manifests: [one(draft).manifest] });
      draft.disk.set(draft.blob(digestOf(text)), { bytes: Buffer.from(text), mode: 0o444 });
      blobs(draft)[digestOf(text)] = { size: varint(text.length) };
    });
    assert.deepEqual(verdict, { findings: [], alone: [] });
  });
});

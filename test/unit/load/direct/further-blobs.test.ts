import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { digestOf } from '../../../../src/model/digest.ts';
import { verifyDataImage } from '../../../../src/verify/verify.ts';
import { makeLayer, noise } from '../../../rig/image.ts';
import type { GivenLayer } from './direct-image.ts';
import { givenImages, writeImage } from './direct-image.ts';

const base = await makeLayer({ 'etc/base': 'of the base', 'usr/lib/large': noise(1, 2_500_000) });
const above = await makeLayer({ 'etc/above': 'above' });
const plain = { blob: gunzipSync(base.blob), diffId: base.diffId };
const damaged = Buffer.from(plain.blob);
damaged[600] = 0xff;

async function written(
  t: TestContext,
  kind: Parameters<typeof writeImage>[1],
  layers: Readonly<Record<string, readonly GivenLayer[]>>,
) {
  const given = await givenImages(t, layers);
  const { image, result, events } = await writeImage(given, kind);
  assert.ok(result.ok, JSON.stringify(result));
  const loaded = events.flatMap((event) => (event.type === 'loaded' ? [event.image] : []));
  assert.deepEqual([...loaded].sort(), Object.keys(layers).sort());
  const verified = await verifyDataImage(
    image,
    {
      ...{ pins: given.pins, dataRoot: 'docker', unpack: kind !== 'packed', contents: true },
      withoutChecker: true,
    },
    { signal: new AbortController().signal, report: () => undefined },
  );
  assert.ok(verified.ok, JSON.stringify(verified));
  return verified.value;
}

for (const kind of ['containerd', 'packed', 'overlay2'] as const)
  void test(`a base that two images have packed differently is there as each has it: ${kind}`, async (t) => {
    const zstd = execFileSync('zstd', ['-q', '-c'], {
      ...{ input: plain.blob, maxBuffer: 1e8 },
    });
    const packedBlobs = { gzip: [base, above], plain: [plain], zstd: [{ ...plain, blob: zstd }] };
    const { images, blobs, snapshots } = await written(t, kind, packedBlobs);
    assert.equal(images, 3);
    if (kind === 'overlay2') return;
    // Three of the base and one above, three manifests, and two configs: two images differ in nothing else.
    assert.equal(blobs, 4 + 3 + 2);
    assert.equal(snapshots, kind === 'packed' ? 0 : 2);
  });

for (const kind of ['containerd', 'overlay2'] as const)
  void test(`a further blob that unpacks to something else is refused: ${kind}`, async (t) => {
    const other = { blob: damaged, diffId: base.diffId };
    const given = await givenImages(t, { gzip: [base], other: [other] });
    const { result } = await writeImage(given, kind);
    assert.ok(!result.ok && result.failure.reason === 'layer-bad', JSON.stringify(result));
    assert.equal(result.failure.image, 'other');
    assert.equal(result.failure.layer, digestOf(damaged));
    assert.match(result.failure.detail, new RegExp(`unpacks to ${digestOf(damaged)}`));
  });

void test('a further blob that is not what its name says is refused', async (t) => {
  const given = await givenImages(t, { gzip: [base], plain: [plain] });
  writeFileSync(given.store.blobPath(digestOf(plain.blob)), damaged);
  const { result } = await writeImage(given, 'containerd');
  assert.ok(!result.ok && result.failure.reason === 'blob-bad', JSON.stringify(result));
  assert.equal(result.failure.owner, 'plain');
  assert.equal(result.failure.problem, 'wrong digest');
});

void test('what is begun anew since layers take back what they had is told of once', async (t) => {
  const early = await makeLayer({ 'etc/one': 'one', 'etc/more': 'more', 'etc/.wh.one': '' });
  const late = await makeLayer({ 'usr/lib/large': noise(2, 3_000_000), 'usr/.wh.lib': '' });
  await written(t, 'containerd', { small: [above], early: [early], late: [late] });
});

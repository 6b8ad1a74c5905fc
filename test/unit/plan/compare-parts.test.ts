import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import { contradictedParts } from '../../../src/plan/compare-parts.ts';

const part = (name: string): Descriptor => ({ digest: digestOf(name), mediaType: name, size: 5 });
const [a, b] = [part('a'), part('b')];
const image = { manifest: part('manifest'), config: part('config'), layers: [a, b, a] };

test('pins that say what the manifest says contradict nothing', () => {
  assert.equal(contradictedParts(image, image), undefined);
});

test('the first part that is not as the manifest has it is told', () => {
  const other = part('other');
  for (const pinned of [
    { ...image, config: other },
    { ...image, layers: [a, other, a] },
  ]) {
    const detail = `they name ${other.digest}, which is no part of ${image.manifest.digest}`;
    assert.deepEqual(contradictedParts(pinned, image), { detail, pinned: other });
  }
  const larger = { ...b, size: 6 };
  assert.deepEqual(contradictedParts({ ...image, layers: [a, larger, a] }, image), {
    detail: `they give ${b.digest} 6 bytes, and it has 5`,
    pinned: larger,
  });
  const manifest = { ...image.manifest, size: 4 };
  assert.equal(contradictedParts({ ...image, manifest }, image)?.pinned, manifest);
  const renamed = { ...b, mediaType: 'c' };
  assert.deepEqual(contradictedParts({ ...image, layers: [a, renamed, a] }, image), {
    detail: `they call ${b.digest} c, and it is b`,
    pinned: renamed,
  });
});

test('number and order of layers count', () => {
  for (const layers of [[a, b], [a, a, b], []]) {
    const found = contradictedParts({ ...image, layers }, image);
    assert.match(found?.detail ?? '', /are others, or in another order$/);
    assert.equal(found?.pinned, undefined);
  }
});

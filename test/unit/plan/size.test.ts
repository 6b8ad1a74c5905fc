import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { TargetPins } from '../../../src/model/pins.ts';
import {
  estimateContent,
  finalSize,
  leastSize,
  likelySize,
  workingSize,
} from '../../../src/plan/size.ts';

const MIB = 1024 * 1024;

function blob(content: string, size: number): Descriptor {
  return { digest: digestOf(content), mediaType: 'x', size };
}

const base = blob('base', 10 * MIB);
const pins: TargetPins = {
  target: { platform: 'linux/amd64', set: {} },
  images: {
    a: image([base, blob('a', 2 * MIB)], 'a'),
    b: image([base, blob('b', 3 * MIB)], 'b'),
  },
  files: { x: { sha256: digestOf('x'), size: 7, mode: '0644' } },
};

function image(layers: readonly Descriptor[], name: string): TargetPins['images'][string] {
  return {
    reference: `docker.io/library/${name}:1@${digestOf(name)}`,
    manifest: blob(`${name} manifest`, 100),
    config: blob(`${name} config`, 50),
    layers,
    platform: 'linux/amd64',
    names: [`docker.io/library/${name}:1`],
  };
}

test('what two images share counts once, and what is known goes before what is guessed', () => {
  const content = estimateContent(pins, (layer) => (layer === base ? 25 * MIB : undefined));
  assert.deepEqual(content, {
    blobs: 15 * MIB + 300,
    files: 7,
    unpacked: { least: 25 * MIB, likely: 25 * MIB + 5 * 4 * MIB },
  });
  assert.equal(leastSize(content), 27.5 * MIB + 307);
  assert.ok(likelySize(content) > 60 * MIB);
});

test('a trailer that is smaller than the file is not believed', () => {
  const content = estimateContent(pins, () => 12);
  assert.deepEqual(content.unpacked, { least: 0, likely: 60 * MIB });
});

test('a fixed size is taken as it is, auto has room for everything', () => {
  const content = estimateContent(pins, () => undefined);
  assert.equal(workingSize({ bytes: 64 * MIB }, content, { percent: 10 }), 64 * MIB);
  const auto = workingSize('auto', content, { bytes: 100 * MIB });
  assert.ok(auto > leastSize(content) + 60 * MIB + 100 * MIB);
  assert.equal(auto % MIB, 0);
});

test('headroom is a share of what is used, or bytes', () => {
  assert.equal(finalSize(100 * MIB, { percent: 10 }), 110 * MIB);
  assert.equal(finalSize(100 * MIB - 1, { bytes: 5 * MIB }), 105 * MIB);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor } from '../../../src/model/descriptor.ts';
import { digestOf } from '../../../src/model/digest.ts';
import type { TargetPins } from '../../../src/model/pins.ts';
import {
  contentFor,
  estimateContent,
  fittingSize,
  fittingSizeAfter,
  isTooSmall,
  leastSize,
  likelySize,
  roomForUpdate,
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

test('a layer on another one is unpacked once more, and lies there once', () => {
  const top = blob('top', MIB);
  const moved = { ...pins, images: { a: image([base, top], 'a'), b: image([top], 'b') } };
  const { blobs, unpacked } = estimateContent(moved, () => undefined);
  assert.equal(blobs, 11 * MIB + 300);
  assert.equal(unpacked.likely, 4 * (10 + 1 + 1) * MIB);
});

test('an update has room for what is not there yet, and for an archive in a graph driver', () => {
  const wanted = estimateContent(pins, () => undefined);
  const kept = estimateContent(
    { ...pins, files: {}, images: { a: image([base, blob('a', 2 * MIB)], 'a') } },
    () => undefined,
  );
  const loaded = estimateContent(
    { ...pins, files: {}, images: { b: image([base, blob('b', 3 * MIB)], 'b') } },
    () => 0,
  );
  const engine = { store: 'containerd', unpack: true } as const;
  const content = { wanted, kept, loaded };
  const own = 3 * MIB + 150;
  const unpacked = 4 * 3 * MIB * 1.1;
  assert.equal(roomForUpdate(engine, content), Math.ceil(own + 7 + unpacked) + 8 * MIB);
  const room = roomForUpdate({ ...engine, store: 'overlay2' }, content);
  assert.equal(room, Math.ceil(13 * MIB + 150 + 7 + unpacked) + 8 * MIB);
  const packed = roomForUpdate({ ...engine, unpack: false }, content);
  assert.equal(packed, own + 7 + 8 * MIB);
  assert.equal(roomForUpdate(engine, { wanted, kept }), 7);
});

test('a trailer that is smaller than the file is not believed', () => {
  const content = estimateContent(pins, () => 12);
  assert.deepEqual(content.unpacked, { least: 0, likely: 60 * MIB });
});

test('a fixed size is taken as it is, auto has room for everything and inodes as whole groups have', () => {
  const content = estimateContent(pins, () => undefined);
  assert.equal(workingSize({ bytes: 64 * MIB }, content, {}), 64 * MIB);
  const auto = workingSize('auto', content, {});
  assert.ok(auto > leastSize(content) + 60 * MIB);
  assert.equal(auto % MIB, 0);
  const nothing = { blobs: 0, files: 0, unpacked: { least: 0, likely: 0 } };
  assert.equal(workingSize('auto', nothing, {}), 128 * MIB);
});

test('an engine that does not unpack, or keeps no blobs, has no room for either', () => {
  const content = estimateContent(pins, () => 20 * MIB);
  const blobs = contentFor({ store: 'containerd', unpack: false }, content);
  assert.deepEqual(blobs.unpacked, { least: 0, likely: 0 });
  assert.equal(blobs.blobs, content.blobs);
  const layers = contentFor({ store: 'overlay2', unpack: true }, content);
  assert.equal(layers.blobs, 0);
  assert.deepEqual(layers.unpacked, content.unpacked);
});

test('a size is too small where the least content and the file system have no room in it', () => {
  const content = estimateContent(pins, () => 25 * MIB);
  const least = leastSize(content);
  assert.ok(isTooSmall(least, content, {}), 'a file system has a size of its own');
  assert.ok(!isTooSmall(fittingSize(content, {}), content, {}));
  const fits = fittingSize(content, {});
  assert.equal(fits % MIB, 0);
  assert.ok(fits > likelySize(content) - MIB);
  // A fixed size that is one MiB short of what is certain.
  const lowest = Array.from({ length: 200 }, (_, mib) => mib * MIB).find(
    (size) => !isTooSmall(size, content, {}),
  );
  assert.ok(lowest !== undefined && lowest > least && lowest < fits);
});

test('where no engine runs, nothing is kept free for one', () => {
  const content = estimateContent(pins, () => 25 * MIB);
  const withoutEngine = contentFor(
    { store: 'containerd', unpack: true },
    { ...content, withoutEngine: true },
  );
  const saved = fittingSize(content, {}) - fittingSize(withoutEngine, {});
  assert.ok(saved >= 7 * MIB && saved <= 8 * MIB, `${saved / MIB} MiB`);
  assert.ok(fittingSize(withoutEngine, {}) > leastSize(content));
});

test('a shortage teaches: what is in, and the rest of what is expected', () => {
  const content = estimateContent(pins, () => 25 * MIB);
  const size = 64 * MIB;
  const half = fittingSizeAfter({ size, used: 63 * MIB, loaded: 0.5 }, content, {});
  assert.ok(half >= fittingSize(content, {}));
  // With everything in it only the journal is lacking.
  const all = fittingSizeAfter({ size, used: 62 * MIB, loaded: 1 }, content, {});
  assert.ok(all > size && all < size + 8 * MIB, `${all / MIB} MiB`);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/model/digest.ts';
import { MEDIA_TYPES } from '../../../src/model/media-types.ts';
import type { ImagePin } from '../../../src/model/pins.ts';
import type { EngineProfile } from '../../../src/plan/engine-profile.ts';
import { engineProblems, isVersion, profileOf } from '../../../src/plan/engine-profile.ts';

function image(
  layers: readonly string[],
  more: Partial<Pick<ImagePin, 'keptIndex' | 'platform'>> = {},
): ImagePin {
  const blob = (mediaType: string, text: string): ImagePin['manifest'] => ({
    mediaType,
    digest: digestOf(text),
    size: 1,
  });
  return {
    reference: 'docker.io/library/x:1',
    manifest: blob(MEDIA_TYPES.ociManifest, 'manifest'),
    config: blob(MEDIA_TYPES.ociConfig, 'config'),
    layers: layers.map((type, i) => blob(type, `layer ${i}`)),
    platform: 'linux/arm64',
    names: ['docker.io/library/x:1'],
    ...more,
  };
}

function profile(version: string): EngineProfile {
  const found = profileOf(version);
  assert.ok(found, version);
  return found;
}

const GZIP = MEDIA_TYPES.ociLayerGzip;
const gzip = (count: number): string[] => Array.from({ length: count }, () => GZIP);

void test('versions: what was tested, what is only documented, what nobody knows', () => {
  const cases: [string, EngineProfile['knowledge'] | undefined, number, boolean][] = [
    ['19.03.15', undefined, 0, false],
    ['20.10.24+dfsg1', 'tested', 1, false],
    ['23.0.6', 'documented', 1, true],
    ['24.0.7', 'documented', 2, true],
    ['25.0.0', 'documented', 2, true],
    ['26.0.2', 'documented', 2, true],
    ['26.1.5+dfsg1', 'tested', 2, true],
    ['27.5.1', 'documented', 2, true],
    ['28.0.0', 'documented', 2, true],
    ['28.5.2', 'tested', 2, true],
    ['29.1.3', 'documented', 2, true],
    ['30.0.0', 'unknown', 2, true],
    ['dev', undefined, 0, false],
  ];
  for (const [version, knowledge, stores, zstd] of cases) {
    const found = profileOf(version);
    assert.equal(found?.knowledge, knowledge, version);
    if (found === undefined) continue;
    assert.equal(found.stores.length, stores, version);
    assert.equal(found.zstd, zstd, version);
  }
});

void test('a version may be less exact than the engine, and not another', () => {
  const same: [string, string][] = [
    ['28.5.2', '28.5.2'],
    ['28.5.2+dfsg4', '28.5.2'],
    ['28.5.2', '28.5'],
    ['20.10.24+dfsg1', '20.10'],
    ['28.5.2', '28.5.2-ce'],
  ];
  for (const [actual, wanted] of same) assert.ok(isVersion(actual, wanted), `${actual} ${wanted}`);
  const other: [string, string][] = [
    ['28.5.2', '28.5.1'],
    ['28.5', '28.5.2'],
    ['28.50.2', '28.5'],
    ['26.1.5', '28.5.2'],
    ['', '28'],
    ['28.5.2', ''],
  ];
  for (const [actual, wanted] of other)
    assert.ok(!isVersion(actual, wanted), `${actual} ${wanted}`);
});

void test('what an engine has is no problem', () => {
  const images = { x: image([GZIP, MEDIA_TYPES.ociLayerZstd, MEDIA_TYPES.dockerLayerZstd]) };
  for (const store of ['containerd', 'overlay2'] as const)
    assert.deepEqual(engineProblems(profile('26.1.5'), { store, unpack: true }, images), []);
  const unpack = false;
  assert.deepEqual(engineProblems(profile('28.5.2'), { store: 'containerd', unpack }, images), []);
});

void test('every problem is told at once', () => {
  const problems = engineProblems(
    profile('20.10.24+dfsg1'),
    { store: 'containerd', unpack: true },
    { x: image([MEDIA_TYPES.ociLayerZstd, 'application/x-other']) },
  );
  assert.deepEqual(
    problems.map(({ what, detail }) => `${what}: ${detail}`),
    [
      'engine.store: it has no containerd store, which came with Docker 24.0',
      'image x: it has zstd layers, which Docker unpacks since 23.0',
      'image x: it has layers of the media type application/x-other, which no engine unpacks',
    ],
  );
});

void test('limits of the stores: layers, indexes, packed images', () => {
  const wrong = (store: 'containerd' | 'overlay2', pin: ImagePin, unpack = true): string[] =>
    engineProblems(profile('28.5.2'), { store, unpack }, { x: pin }).map(({ detail }) => detail);
  assert.deepEqual(wrong('overlay2', image(gzip(125))), []);
  assert.deepEqual(wrong('overlay2', image(gzip(126))), [
    'it has 126 layers, and overlay2 takes 125',
  ]);
  assert.deepEqual(wrong('containerd', image(gzip(499))), []);
  assert.equal(wrong('containerd', image(gzip(500))).length, 1);
  const keptIndex = image([]).manifest;
  assert.deepEqual(wrong('containerd', image(gzip(1), { keptIndex })), []);
  assert.equal(wrong('overlay2', image(gzip(1), { keptIndex })).length, 1);
  assert.equal(wrong('overlay2', image(gzip(1)), false).length, 1);
  assert.equal(wrong('containerd', image(gzip(1), { platform: 'windows/amd64' })).length, 1);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf } from '../../../src/model/digest.ts';
import type { TargetPins } from '../../../src/model/pins.ts';
import { parseReference } from '../../../src/model/reference.ts';
import { moved, stale } from '../../../src/plan/compare-pins.ts';
import type { Wanted } from '../../../src/plan/wanted.ts';
import { imagePin, targetPins } from '../model/pins-sample.ts';

function reference(text: string): Wanted['dind'] {
  const parsed = parseReference(text);
  assert.ok(parsed.ok);
  return parsed.value;
}

const PINS = targetPins();
const WANTED: Wanted = {
  target: PINS.target,
  platform: { os: 'linux', arch: 'arm64' },
  vars: {},
  partition: { label: 'data', size: 'auto', headroom: { percent: 10 }, dataRoot: 'docker' },
  engine: { name: 'docker', store: 'containerd', version: '28.5.2', unpack: true },
  dind: reference('docker:28.5.2-dind'),
  images: { core: { reference: reference('ghcr.io/x/core:1'), names: ['ghcr.io/x/core:1'] } },
  files: {
    'a/b.json': { kind: 'content', mode: '0644', content: new TextEncoder().encode('{}\n') },
  },
};
const core = PINS.images['core'] ?? assert.fail();
const file = PINS.files['a/b.json'] ?? assert.fail();
const short = (seed: string): string => `${digestOf(seed).slice(0, 19)}…`;
const content = (text: string): Wanted['files'][string] => ({
  kind: 'content',
  mode: '0644',
  content: new TextEncoder().encode(text),
});

test('pins that fit have no differences, whatever the digests are', () => {
  assert.deepEqual(stale(WANTED, PINS), []);
  const images = { core: imagePin('ghcr.io/x/core:1', 'rebuilt') };
  assert.deepEqual(stale(WANTED, { ...PINS, images }), []);
});

const STALE: readonly (readonly [
  string,
  Partial<Wanted>,
  Partial<TargetPins>,
  readonly string[],
])[] = [
  ['a new image', {}, { images: {} }, ['images.core is not pinned']],
  ['an image that is gone', { images: {} }, {}, ['images.core is pinned and not in the bundle']],
  [
    'another tag',
    { images: { core: { reference: reference('ghcr.io/x/core:2'), names: ['ghcr.io/x/core:1'] } } },
    {},
    ['images.core: ghcr.io/x/core:1 is pinned, the bundle wants ghcr.io/x/core:2'],
  ],
  [
    'a digest in the bundle',
    {
      images: {
        core: { reference: reference(`ghcr.io/x/core:1@${digestOf('other')}`), names: core.names },
      },
    },
    {},
    [
      `images.core: ${core.reference} is pinned, the bundle wants ghcr.io/x/core:1@${digestOf('other')}`,
    ],
  ],
  [
    'another name on the device',
    {
      images: {
        core: {
          reference: reference('ghcr.io/x/core:1'),
          names: ['ghcr.io/x/core:1', 'ghcr.io/x/core:latest'],
        },
      },
    },
    {},
    [
      'images.core: its names are pinned as ghcr.io/x/core:1, and are ghcr.io/x/core:1, ghcr.io/x/core:latest',
    ],
  ],
  [
    'a reference edited by hand',
    {},
    { images: { core: { ...core, reference: `ghcr.io/x/core:1@${digestOf('by hand')}` } } },
    [
      `images.core: its reference says ${short('by hand')}, and the digests beside it are of ${short('core index')}`,
    ],
  ],
  ['a new file', {}, { files: {} }, ['files.a/b.json is not pinned']],
  ['a file that is gone', { files: {} }, {}, ['files.a/b.json is pinned and not in the bundle']],
  [
    'other content',
    { files: { 'a/b.json': content('{"a":1}\n') } },
    {},
    ['files.a/b.json: its content changed'],
  ],
  [
    'another mode',
    { files: { 'a/b.json': { ...content('{}\n'), mode: '0600' } } },
    {},
    ['files.a/b.json: mode 0644 is pinned, the bundle says 0600'],
  ],
  [
    'another address',
    { files: { 'a/b.json': { kind: 'url', mode: '0644', url: 'https://b/' } } },
    { files: { 'a/b.json': { ...file, url: 'https://a/' } } },
    ['files.a/b.json: https://a/ is pinned, the bundle names https://b/'],
  ],
  [
    'an address instead of content',
    { files: { 'a/b.json': { kind: 'url', mode: '0644', url: 'https://b/' } } },
    {},
    ['files.a/b.json: content of the bundle is pinned, the bundle names https://b/'],
  ],
  [
    'content instead of an address',
    {},
    { files: { 'a/b.json': { ...file, url: 'https://a/' } } },
    ['files.a/b.json: https://a/ is pinned, the bundle holds its content'],
  ],
  [
    'another engine',
    { dind: reference('docker:29-dind') },
    {},
    [
      'engine.dind: docker.io/library/docker:28.5.2-dind is pinned, the bundle wants docker.io/library/docker:29-dind',
    ],
  ],
  [
    'another catalog',
    { catalog: { from: 'https://b/', values: {} } },
    { catalog: { from: 'https://a/', values: {} } },
    ['catalog: https://a/ is pinned, the bundle names https://b/'],
  ],
];
for (const [name, wanted, pins, differences] of STALE) {
  test(`pins are stale after ${name}`, () => {
    assert.deepEqual(stale({ ...WANTED, ...wanted }, { ...PINS, ...pins }), differences);
  });
}

test('pins without the image of the engine are stale', () => {
  const { target, images, files } = PINS;
  assert.deepEqual(stale(WANTED, { target, images, files }), ['the dind image is not pinned']);
});

test('a loader that runs no engine cares for no image of one', () => {
  const { target, images, files } = PINS;
  const wanted = { ...WANTED, withoutDind: true } as const;
  assert.deepEqual(stale(wanted, { target, images, files }), []);
  assert.deepEqual(stale(wanted, PINS), []);
});

const other = imagePin('ghcr.io/x/core:1', 'new');
const MOVED: readonly (readonly [string, Partial<TargetPins>, readonly string[]])[] = [
  ['nothing', {}, []],
  [
    'a tag',
    { images: { core: other } },
    [`core: 1 ${short('core index')} → ${short('new index')}`],
  ],
  [
    'a version',
    { images: { core: imagePin('ghcr.io/x/core:2', 'new') } },
    [`core: 1 ${short('core index')} → 2 ${short('new index')}`],
  ],
  [
    'a repository',
    { images: { core: imagePin('ghcr.io/y/core:1', 'new') } },
    [`core: ghcr.io/x/core:1 ${short('core index')} → ghcr.io/y/core:1 ${short('new index')}`],
  ],
  [
    'the set of images',
    { images: { dns: imagePin('ghcr.io/x/dns:1', 'dns') } },
    ['core: removed', 'dns: added'],
  ],
  [
    'a name',
    { images: { core: { ...core, names: ['ghcr.io/x/core:1', 'ghcr.io/x/core:3'] } } },
    ['core: names ghcr.io/x/core:1 → ghcr.io/x/core:1, ghcr.io/x/core:3'],
  ],
  [
    'a file',
    { files: { 'a/b.json': { ...file, sha256: digestOf('x') } } },
    [`a/b.json: ${short('{}\n')} → ${short('x')}`],
  ],
  ['a mode', { files: { 'a/b.json': { ...file, mode: '0600' } } }, ['a/b.json: mode 0644 → 0600']],
  [
    'the image of the engine',
    {
      dind: { platforms: {}, reference: `docker.io/library/docker:28.5.2-dind@${digestOf('new')}` },
    },
    [`dind: 28.5.2-dind ${short('dind index')} → ${short('new')}`],
  ],
];
for (const [name, after, changes] of MOVED) {
  test(`what moved: ${name}`, () => {
    assert.deepEqual(moved(PINS, { ...PINS, ...after }), changes);
  });
}

const LOCAL = { transport: 'oci', text: 'oci:images/core', path: 'images/core' } as const;
const localWanted = (image: Partial<Wanted['images'][string]>): Wanted => ({
  ...WANTED,
  images: { core: { reference: reference('ghcr.io/x/core:1'), names: core.names, ...image } },
});
const localPins = (pin: Partial<typeof core>): TargetPins => ({
  ...PINS,
  images: { core: { ...core, ...pin } },
});

test('a local image is known by its place, wherever the bundle is', () => {
  const wanted = localWanted({ local: { ...LOCAL, location: '/elsewhere/images/core' } });
  const pins = localPins({ from: LOCAL.text });
  assert.deepEqual(stale(wanted, pins), []);
  assert.deepEqual(stale(wanted, localPins({ from: 'oci:other' })), [
    'images.core: oci:other is pinned, the bundle wants oci:images/core',
  ]);
  assert.deepEqual(stale(wanted, PINS), [
    `images.core: ${core.reference} is pinned, the bundle wants oci:images/core`,
  ]);
  assert.deepEqual(stale(WANTED, pins), [
    'images.core: oci:images/core is pinned, the bundle wants ghcr.io/x/core:1',
  ]);
  const edited = { ...pins.images['core'], reference: `ghcr.io/x/core:1@${digestOf('edited')}` };
  assert.match(stale(wanted, localPins(edited))[0] ?? '', /its reference says/);
  assert.deepEqual(moved(PINS, pins), ['core: its registry → oci:images/core']);
});

test('whether the index is kept is part of the pins', () => {
  const kept = localPins({ keptIndex: { ...core.manifest, digest: core.index ?? assert.fail() } });
  assert.deepEqual(stale(localWanted({ keepIndex: true }), kept), []);
  assert.deepEqual(stale(localWanted({ keepIndex: true }), PINS), [
    'images.core: its index is not pinned to be kept, and the bundle wants it',
  ]);
  assert.deepEqual(stale(WANTED, kept), [
    'images.core: its index is pinned to be kept, and the bundle does not want it',
  ]);
  assert.deepEqual(moved(PINS, kept), ['core: its index is kept']);
  const { index, ...single } = core;
  assert.ok(index !== undefined);
  const reference = `ghcr.io/x/core:1@${core.manifest.digest}`;
  const alone = { ...PINS, images: { core: { ...single, reference } } };
  assert.deepEqual(stale(localWanted({ keepIndex: true }), alone), [], 'there is none to keep');
});

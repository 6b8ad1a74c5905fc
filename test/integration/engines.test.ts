import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startDevice } from '../rig/device-engine.ts';
import { offersDebian } from '../rig/dind-image.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { pushFrom } from '../rig/publish.ts';
import { rounds, skip } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { contentOf } from './data-content.ts';
import { relabelled } from './dind-variants.ts';
import type { EngineStore } from './engine-fixture.ts';
import {
  buildWith,
  layered,
  manyPlatforms,
  startFixture,
  threeLayers,
  withZstd,
} from './engine-fixture.ts';

const PLATFORM = 'linux/amd64';
const STORES: readonly EngineStore[] = ['containerd', 'overlay2'];

const fixture = await startFixture(fileOwner());
const debian = await offersDebian();
const app = await fixture.publish('three', await threeLayers(PLATFORM));
const plain = await makeLayer({ 'etc/zstd': noise(1, 50_000) }, { gzip: false });
const packed = await makeImage({ platform: PLATFORM, layers: [plain] });
const zstd = await fixture.publish('zstd', withZstd(packed, [plain.blob]));

void test('what an engine cannot do is refused before anything is built', async (t) => {
  if (!debian) {
    skip(t, "Debian's packages");
    return;
  }
  const [old, current] = [await fixture.dind('20.10'), await fixture.dind('28.5')];
  const both = await fixture.publish('both', await manyPlatforms([PLATFORM, 'linux/arm64']));
  const deep = await fixture.publish('deep126', await layered(PLATFORM, 126));
  const cases: [Parameters<typeof buildWith>[2], RegExp][] = [
    [
      { dind: old, store: 'containerd', platform: PLATFORM, images: { app } },
      /Docker 20\.10\.24.*\n.*engine\.store \(\S+bundle\.yaml:3\): it has no containerd store[^]*engine\.store: overlay2/,
    ],
    [
      { dind: old, store: 'overlay2', platform: PLATFORM, images: { app, zstd } },
      /image zstd: it has zstd layers, which Docker unpacks since 23\.0[^]*gzip/,
    ],
    [
      { dind: current, store: 'overlay2', platform: PLATFORM, images: { deep } },
      /image deep: it has 126 layers, and overlay2 takes 125[^]*engine\.store: containerd/,
    ],
    [
      {
        ...{ dind: current, store: 'overlay2', platform: PLATFORM, images: { app } },
        engine: ['unpack: false'],
      },
      /engine\.unpack \(\S+bundle\.yaml:\d+\): overlay2 keeps no packed layers/,
    ],
    [
      { dind: current, store: 'overlay2', platform: PLATFORM, images: { both }, keepIndex: true },
      /image both: overlay2 has no place for its index/,
    ],
  ];
  for (const [build, message] of cases) {
    const built = await buildWith(t, fixture, build);
    assert.equal(built.code, 2, built.stderr);
    assert.match(built.stderr, message);
    assert.doesNotMatch(built.stderr, /make file system|start engine/);
    assert.ok(!existsSync(built.output));
    // Doing nothing tells as much.
    const dry = await buildWith(t, fixture, build, ['-n']);
    assert.equal(dry.code, 2, dry.stderr);
    assert.match(dry.stderr, message);
  }
});

void test('a dind image of another version is refused, and so is one that lies', async (t) => {
  const dind = await fixture.dind('28.5');
  const build = { dind, store: 'containerd', platform: PLATFORM, images: { app } } as const;
  const before = await machineState({ engine: fixture.engine });
  const other = await buildWith(t, fixture, { ...build, version: '27.5.1' });
  assert.equal(other.code, 3, other.stderr);
  assert.match(other.stderr, /runs Docker 28\.5\.2, and engine\.version is 27\.5\.1/);
  assert.doesNotMatch(other.stderr, /start engine/);

  const lying = await relabelled(t, dind, 'DOCKER_VERSION=27.5.1');
  await pushFrom(fixture.registry, 'library/docker:27.5.1-dind', lying);
  const dindName = 'library/docker:27.5.1-dind';
  const lied = await buildWith(t, fixture, { ...build, version: '27.5.1', dindName });
  assert.equal(lied.code, 3, lied.stderr);
  assert.match(lied.stderr, /runs Docker 28\.5\.2.*, and its DOCKER_VERSION is 27\.5\.1/);
  assert.match(lied.stderr, /Docker 27\.5\.1 is untested/);
  assert.doesNotMatch(lied.stderr, /load images/);
  assert.ok(!existsSync(lied.output));

  // One that says nothing is taken for what the bundle says, and asked when it runs.
  const silent = await relabelled(t, dind, undefined);
  await pushFrom(fixture.registry, 'library/docker:silent', silent);
  const mute = { ...build, dindName: 'library/docker:silent' };
  const wrong = await buildWith(t, fixture, { ...mute, version: '26.1.5' });
  assert.equal(wrong.code, 3, wrong.stderr);
  assert.match(wrong.stderr, /runs Docker 28\.5\.2.*, and engine\.version is 26\.1\.5/);
  const right = await buildWith(t, fixture, mute);
  assert.equal(right.code, 0, right.stderr);
  await assertNothingLeft(before, { engine: fixture.engine });
});

void test('zstd layers and a hundred and thirty of them are unpacked and start', async (t) => {
  const dind = await fixture.dind('28.5');
  const [many, most] = [await layered(PLATFORM, 130), await layered(PLATFORM, 125)];
  const deep = {
    containerd: await fixture.publish('deep130', many),
    overlay2: await fixture.publish('deep125', most),
  };
  // That many layers take their time; overlay2's 125 are let to the long run.
  for (const store of STORES.slice(0, rounds(1, 2))) {
    const images = { zstd, deep: deep[store] };
    const built = await buildWith(t, fixture, { dind, store, platform: PLATFORM, images });
    assert.equal(built.code, 0, built.stderr);
    const { engine } = fixture;
    const device = await startDevice(t, built.output, { engine, dind, store });
    const count = store === 'containerd' ? 130 : 125;
    const name = `registry.example.org/test/deep${count}:1`;
    const created = await device.docker(['create', '--pull', 'never', name, 'true']);
    assert.equal(created.code, 0, created.stderr);
    // To copy out of it the engine mounts all of its layers.
    const last = await device.docker(['cp', `${created.stdout.trim()}:/layer-${count - 1}`, '-']);
    assert.equal(last.code, 0, last.stderr);
    await device.stop();
  }
});

void test('images that stay packed are blobs alone, and the device unpacks them', async (t) => {
  const releases = debian ? (['28.5', '26.1'] as const) : (['28.5'] as const);
  for (const release of releases) {
    const dind = await fixture.dind(release);
    const build = { dind, store: 'containerd', platform: PLATFORM, images: { app, zstd } } as const;
    const built = await buildWith(t, fixture, { ...build, engine: ['unpack: false'] });
    assert.equal(built.code, 0, built.stderr);
    assert.match(built.stderr, /the images stay packed: the device unpacks each .* about \d+ MiB/);
    const verified = await runStowage(t, ['verify', built.output]);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /ok: 2 images, .* 0 snapshots/);
    // Nobody may take them for unpacked, nor unpacked ones for packed.
    const strict = await runStowage(t, ['verify', built.output, '--unpack']);
    assert.equal(strict.code, 3, strict.stdout);
    const { engine } = fixture;
    const device = await startDevice(t, built.output, { engine, dind });
    const name = 'registry.example.org/test/three:1';
    const created = await device.docker(['create', '--pull', 'never', name, 'true']);
    assert.equal(created.code, 0, created.stderr);
    const file = await device.docker(['cp', `${created.stdout.trim()}:/etc/platform`, '-']);
    assert.match(file.stdout, /linux\/amd64/);
    await device.stop();
  }
});

for (const store of STORES)
  void test(`two builds of the same pins have the same content (${store})`, async (t) => {
    const dind = await fixture.dind('28.5');
    const build = { dind, store, platform: PLATFORM, images: { app, zstd } } as const;
    const env = { SOURCE_DATE_EPOCH: '1700000000' };
    const first = await buildWith(t, fixture, { ...build, env });
    const second = await buildWith(t, fixture, { ...build, env });
    for (const { code, stderr } of [first, second]) assert.equal(code, 0, stderr);
    const document = (output: string): string =>
      readFileSync(output.replace(/\.ext4$/, '.json'), 'utf8');
    const withoutSize = (text: string): string =>
      text.replace(/"size": \d+,\n *"label"/, '"label"');
    assert.equal(withoutSize(document(first.output)), withoutSize(document(second.output)));
    const contents = [];
    for (const { output } of [first, second]) contents.push(await contentOf(t, output, store));
    const [one, two] = contents;
    assert.ok(one !== undefined && one.length > 10, 'there is something to compare');
    assert.deepEqual(one, two);
    assert.doesNotMatch(document(first.output), /\/tmp\/|stowage-\d+/);
  });

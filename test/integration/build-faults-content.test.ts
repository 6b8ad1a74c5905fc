import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { digestOf, makeImage, makeIndex, makeLayer, noise, type Image } from '../rig/image.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import { runStowage } from '../rig/stowage.ts';
import { makeScene, startBuildFixture } from './build-fixture.ts';

/** Blobs, documents and platforms that are not what they are said to be. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);
const { store, registry } = fixture;

interface Pin {
  manifest: { digest: string; size: number };
  config: { digest: string; size: number };
  layers: { digest: string; size: number; mediaType: string }[];
  platform: string;
}
interface PinsFile {
  targets: Record<string, { images: Record<string, Pin> }>;
}

function pinOf(document: PinsFile, name: string): Pin {
  const pin = document.targets['linux/amd64']?.images[name];
  assert.ok(pin);
  return pin;
}

const pinned = JSON.parse(readFileSync(fixture.pins, 'utf8')) as PinsFile;

/** The bundle with other pins. */
function withPins(t: TestContext, edit: (one: Pin) => void): string[] {
  const document = structuredClone(pinned);
  edit(pinOf(document, 'one'));
  const file = join(fixture.dir, 'edited.json');
  writeFileSync(file, JSON.stringify(document));
  atEnd(t, () => {
    rmSync(file, { force: true });
  });
  return ['-b', fixture.bundle, '-p', file, '-s', store];
}

function blobPath(digest: string): string {
  return join(store, 'blobs', 'sha256', digest.slice(7));
}

/** Puts other bytes, or none, in a blob's place until the test ends. */
function replaceBlob(t: TestContext, digest: string, bytes: Uint8Array | undefined): void {
  const path = blobPath(digest);
  const aside = join(fixture.dir, 'aside');
  const had = existsSync(path);
  if (had) renameSync(path, aside);
  if (bytes !== undefined) writeFileSync(path, bytes);
  atEnd(t, () => {
    rmSync(path, { force: true });
    if (had) renameSync(aside, path);
  });
}

const layer = pinOf(pinned, 'big').layers[0];
assert.ok(layer);

for (const [what, change, problem] of [
  ['with a bit that flipped', flip, 'not what its name says'],
  ['that was cut off', (bytes: Buffer) => bytes.subarray(0, -1000), 'of the wrong size'],
  ['that is gone', () => undefined, 'missing'],
] as const)
  test(`a layer ${what} in the store`, async (t) => {
    const scene = await makeScene(t, fixture);
    replaceBlob(t, layer.digest, change(readFileSync(blobPath(layer.digest))));
    await scene.fails(
      scene.start(),
      3,
      new RegExp(
        `\nstowage: big: ${layer.digest} is ${problem} in ${store}\n {2}hint: run .stowage fetch -s`,
      ),
    );
  });

function flip(bytes: Buffer): Buffer {
  const at = bytes.length - 5000;
  bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  return bytes;
}

test('a layer that is gone once the load has begun', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: make file system$/m);
  replaceBlob(t, layer.digest, undefined);
  await scene.fails(
    running,
    3,
    new RegExp(`\nstowage: big: ${layer.digest} is missing in ${store}\n`),
  );
});

/** Puts an image's blobs into the store and pins it as `one`. */
function pinImage(
  t: TestContext,
  image: Image,
  edit: (pin: Pin) => void = () => undefined,
): string[] {
  for (const [digest, bytes] of image.blobs)
    if (!existsSync(blobPath(digest))) replaceBlob(t, digest, bytes);
  return withPins(t, (one) => {
    const { digest, size } = image.descriptor;
    Object.assign(one.manifest, { digest, size });
    Object.assign(one.config, { digest: image.config.digest, size: image.config.size });
    one.layers = image.layers.map((part) => ({ ...part }));
    edit(one);
  });
}

/** An image whose config or manifest was changed after it was made, with digests that fit. */
async function lyingImage(lie: {
  config?: (config: { rootfs: { diff_ids: string[] } }) => unknown;
  manifest?: (manifest: { layers: { size: number }[] }) => unknown;
}): Promise<Image> {
  const image = await makeImage({
    platform: 'linux/amd64',
    layers: [{ a: noise(961, 1000) }, { b: noise(962, 1000) }],
  });
  const blobs = new Map(image.blobs);
  const json = (digest: string): unknown =>
    JSON.parse(Buffer.from(blobs.get(digest) ?? '').toString('utf8'));
  const put = (bytes: Uint8Array): { digest: string; size: number } => {
    blobs.set(digestOf(bytes), bytes);
    return { digest: digestOf(bytes), size: bytes.length };
  };
  const honest = json(image.config.digest) as { rootfs: { diff_ids: string[] } };
  const told = lie.config?.(honest) ?? honest;
  const text = typeof told === 'string' ? told : JSON.stringify(told);
  const config = { ...image.config, ...put(Buffer.from(text)) };
  const document = { ...(json(image.descriptor.digest) as { layers: { size: number }[] }), config };
  lie.manifest?.(document);
  const manifest = put(Buffer.from(JSON.stringify(document)));
  return { ...image, config, blobs, descriptor: { ...image.descriptor, ...manifest } };
}

test('a config that is no JSON, or tells of other layers', async (t) => {
  const scene = await makeScene(t, fixture);
  const noJson = await lyingImage({ config: () => 'not JSON at all' });
  await scene.fails(
    scene.start([], {}, pinImage(t, noJson)),
    3,
    /\nstowage: one: \S+ is not what its pins say \(\S+edited\.json:1\): its config sha256:\S+ is no image configuration\n {2}hint: /,
  );
  const short = await lyingImage({
    config: (config) => ({
      ...config,
      rootfs: { type: 'layers', diff_ids: config.rootfs.diff_ids.slice(1) },
    }),
  });
  await scene.fails(
    scene.start([], {}, pinImage(t, short)),
    3,
    /\nstowage: one: .*: its config tells of 1 layers, its manifest of 2\n/,
  );
});

test('a layer that unpacks to something else than the config says', async (t) => {
  const scene = await makeScene(t, fixture);
  const other = await makeLayer({ other: 'content' });
  const wrong = await lyingImage({
    config: ({ rootfs, ...config }) => ({
      ...config,
      rootfs: { ...rootfs, diff_ids: [rootfs.diff_ids[0], other.diffId] },
    }),
  });
  await scene.fails(
    scene.start([], {}, pinImage(t, wrong)),
    3,
    /\nstowage: one was not loaded as it should be: .*(diff|unpack).*\n {2}hint: /i,
  );
});

test('a manifest that lies about sizes, or has other parts than are pinned', async (t) => {
  const scene = await makeScene(t, fixture);
  const lying = await lyingImage({
    manifest: ({ layers }) => {
      if (layers[1]) layers[1].size += 1;
    },
  });
  await scene.fails(
    scene.start([], {}, pinImage(t, lying)),
    3,
    /\nstowage: one: .*: its manifest gives layer 2 \d+ bytes, the pins \d+\n/,
  );
  const two = pinOf(pinned, 'two').layers[1];
  const swapped = withPins(t, (one) => {
    if (two) one.layers[1] = { ...two };
  });
  await scene.fails(
    scene.start([], {}, swapped),
    3,
    /\nstowage: one: .*: its manifest has sha256:\S+ as layer 2, the pins sha256:\S+\n/,
  );
});

test('a platform that index and config, or pins and config, do not agree on', async (t) => {
  const image = await makeImage({ platform: 'linux/amd64', layers: [{ a: noise(963, 1000) }] });
  await push(registry, 'mislabelled/1:1', makeIndex({ 'linux/arm64': image }));
  const bundle = join(fixture.dir, 'mislabelled.yaml');
  writeFileSync(
    bundle,
    readFileSync(fixture.bundle, 'utf8')
      .replace(/ {2}(big|two):.*\n/g, '')
      .replace('pair/1:1', 'mislabelled/1:1'),
  );
  const atPin = join(fixture.dir, 'mislabelled.json');
  for (const verb of ['pin', 'fetch']) {
    const args = [verb, '-b', bundle, '-p', atPin, '--platform', 'linux/arm64'];
    const more = verb === 'fetch' ? ['-s', store] : [];
    const ended = await runStowage(t, [...args, ...more]);
    assert.equal(ended.code, 3, ended.stderr);
    assert.match(ended.stderr, /^stowage: one: \S+ .*is for linux\/amd64, not for linux\/arm64\n/m);
    assert.ok(!existsSync(atPin));
  }
  const scene = await makeScene(t, fixture);
  const arm = await makeImage({ platform: 'linux/arm64', layers: [{ a: noise(964, 1000) }] });
  await scene.fails(
    scene.start([], {}, pinImage(t, arm)),
    3,
    /\nstowage: one: \S+ is for linux\/arm64, not for linux\/amd64, as \S+\.json:\d+ says\n {2}hint: pins are/,
  );
  const relabelled = pinImage(t, arm, (pin) => {
    pin.platform = 'linux/arm64';
  });
  await scene.fails(
    scene.start([], {}, relabelled),
    2,
    /^stowage: \S+\.json:\d+:\d+: \S+\.one\.platform: the image is for linux\/arm64, and the target is linux\/amd64\n {2}hint: pins are/,
  );
});

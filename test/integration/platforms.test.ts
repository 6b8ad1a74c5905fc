import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDevice, type DeviceEngine } from '../rig/device-engine.ts';
import { offersDebian } from '../rig/dind-image.ts';
import { makeImage, makeIndex } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { mustAsRoot } from '../rig/process.ts';
import { rounds, skip } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import type { EngineStore, Release } from './engine-fixture.ts';
import { buildWith, manyPlatforms, startFixture } from './engine-fixture.ts';

const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/riscv64'] as const;
/** Besides one of another architecture, with the older engines. */
const OTHERS = (['linux/amd64', 'linux/riscv64'] as const).slice(0, rounds(0, 2));

const fixture = await startFixture(fileOwner());
const app = await fixture.publish('app', await manyPlatforms(PLATFORMS));
const debian = await offersDebian();

const ENGINES: readonly [Release, EngineStore, readonly (typeof PLATFORMS)[number][]][] = [
  ['28.5', 'containerd', PLATFORMS],
  ['28.5', 'overlay2', PLATFORMS],
  ['26.1', 'containerd', ['linux/arm/v7', ...OTHERS]],
  ['26.1', 'overlay2', ['linux/arm64', ...OTHERS]],
  ['20.10', 'overlay2', ['linux/arm/v7', ...OTHERS]],
];

/** The directories of unpacked layers, and of containers' own. */
async function unpacked(device: DeviceEngine, store: EngineStore): Promise<readonly string[]> {
  const directory =
    store === 'containerd'
      ? 'docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots'
      : 'docker/overlay2';
  const path = join(device.partition, directory);
  // With the inode numbers: what was made anew under the same name would show.
  const listed = await mustAsRoot('ls', ['-i1', path]);
  return listed
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith(' l'))
    .map((line) => line.trim())
    .sort();
}

for (const [release, store, platforms] of ENGINES)
  for (const platform of platforms)
    void test(`Docker ${release} with ${store}: an image for ${platform} is there unpacked`, async (t) => {
      if (!debian && release !== '28.5') {
        skip(t, "Debian's packages");
        return;
      }
      const dind = await fixture.dind(release);
      const built = await buildWith(t, fixture, { dind, store, platform, images: { app } });
      assert.equal(built.code, 0, built.stderr);
      const verified = await runStowage(t, ['verify', built.output, '-p', built.pins]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stdout, /ok: 1 image, .* 3 snapshots/);

      const { engine } = fixture;
      const device = await startDevice(t, built.output, { engine, dind, store });
      const name = 'registry.example.org/test/app:1';
      const image = await device.inspect(name);
      const { Os: os, Architecture: arch, Variant: variant } = image as Record<string, string>;
      assert.equal([os, arch, variant].filter(Boolean).join('/'), platform);
      const before = await unpacked(device, store);
      assert.equal(before.length, 3);
      const created = await device.docker([
        ...['create', '--pull', 'never', '--platform', platform, name, '/opt/app'],
      ]);
      assert.equal(created.code, 0, created.stderr);
      const id = created.stdout.trim();
      const copied = await device.docker(['cp', `${id}:/etc/platform`, '-']);
      assert.match(copied.stdout, new RegExp(platform));
      const after = await unpacked(device, store);
      // The container's own two layers are all that came, and they hold nothing of the image.
      assert.deepEqual(
        after.filter((entry) => before.includes(entry)),
        before,
      );
      assert.equal(after.length, before.length + 2);
      assert.equal((await device.docker(['rm', id])).code, 0);
      assert.deepEqual(await unpacked(device, store), before);
      await device.stop();
    });

void test('a variant that only the index names is unpacked by what the config says', async (t) => {
  const image = await makeImage({ platform: 'linux/arm', layers: [{ 'etc/x': 'x' }] });
  const from = await fixture.publish('bare', makeIndex({ 'linux/arm/v6': image }));
  const dind = await fixture.dind('28.5');
  for (const store of ['containerd', 'overlay2'] as const) {
    const build = { dind, store, platform: 'linux/arm/v7', images: { bare: from } };
    const built = await buildWith(t, fixture, build);
    assert.equal(built.code, 0, built.stderr);
    const verified = await runStowage(t, ['verify', built.output, '-p', built.pins]);
    assert.match(verified.stdout, / 1 snapshot /);
  }
});

void test('an index that is kept leads to an unpacked image of a foreign platform', async (t) => {
  const dind = await fixture.dind('28.5');
  const build = { dind, store: 'containerd', platform: 'linux/arm64' } as const;
  const built = await buildWith(t, fixture, { ...build, images: { app }, keepIndex: true });
  assert.equal(built.code, 0, built.stderr);
  assert.ok(existsSync(built.output));
  const verified = await runStowage(t, ['verify', built.output]);
  assert.match(verified.stdout, /ok: 1 image, .* 3 snapshots/);
});

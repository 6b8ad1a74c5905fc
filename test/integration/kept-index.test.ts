import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDevice } from '../rig/device-engine.ts';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

const owner = fileOwner();
const registry = await startRegistry(owner);
const dind = await dindImage();
await pushDind(registry, dind, 'library/docker:28.5.2-dind');
const engine = await startEngine(owner, { holding: dind });
const base = await makeLayer({ 'bin/base': noise(1, 100_000) });
const kept = makeIndex({
  'linux/amd64': await makeImage({ platform: 'linux/amd64', layers: [base, { own: 'a' }] }),
  'linux/arm64': await makeImage({ platform: 'linux/arm64', layers: [base, { own: 'b' }] }),
});
const plain = await makeImage({ platform: 'linux/amd64', layers: [base, { own: 'c' }] });
await push(registry, 'home/kept:1', kept);
await push(registry, 'home/plain:1', makeIndex({ 'linux/amd64': plain }));
const dir = temporaryTree(owner);
const bundle = join(dir, 'bundle.yaml');

for (const platform of ['linux/amd64', 'linux/arm64'])
  test(`the device knows ${platform} of an index by the index's digest`, async (t) => {
    const second =
      platform === 'linux/amd64' ? `plain: { from: 'docker://${registry.host}/home/plain:1' }` : '';
    writeFileSync(
      bundle,
      `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  kept: { from: 'docker://${registry.host}/home/kept:1', tags: ['r.io/other:2'], keepIndex: true }
  ${second}
`,
    );
    const [pins, store] = [
      join(dir, `${platform.replace('/', '-')}.pins.json`),
      join(dir, 'store'),
    ];
    const output = join(dir, `${platform.replace('/', '-')}.ext4`);
    const inputs = ['-b', bundle, '-p', pins, '-s', store];
    const fetched = await runStowage(t, ['fetch', ...inputs, '--platform', platform]);
    assert.equal(fetched.code, 0, fetched.stderr);
    assert.match(readFileSync(pins, 'utf8'), /"keptIndex": \{ "digest": "sha256:/);
    await registry.forget();
    const warm = await runStowage(t, ['fetch', ...inputs, '--frozen']);
    assert.equal(warm.code, 0, warm.stderr);
    assert.deepEqual(await registry.requests(), []);
    const built = await runStowage(t, ['build', ...inputs, '-o', output], { engine });
    assert.equal(built.code, 0, built.stderr);
    const verified = await runStowage(t, ['verify', output, '-p', pins]);
    assert.equal(verified.code, 0, verified.stderr);

    const device = await startDevice(t, output, { engine, dind });
    const { digest } = kept.descriptor;
    const names = [`${registry.host}/home/kept:1`, 'r.io/other:2'];
    for (const name of names) {
      assert.equal((await device.inspect(name))['Id'], digest);
      const repository = name.slice(0, name.lastIndexOf(':'));
      const image = await device.inspect(`${repository}@${digest}`);
      assert.equal(`linux/${String(image['Architecture'])}`, platform);
      const created = await device.docker(['create', '--pull', 'never', name, 'true']);
      assert.equal(created.code, 0, created.stderr);
    }
    if (second !== '')
      assert.equal(
        (await device.inspect(`${registry.host}/home/plain:1`))['Id'],
        plain.descriptor.digest,
      );
    await device.stop();
  });

test('an index that the bundle no longer wants makes the pins stale', async (t) => {
  const pins = join(dir, 'linux-amd64.pins.json');
  writeFileSync(
    bundle,
    readFileSync(bundle, 'utf8')
      .replace(', keepIndex: true', '')
      .replace(/engine: .*\n/, ''),
  );
  const inputs = ['-b', bundle, '-p', pins, '-s', join(dir, 'store')];
  const stale = await runStowage(t, ['fetch', ...inputs, '--frozen']);
  assert.equal(stale.code, 2);
  assert.match(
    stale.stderr,
    /images\.kept: its index is pinned to be kept, and the bundle does not want it/,
  );
});

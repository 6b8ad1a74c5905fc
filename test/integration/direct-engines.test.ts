import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DeviceEngine } from '../rig/device-engine.ts';
import { startDevice } from '../rig/device-engine.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { mustAsRoot } from '../rig/process.ts';
import { machinePlatform } from '../rig/platform.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import type { EngineStore, Release } from './engine-fixture.ts';
import { startFixture } from './engine-fixture.ts';

/** Engines of other versions take what the direct loader writes for their own, and keep house in it. */
const platform = machinePlatform();
const owner = fileOwner();
const fixture = await startFixture(owner);
const base = await makeLayer({ 'etc/base': noise(70, 300_000), 'etc/gone': 'g' });
const above = await makeLayer({ 'usr/one': noise(71, 200_000), 'etc/.wh.gone': '' });
const config = { Cmd: ['/none'] };
await fixture.publish('one', await makeImage({ platform, layers: [base, above], config }));
const alone = await makeLayer({ 'usr/two': noise(72, 100_000) });
await fixture.publish('two', await makeImage({ platform, layers: [base, alone], config }));

const ENGINES: readonly (readonly [Release, EngineStore])[] = [
  ['26.1', 'containerd'],
  ['20.10', 'overlay2'],
  ['28.5', 'containerd'],
  ['28.5', 'overlay2'],
];

for (const [release, store] of ENGINES.slice(0, rounds(1, ENGINES.length)))
  void test(`Docker ${release} with ${store}`, async (t) => {
    const { engine, registry } = fixture;
    const dind = await fixture.dind(release);
    const dir = temporaryTree(t);
    const bundle = join(dir, 'bundle.yaml');
    writeFileSync(
      bundle,
      `stowage: 1
engine:
  store: ${store}
  version: ${dind.version}
  dind: docker://registry.example.org/library/docker:${dind.version}-dind
images:
  one: { from: 'docker://registry.example.org/test/one:1' }
  two: { from: 'docker://registry.example.org/test/two:1' }
  engine: { from: 'docker://registry.example.org/library/docker:${dind.version}-dind' }
`,
    );
    const inputs = ['-b', bundle, '-p', join(dir, 'pins.json'), '-s', join(dir, 'store')];
    const target = ['--platform', platform, '--mirror', registry.host];
    const output = join(dir, 'data.ext4');
    for (const args of [
      ['fetch', ...inputs, ...target, '--loader', 'direct'],
      ['build', ...inputs, '--loader', 'direct', '-o', output],
      ['verify', output, '-p', join(dir, 'pins.json')],
    ]) {
      const ended = await runStowage(t, args);
      assert.equal(ended.code, 0, ended.stderr);
    }
    const device = await startDevice(t, output, { engine, dind, store });
    const [one, two, itself] = [
      'test/one:1',
      'test/two:1',
      `library/docker:${dind.version}-dind`,
    ].map((name) => `registry.example.org/${name}`);
    assert.ok(one !== undefined && two !== undefined && itself !== undefined);
    assert.deepEqual(
      (await device.images()).map(({ name }) => name),
      [itself, one, two].sort(),
    );
    const must = async (...args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await device.docker(args);
      assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`);
      return stdout;
    };
    const before = await kept(device, store);
    const said = await device.run(itself, ['sh', '-c', 'echo it runs']);
    assert.match(said.stdout, /it runs/, said.stderr);
    const saved = join(dir, 'saved.tar');
    await must('save', '-o', saved, one);
    await must('create', '--pull', 'never', '--name', 'made', one);
    const exported = join(dir, 'exported.tar');
    await must('export', '-o', exported, 'made');
    const listed = await mustAsRoot('tar', ['-tf', exported]);
    assert.match(listed, /^usr\/one$/m);
    assert.doesNotMatch(listed, /^etc\/gone$/m);
    await must('commit', 'made', 'committed:1');
    await must('rm', 'made');
    await must('rmi', 'committed:1');
    assert.deepEqual(await kept(device, store), before);

    // Its own things go with an image, what it shares stays, and all of it comes again.
    await must('rmi', one);
    const own = store === 'containerd' ? { blobs: 3, layers: 1 } : { blobs: 0, layers: 1 };
    const without = await kept(device, store);
    assert.deepEqual(without, {
      blobs: before.blobs - own.blobs,
      layers: before.layers - own.layers,
    });
    await must('create', '--pull', 'never', two);
    await must('load', '-i', saved);
    await must('create', '--pull', 'never', one);
  });

interface Kept {
  readonly blobs: number;
  readonly layers: number;
}

/** What lies on the partition, whatever the engine knows of it. */
async function kept(device: DeviceEngine, store: EngineStore): Promise<Kept> {
  const root = join(device.partition, 'docker');
  const at = join(root, 'containerd', 'daemon');
  const count = async (path: string): Promise<number> =>
    (await mustAsRoot('ls', [path])).split('\n').filter(Boolean).length;
  if (store === 'overlay2')
    return { blobs: 0, layers: await count(join(root, 'image', 'overlay2', 'layerdb', 'sha256')) };
  return {
    blobs: await count(join(at, 'io.containerd.content.v1.content', 'blobs', 'sha256')),
    layers: await count(join(at, 'io.containerd.snapshotter.v1.overlayfs', 'snapshots')),
  };
}

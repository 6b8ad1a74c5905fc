import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, noise } from '../rig/image.ts';
import { machinePlatform } from '../rig/platform.ts';
import { asRoot, must } from '../rig/process.ts';
import { push, pushFrom } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { board, configured, made, NO_NETWORK, realTest, type Board } from './real-tree.ts';

/** From a registry to the data image and what is said of it, with stowage itself. */
const FROZEN = ['BR2_PACKAGE_STOWAGE_DATA_FROZEN=y'];
const SAMPLE = [
  'BR2_aarch64=y',
  'BR2_PACKAGE_STOWAGE_DATA=y',
  'BR2_PACKAGE_STOWAGE_DATA_BUNDLES="$(BR2_EXTERNAL_STOWAGE_PATH)/sample.yaml"',
  'BR2_PACKAGE_STOWAGE_DATA_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/pins.json"',
  'BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT=y',
];

realTest(
  'from a registry to images/data.ext4, the build with the network down',
  async (t, buildroot) => {
    const b = await board(t, buildroot, STOWAGE);
    const registry = await startRegistry(t);
    const dind = await dindImage();
    await pushFrom(
      registry,
      `library/docker:${dind.version}-dind`,
      `oci:${dind.layout}:${dind.name}`,
    );
    const platform = machinePlatform();
    const layers = [{ 'etc/sample': { content: noise(1, 200_000) } }];
    await push(registry, 'sample/hello:1', await makeImage({ platform, layers }));
    const bundle = join(b.external, 'sample.yaml');
    writeFileSync(bundle, sampleBundle(registry.host, dind.version));
    const engine = await startEngine(t);

    const pins = join(b.external, 'pins.json');
    await configured(
      b,
      process.arch === 'arm64' ? 'BR2_aarch64=y' : 'BR2_x86_64=y',
      'BR2_PACKAGE_STOWAGE_DATA=y',
      'BR2_PACKAGE_STOWAGE_DATA_BUNDLES="$(BR2_EXTERNAL_STOWAGE_PATH)/sample.yaml"',
      'BR2_PACKAGE_STOWAGE_DATA_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/pins.json"',
    );
    await made(b, ['stowage-data-source']);
    assert.match(readFileSync(pins, 'utf8'), /sample\/hello:1@sha256:/u);
    assert.match(await made(b, ['external-deps']), /\/sample\/hello:1@sha256:/u);

    await registry.stop();
    const offline = { env: { DOCKER_HOST: engine.host }, under: NO_NETWORK };
    await made(b, ['stowage-data'], offline);
    const image = join(b.out, 'images/data.ext4');
    assert.ok(statSync(image).size > 1 << 20);
    JSON.parse(readFileSync(join(b.out, 'images/data.json'), 'utf8'));
    await must('e2fsck', ['-fn', image]);
    await must(...asRoot(process.execPath, [STOWAGE, 'verify', image, '-p', pins]));

    await made(b, ['stowage-data-rebuild'], offline);
    await made(b, ['stowage-data-dirclean', 'stowage-data'], offline);
  },
);

/** The external tree of `b` with a bundle, pushed to a registry and pinned. */
async function pinned(
  t: TestContext,
  b: Board,
): Promise<{ readonly publish: (seed: number) => Promise<void> }> {
  const registry = await startRegistry(t);
  const publish = async (seed: number): Promise<void> => {
    const layers = [{ 'etc/sample': { content: noise(seed, 50_000) } }];
    await push(registry, 'sample/hello:1', await makeImage({ platform: 'linux/arm64', layers }));
  };
  await publish(1);
  writeFileSync(join(b.external, 'sample.yaml'), sampleBundle(registry.host, '28.5.2'));
  await configured(b, ...SAMPLE);
  await made(b, ['stowage-pin']);
  return { publish };
}

realTest(
  'two users in source trees that they may only read make the same data image of the same pins',
  async (t, buildroot) => {
    const b = await board(t, buildroot, STOWAGE);
    await must('chmod', ['-R', 'a+rX', dirname(b.external)]);
    await pinned(t, b);
    const builds = [
      { options: ['BR2_PER_PACKAGE_DIRECTORIES=y', ...FROZEN], make: ['-j4'] },
      { options: FROZEN, make: [] },
    ];
    const results: string[] = [];
    for (const { options, make } of builds) {
      const user = await unprivilegedUser(t);
      const out = join(user.home, 'out');
      mkdirSync(out);
      writeFileSync(join(out, '.config'), `${[...SAMPLE, ...options].join('\n')}\n`);
      await must(...asRoot('chown', ['-R', `${user.uid}:${user.gid}`, out, user.home]));
      await made(b, ['olddefconfig'], { user });
      await made(b, [...make, 'stowage-data-all-source'], { user });
      await made(b, [...make, 'stowage-data'], { user, under: NO_NETWORK });
      results.push(out);
    }
    const [one = '', other = ''] = results;
    for (const file of ['data.ext4', 'data.json'])
      await must('cmp', [join(one, 'images', file), join(other, 'images', file)]);
  },
);

realTest('what release engineers call, and what lawyers read', async (t, buildroot) => {
  const b = await board(t, buildroot, STOWAGE);
  const { publish } = await pinned(t, b);
  await made(b, ['stowage-data']);
  const released = join(b.out, 'released.ext4');
  copyFileSync(join(b.out, 'images/data.ext4'), released);

  const offline = { under: NO_NETWORK };
  await made(b, ['stowage-data-all-legal-info'], offline);
  const legal = join(b.out, 'legal-info');
  const pins = readFileSync(join(b.external, 'pins.json'), 'utf8');
  assert.equal(readFileSync(join(legal, 'stowage-data/pins.json'), 'utf8'), pins);
  const reference = /"reference": "(.*)"/u.exec(pins)?.[1] ?? 'none';
  assert.ok(readFileSync(join(legal, 'stowage-data/images.csv'), 'utf8').includes(reference));
  assert.match(readFileSync(join(legal, 'stowage-data/sbom.spdx.json'), 'utf8'), /SPDX-2\.3/u);
  assert.match(readFileSync(join(legal, 'manifest.csv'), 'utf8'), /^"stowage-data"/mu);
  assert.match(readFileSync(join(legal, 'host-manifest.csv'), 'utf8'), /^"stowage"/mu);
  const listed = (await made(b, ['external-deps'])).split('\n');
  assert.deepEqual(
    listed.filter((line) => line.includes('@sha256:')),
    [reference],
  );

  const looks = ['stowage-verify', 'stowage-inspect', 'stowage-doctor', 'stowage-diff'];
  const help = await made(b, ['help', ...looks, `OLD=${released}`], offline);
  assert.match(help, /^ {2}stowage-pin-check +- /mu);
  await made(b, ['stowage-pin-check']);
  await publish(2);
  const newer = await b.make(['stowage-pin-check']);
  assert.match(newer.stderr, /stowage-pin-check\] Error 8\b/u);
  await made(b, ['stowage-pin']);
  await made(b, ['stowage-data']);
  const different = await b.make(['stowage-diff', `OLD=${released}`]);
  assert.match(different.stderr, /stowage-diff\] Error 8\b/u);
  const again = await made(b, ['stowage-data'], offline);
  assert.doesNotMatch(again, />>>/u, 'nothing happens twice');
});

function sampleBundle(registry: string, engineVersion: string): string {
  return `stowage: 1
vars: { registry: '${registry}' }
partition: { label: sample, size: auto, headroom: 10%, dataRoot: docker }
engine:
  name: docker
  store: containerd
  version: '${engineVersion}'
  dind: 'docker://{registry}/library/docker:{engine.version}-dind'
images:
  hello: { from: 'docker://{registry}/sample/hello:1', tags: ['product.example/hello:latest'] }
files:
  sample/motd: { text: 'made by make' }
`;
}

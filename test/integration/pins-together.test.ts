import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeImage, makeIndex, type Image } from '../rig/image.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

const PLATFORMS = ['linux/amd64', 'linux/arm64', 'linux/arm/v7', 'linux/riscv64'];

test('boards that are pinned at the same time into one file are all there', async (t) => {
  const registry = await startRegistry(t);
  const images: Record<string, Image> = {};
  for (const platform of PLATFORMS)
    images[platform] = await makeImage({ platform, layers: [{ platform }] });
  await push(registry, 'app:1', makeIndex(images));
  const engine = await makeImage({ platform: 'linux/amd64', layers: [{ dockerd: 'x' }] });
  await push(registry, 'dind:1', engine);
  const dir = temporaryTree(t);
  const bundle = join(dir, 'bundle.yaml');
  const pins = join(dir, 'pins.json');
  writeFileSync(
    bundle,
    `stowage: 1
engine: { dind: 'docker://${registry.host}/dind:1' }
images: { app: { from: 'docker://${registry.host}/app:1' } }
`,
  );
  const runs = await Promise.all(
    PLATFORMS.map((platform) =>
      runStowage(t, ['pin', '-b', bundle, '-p', pins, '--platform', platform]),
    ),
  );
  for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
  const { targets } = JSON.parse(readFileSync(pins, 'utf8')) as { targets: object };
  assert.deepEqual(Object.keys(targets).sort(), [...PLATFORMS].sort());
  assert.deepEqual(readdirSync(dir).sort(), ['bundle.yaml', 'pins.json']);
});

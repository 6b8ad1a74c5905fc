import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Pins, TargetPins } from '../../src/model/pins.ts';
import { makeImage, makeIndex } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { machinePlatform } from '../rig/platform.ts';
import { push } from '../rig/publish.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { pushPair, startProduct } from './product.ts';

/** What `fetch` does where the pins are missing or stale, and what it says it would do. */
const owner = fileOwner();
const { registry } = await startProduct(owner, 1000);
const platform = machinePlatform();
await pushPair(registry, platform);

const text = (two: string): string => `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  one: { from: 'docker://${registry.host}/pair/1:1' }
  ${two}: { from: 'docker://${registry.host}/pair/2:1' }
`;

void test('a dry run says what it would do, and stale pins are pinned anew where they are stale', async (t) => {
  const dir = temporaryTree(t);
  const [bundle, pins, store] = ['bundle.yaml', 'pins.json', 'store'].map((name) =>
    join(dir, name),
  );
  assert(bundle !== undefined && pins !== undefined && store !== undefined);
  const args = ['fetch', '-b', bundle, '-p', pins, '-s', store, '--platform', platform];
  const only = (): TargetPins => {
    const { targets } = JSON.parse(readFileSync(pins, 'utf8')) as Pins;
    const [target, ...others] = Object.values(targets);
    assert(target !== undefined && others.length === 0);
    return target;
  };
  writeFileSync(bundle, text('two'));

  const unpinned = await runStowage(t, [...args, '-n']);
  assert.equal(unpinned.code, 0);
  assert.match(
    unpinned.stdout,
    /pins\.json: does not exist; would be pinned first:\n {2}images: one, two, and the dind image\n/,
  );
  assert(!existsSync(pins) && !existsSync(store));

  assert.equal((await runStowage(t, ['pin', ...args.slice(1, 5), '--platform', platform])).code, 0);
  const planned = await runStowage(t, [...args, '-n', '--json']);
  assert.equal(planned.code, 0);
  const plan = JSON.parse(planned.stdout) as { missingImages: string[]; bytes: number };
  assert.deepEqual([...plan.missingImages].sort(), ['dind', 'one', 'two']);
  assert(plan.bytes > 900_000, String(plan.bytes));
  assert(!existsSync(store));
  const offline = await runStowage(t, [...args, '--offline']);
  assert.equal(offline.code, 3);
  assert.doesNotMatch(offline.stderr, /fetching/);

  assert.equal((await runStowage(t, args)).code, 0);
  const before = only();
  const nothing = await runStowage(t, [...args, '-n']);
  assert.match(nothing.stdout, /nothing would be downloaded\n$/);

  // The tag of one moves, and the bundle changes elsewhere: one stays as it is pinned.
  const newer = await makeImage({ platform, layers: [{ newer: 'one' }] });
  await push(registry, 'pair/1:1', makeIndex({ [platform]: newer }));
  writeFileSync(bundle, text('second'));
  const stale = await runStowage(t, [...args, '-n']);
  assert.equal(stale.code, 0);
  assert.match(
    stale.stdout,
    /would be pinned anew where it is stale:\n {2}images\.second is not pinned\n/,
  );
  assert.deepEqual(only(), before);
  const again = await runStowage(t, args);
  assert.equal(again.code, 0);
  assert.match(again.stderr, /pins\.json is stale: images\.second is not pinned\n/);
  assert.match(again.stdout, /what was stale is pinned anew, the rest stays\n/);
  assert.match(again.stdout, /^second +- +added\n^two +removed +-\n/m);
  const after = only();
  assert.deepEqual(after.images['one'], before.images['one']);
  assert.deepEqual(after.dind, before.dind);
  assert.deepEqual(after.images['second']?.manifest, before.images['two']?.manifest);
});

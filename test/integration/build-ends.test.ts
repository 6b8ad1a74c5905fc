import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { gzipSync } from 'node:zlib';
import { digestOf, makeImage, makeLayer } from '../rig/image.ts';
import { push } from '../rig/publish.ts';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { startEngine } from '../rig/engine.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, run } from '../rig/process.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { pushPair, startProduct } from './product.ts';

/**
 * Ways for a build to end, at every moment: what is left is nothing, and the previous data.ext4. Faults are in
 * build-faults-*.test.ts, kills in build-kills.test.ts.
 */
const owner = fileOwner();
const product = await startProduct(owner, 1000);
const engine = await startEngine(owner, { holding: product.dind });
const dir = temporaryTree(owner);
const store = join(dir, 'store');
const pins = join(dir, 'pins.json');
const bundle = join(dir, 'bundle.yaml');
const { registry } = product;
await pushPair(registry, 'linux/amd64');
writeFileSync(
  bundle,
  `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  one: { from: 'docker://${registry.host}/pair/1:1' }
  two: { from: 'docker://${registry.host}/pair/2:1' }
files:
  hello.txt: { text: 'hello' }
`,
);
const inputs = ['-b', bundle, '-p', pins, '-s', store];

test('set-up: the store is filled', async (t) => {
  const fetched = await runStowage(t, ['fetch', ...inputs, '--platform', 'linux/amd64']);
  assert.equal(fetched.code, 0, fetched.stderr);
});

/** A directory with a data.ext4 of before, and all that must be the same again. */
async function scene(t: TestContext) {
  const outputs = temporaryTree(t);
  const output = join(outputs, 'data.ext4');
  writeFileSync(output, 'the previous one');
  const watched = { engine, stores: [store], outputs: [outputs] };
  return { output, outputs, watched, before: await machineState(watched) };
}

function build(output: string): string[] {
  // All of it each time: another test's result would do for the next.
  return ['build', ...inputs, '-o', output, '--from-scratch'];
}

const MOMENTS = [
  'make file system',
  'mount',
  'start engine',
  'load images',
  'stop engine',
  'scrub',
];

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  for (const moment of MOMENTS)
    test(`${signal} at "${moment}" leaves nothing and the previous image`, async (t) => {
      const { output, watched, before } = await scene(t);
      const running = startStowage(t, build(output), { engine });
      await running.said(new RegExp(`^stowage: ${moment}$`, 'm'));
      running.kill(signal);
      const ended = await running.ended;
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, new RegExp(`ended by ${signal}`));
      assert.equal(readFileSync(output, 'utf8'), 'the previous one');
      await assertNothingLeft(before, watched);
    });

test('a daemon that does not stop cleanly is an error, and leaves nothing', async (t) => {
  const { output, watched, before } = await scene(t);
  const bin = temporaryTree(t);
  const real = (await must('sh', ['-c', 'command -v docker'])).trim();
  // In place of the stop, the end that a machine short of memory gives it.
  writeFileSync(
    join(bin, 'docker'),
    `#!/bin/sh\nif [ "$1" = stop ]; then for last; do :; done; exec ${real} kill "$last"; fi\nexec ${real} "$@"\n`,
    { mode: 0o755 },
  );
  const env = { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` };
  const ended = await runStowage(t, build(output), { engine, env });
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(ended.stderr, /while stopping: it did not stop cleanly: it was killed/);
  assert.equal(readFileSync(output, 'utf8'), 'the previous one');
  await assertNothingLeft(before, watched);
});

test('two builds at once: with two outputs both succeed, with one the second waits', async (t) => {
  const first = await scene(t);
  const second = await scene(t);
  const runs = await Promise.all(
    [first.output, second.output, second.output].map((output) =>
      runStowage(t, build(output), { engine }),
    ),
  );
  for (const ended of runs) assert.equal(ended.code, 0, ended.stderr);
  const waited = runs.filter(({ stderr }) =>
    /waiting for .*data\.ext4, which pid \d+/.test(stderr),
  );
  assert.equal(waited.length, 1);
  for (const { output, outputs } of [first, second]) {
    assert.equal((await runStowage(t, ['verify', output, '-p', pins])).code, 0);
    assert.deepEqual(readdirSync(outputs).sort(), ['data.ext4', 'data.json']);
  }
  await assertNothingLeft(first.before, { engine, stores: [store] });
});

test('through a link, with a comma, a colon and a space in the path, all is as ever', async (t) => {
  const { outputs, watched, before } = await scene(t);
  const real = join(outputs, 'a, b: "c"');
  mkdirSync(real);
  const link = join(temporaryTree(t), 'link');
  symlinkSync(real, link);
  const built = await runStowage(t, build(join(link, 'data.ext4')), { engine });
  assert.equal(built.code, 0, built.stderr);
  assert.deepEqual(readdirSync(real).sort(), ['data.ext4', 'data.json']);
  assert.equal((await runStowage(t, ['verify', join(real, 'data.ext4')])).code, 0);
  rmSync(real, { recursive: true });
  await assertNothingLeft(before, watched);
});

test('an estimate that was short grows; two entries of one image are one', async (t) => {
  const { output, watched, before } = await scene(t);
  // Two gzip members: the trailer tells of the last, so nobody can know that the first is 300 MB of zeros.
  const big = await makeLayer({ zeros: new Uint8Array(300_000_000) }, { gzip: false });
  const blob = Buffer.concat([
    gzipSync(big.blob.subarray(0, -1024)),
    gzipSync(big.blob.subarray(-1024)),
  ]);
  const layer = { ...big, blob, digest: digestOf(blob), compressed: true };
  const image = await makeImage({ platform: 'linux/amd64', layers: [layer] });
  await push(registry, 'swelling/one:1', image);
  const swelling = join(temporaryTree(t), 'bundle.yaml');
  writeFileSync(
    swelling,
    `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  one: { from: 'docker://${registry.host}/swelling/one:1' }
  same: { from: 'docker://${registry.host}/swelling/one:1', tags: ['example.org/same:2'] }
`,
  );
  const args = ['-b', swelling, '-p', join(swelling, '..', 'pins.json'), '-s', store];
  const fetched = await runStowage(t, ['fetch', ...args, '--platform', 'linux/amd64']);
  assert.equal(fetched.code, 0, fetched.stderr);
  const built = await runStowage(t, ['build', ...args, '-o', output], { engine });
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /the estimated size was too small: trying again/);
  assert.equal((await runStowage(t, ['verify', output])).code, 0);
  rmSync(join(output, '..', 'data.json'));
  await assertNothingLeft(before, watched);
});

test('a data image in use is not replaced', async (t) => {
  const { output } = await scene(t);
  await must('truncate', ['--size', '16M', output]);
  await must('mke2fs', ['-q', '-t', 'ext4', output]);
  const loop = (await must('losetup', ['--find', '--show', output])).trim();
  try {
    const refused = await runStowage(t, build(output), { engine });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, new RegExp(`data\\.ext4 is in use: .*${loop}`));
    assert.ok(!existsSync(join(output, '..', 'data.json')));
  } finally {
    assert.equal((await run('losetup', ['--detach', loop])).code, 0);
  }
});

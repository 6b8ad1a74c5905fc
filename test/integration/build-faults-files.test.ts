import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountsBelow } from '../rig/machine-state.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { assertOneMessage, makeScene, startBuildFixture } from './build-fixture.ts';

/** Files and directories that somebody takes away, replaces or closes while a build works with them. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);

test('an output directory that can only be read', async (t) => {
  const scene = await makeScene(t, fixture);
  await mustAsRoot('mount', ['--bind', '-o', 'ro', scene.outputs, scene.outputs]);
  atEnd(t, async () => {
    await mustAsRoot('umount', [scene.outputs]);
  });
  const ended = await scene.start().ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(
    ended.stderr,
    /^stowage: \S+: no right to do this while .*: EROFS: read-only file system/m,
  );
  assertOneMessage(ended);
  scene.assertOld();
});

test('an output directory that is moved away while images are loaded; the next build unmounts what it took along', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: load images$/m);
  const moved = `${scene.outputs}-moved`;
  renameSync(scene.outputs, moved);
  const ended = await running.ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(
    ended.stderr,
    /\nstowage: \S+ is not there any more while writing the data image: ENOENT/,
  );
  assertOneMessage(ended);
  renameSync(moved, scene.outputs);
  scene.assertOld();
  const other = await makeScene(t, fixture);
  const built = await other.start().ended;
  assert.equal(built.code, 0, built.stderr);
  await scene.assertNothingLeft();
});

test('an output directory that is removed while the image is finished', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: scrub$/m);
  rmSync(scene.outputs, { recursive: true });
  const ended = await running.ended;
  assert.match(
    ended.stderr,
    /\nstowage: \S+data\.ext4(: there is no such file| is not there any more)/,
  );
  assert.notEqual(ended.code, 0);
  assertOneMessage(ended);
  assert.ok(!existsSync(scene.outputs) || readdirSync(scene.outputs).length === 0);
  assert.deepEqual(mountsBelow(scene.outputs), []);
});

test('a data image that somebody mounts, or puts a directory in place of, during the build', async (t) => {
  const used = await makeScene(t, fixture);
  const first = used.start();
  await first.said(/^stowage: load images$/m);
  const loop = (await must('losetup', ['--find', '--show', used.output])).trim();
  try {
    const ended = await first.ended;
    assert.equal(ended.code, 2, ended.stderr);
    assert.match(
      ended.stderr,
      new RegExp(`\nstowage: ${used.output} is in use: ${loop}\n {2}hint: `),
    );
    used.assertOld();
  } finally {
    await must('losetup', ['--detach', loop]);
  }
  await used.assertNothingLeft();

  const replaced = await makeScene(t, fixture);
  const second = replaced.start();
  await second.said(/^stowage: load images$/m);
  const document = readFileSync(join(replaced.outputs, 'data.json'), 'utf8');
  rmSync(replaced.output);
  mkdirSync(replaced.output);
  const ended = await second.ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(ended.stderr, /\nstowage: \S+data\.ext4: .* while writing the data image: EISDIR/);
  assertOneMessage(ended);
  assert.equal(readFileSync(join(replaced.outputs, 'data.json'), 'utf8'), document);
  await replaced.assertNothingLeft();
});

test('the store is taken away during the build', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: make file system$/m);
  const away = `${fixture.store}-away`;
  renameSync(fixture.store, away);
  try {
    const ended = await running.ended;
    assert.equal(ended.code, 3, ended.stderr);
    assert.match(
      ended.stderr,
      /\nstowage: \S+: sha256:\S+ is missing in \S+\/store\n {2}hint: run .stowage fetch/,
    );
    assertOneMessage(ended);
  } finally {
    renameSync(away, fixture.store);
  }
  scene.assertOld();
  await scene.assertNothingLeft();
});

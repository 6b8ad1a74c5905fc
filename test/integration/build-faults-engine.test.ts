import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { mountsBelow } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { rounds } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import {
  assertOneMessage,
  containerOf,
  makeScene,
  pidInside,
  startBuildFixture,
} from './build-fixture.ts';

/** Engines that fail while they load: the one in the container, and the one that runs the container. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);
const { engine } = fixture;

const LOADING = /^stowage: load images$/m;
const CHECKING = /^stowage: check images$/m;

/** Milliseconds after it was said, so that the program is at something else each time. */
const delays = (most: number): number[] =>
  Array.from({ length: rounds(1, 40) }, (_, round) => (most / 40) * round);

for (const [program, step, most] of [
  ['dockerd', LOADING, 300],
  ['containerd', LOADING, 300],
  ['containerd', CHECKING, 40],
] as const)
  for (const delay of delays(most))
    test(`${program} in the container is killed ${delay} ms after ${step.source}`, async (t) => {
      const scene = await makeScene(t, fixture);
      const running = scene.start();
      const pid = running.said(LOADING).then(() => pidInside(scene.outputs, program));
      await running.said(step);
      await setTimeout(delay);
      await mustAsRoot('kill', ['-KILL', String(await pid)]);
      await scene.fails(
        running,
        6,
        /stowage: the engine in the container failed while (loading|stopping).*: (it was killed|its containerd ended|it ended with exit code)/,
      );
    });

test('somebody removes the container while it loads', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(LOADING);
  await engine.mustDocker(['rm', '-f', await containerOf(fixture)]);
  await scene.fails(
    running,
    6,
    /stowage: the engine in the container failed while (loading \S+|stopping): .*(it was killed, by somebody|somebody removed its container)/,
  );
});

// The patience itself is a minute: test/unit/load/watch-for-silence.test.ts has a shorter one.
const soakTest = rounds(0, 1) === 1 ? test : () => undefined;
soakTest('a container that is paused is not waited for, and is removed', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(LOADING);
  await engine.mustDocker(['pause', await containerOf(fixture)]);
  await scene.fails(running, 6, /failed while loading images: it has not answered for 60 s/);
});

for (const [signal, how] of [
  ['SIGTERM', 'is stopped and comes back'],
  ['SIGKILL', 'dies, and its containers live on'],
] as const)
  test(`the builder's engine ${how} while images are loaded; the next build finds what is left`, async (t) => {
    const scene = await makeScene(t, fixture);
    const running = scene.start();
    await running.said(LOADING);
    await engine.halt(signal);
    if (signal === 'SIGTERM') await engine.resume();
    const ended = await running.ended;
    assert.equal(ended.code, 6, ended.stderr);
    assert.match(ended.stderr, /\nstowage: (no docker engine answers|the engine in the container)/);
    assertOneMessage(ended);
    scene.assertOld();
    assert.deepEqual(mountsBelow(scene.outputs), []);
    await engine.resume();
    const other = await makeScene(t, fixture);
    const built = await other.start().ended;
    assert.equal(built.code, 0, built.stderr);
    await scene.assertNothingLeft();
  });

test('the docker command vanishes while images are loaded', async (t) => {
  const scene = await makeScene(t, fixture);
  const bin = join(temporaryTree(t), 'bin');
  mkdirSync(bin);
  const docker = join(bin, 'docker');
  symlinkSync((await must('sh', ['-c', 'command -v docker'])).trim(), docker);
  for (const tool of ['mount', 'umount', 'mke2fs', 'e2fsck', 'debugfs', 'resize2fs', 'setpriv'])
    symlinkSync((await must('sh', ['-c', `command -v ${tool}`])).trim(), join(bin, tool));
  const running = scene.start([], { env: { PATH: bin } });
  await running.said(LOADING);
  unlinkSync(docker);
  const ended = await running.ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(ended.stderr, /docker is not on this machine/);
  scene.assertOld();
  assertOneMessage(ended);
  assert.deepEqual(mountsBelow(scene.outputs), []);
  // With the command back, whichever build comes next removes the container.
  const other = await makeScene(t, fixture);
  const built = await other.start().ended;
  assert.equal(built.code, 0, built.stderr);
  await scene.assertNothingLeft();
});

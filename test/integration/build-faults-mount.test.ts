import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { mountsBelow } from '../rig/machine-state.ts';
import { inMountSpace } from '../rig/mount-space.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { asRoot, must, mustAsRoot, run, waitFor } from '../rig/process.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import {
  assertOneMessage,
  containerOf,
  inputsOf,
  makeScene,
  startBuildFixture,
  type Scene,
} from './build-fixture.ts';

/** Loop devices, mount and umount that do not do what they should. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);
const PATH = '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** stowage where /dev is its own: nobody else's loop devices are touched, and the engine sees what it mounts for it. */
async function buildWithDevices(scene: Scene, nodes: string) {
  const script = `mount --make-private /dev; mount --make-private /; mount -t tmpfs tmpfs /dev && mknod /dev/null c 1 3 && mknod /dev/urandom c 1 9 ${nodes} && exec "$@"`;
  const stowage = [
    process.execPath,
    STOWAGE,
    'build',
    '--from-scratch',
    ...inputsOf(fixture),
    '-o',
    scene.output,
  ];
  const env = { PATH, HOME: fixture.dir, LC_ALL: 'C', DOCKER_HOST: fixture.engine.host };
  const [program, args] = asRoot('unshare', [
    ...['-m', '--propagation', 'unchanged', 'sh', '-c', script, 'sh', ...stowage],
  ]);
  const { outputs } = scene;
  await mustAsRoot('mount', ['--bind', '--make-private', '--make-shared', outputs, outputs]);
  try {
    return await run(program, args, { env });
  } finally {
    await mustAsRoot('umount', [outputs]);
  }
}

test('no loop device: there are none, or none that can be had', async (t) => {
  for (const nodes of ['', '&& mknod /dev/loop-control c 10 237']) {
    const scene = await makeScene(t, fixture);
    const ended = await buildWithDevices(scene, nodes);
    assert.equal(ended.code, 6, ended.stderr);
    assert.match(
      ended.stderr,
      /\nstowage: this machine lacks a free loop device \(mount said: .*\)\n {2}hint: sudo modprobe loop; in a container, .*\n$/,
    );
    scene.assertOld();
    await scene.assertNothingLeft();
  }
});

/** A PATH on which one program is this script; `$real` is the true one. */
async function standIn(t: TestContext, program: string, script: string): Promise<string> {
  const bin = temporaryTree(t);
  const real = (await must('sh', ['-c', `command -v ${program}`])).trim();
  writeFileSync(join(bin, program), `#!/bin/sh\nreal=${real}\n${script}\n`, { mode: 0o755 });
  return `${bin}:${PATH}`;
}

test('mount is refused, hangs up half-way, or is killed', async (t) => {
  const refused = await makeScene(t, fixture);
  const says = await standIn(t, 'mount', `echo 'mount: only root can do that.' >&2; exit 1`);
  await refused.fails(
    refused.start([], { env: { PATH: says } }),
    6,
    /\nstowage: mount failed \(exit code 1\) while mounting the data image: mount: only root can do that\.\n/,
  );
  const killed = await makeScene(t, fixture);
  // The mount is there, and whoever made it dies before he can say so.
  const dies = await standIn(t, 'mount', '"$real" "$@"; kill -KILL $$');
  await killed.fails(
    killed.start([], { env: { PATH: dies } }),
    6,
    /\nstowage: mount failed while mounting the data image: SIGKILL ended it\n/,
  );
});

/** Somebody who looks into the mounted data image, and stays. */
async function intruder(t: TestContext, scene: Scene, seconds: number): Promise<number> {
  const mountPoint = join(scene.outputs, '.data.ext4.stowage', 'mnt', 'data');
  const child = spawn('sleep', [String(seconds)], { cwd: mountPoint, stdio: 'ignore' });
  atEnd(t, () => void child.kill('SIGKILL'));
  return waitFor('its pid', 5000, () => child.pid);
}

test('somebody stays in the mounted image: the message says who, the next build removes what is left', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: start engine$/m);
  const pid = await intruder(t, scene, 600);
  const ended = await running.ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(
    ended.stderr,
    new RegExp(
      `\nstowage: the data image can't be unmounted from \\S+, used by pid ${pid} \\(sleep\\)\n`,
    ),
  );
  assertOneMessage(ended);
  scene.assertOld();
  process.kill(pid, 'SIGKILL');
  const other = await makeScene(t, fixture);
  const built = await other.start().ended;
  assert.equal(built.code, 0, built.stderr);
  await scene.assertNothingLeft();
});

test('somebody who leaves the mounted image in time disturbs nobody', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: start engine$/m);
  const pid = await intruder(t, scene, 600);
  await running.said(/^stowage: unmount$/m);
  setTimeout(() => process.kill(pid, 'SIGKILL'), 1500);
  const ended = await running.ended;
  assert.equal(ended.code, 0, ended.stderr);
  assert.deepEqual(mountsBelow(scene.outputs), []);
});

/** A program with a mount name space of its own, which has all that the build has mounted now. */
function holdMounts(
  t: TestContext,
  { outputs }: Scene,
  propagation: 'private' | 'slave',
): ChildProcess {
  const space = inMountSpace(propagation, outputs, ['sleep', '600']);
  const [program, args] = asRoot('unshare', space);
  const holder = spawn(program, args, { stdio: 'ignore' });
  atEnd(t, () => void holder.kill('SIGKILL'));
  return holder;
}

test('a copy of the mount in another name space keeps the image from being finished', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: load images$/m);
  await containerOf(fixture);
  const holder = holdMounts(t, scene, 'private');
  const ended = await running.ended;
  assert.equal(ended.code, 6, ended.stderr);
  assert.match(
    ended.stderr,
    /\nstowage: the data image can't be unmounted from \S+, used by a copy of the mount .*\/dev\/loop\d+/,
  );
  assertOneMessage(ended);
  scene.assertOld();
  holder.kill('SIGKILL');
  await waitFor('the end of its loop device', 10_000, () =>
    scene.assertNothingLeft().then(
      () => true,
      () => undefined,
    ),
  );
});

test('a service that starts meanwhile keeps nobody from building', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: load images$/m);
  // As systemd starts those that see no more of /tmp than their own.
  const holder = holdMounts(t, scene, 'slave');
  const ended = await running.ended;
  assert.equal(ended.code, 0, ended.stderr);
  scene.restore();
  await scene.assertNothingLeft();
  assert.equal(holder.exitCode, null);
});

test('a copy of what a killed build had mounted keeps nobody from building', async (t) => {
  const scene = await makeScene(t, fixture);
  const running = scene.start();
  await running.said(/^stowage: load images$/m);
  const holder = holdMounts(t, scene, 'private');
  await containerOf(fixture);
  running.kill('SIGKILL');
  await running.ended;
  scene.assertOld();
  const built = await scene.start().ended;
  assert.equal(built.code, 0, built.stderr);
  holder.kill('SIGKILL');
  scene.restore();
  await waitFor('the end of its loop device', 10_000, () =>
    scene.assertNothingLeft().then(
      () => true,
      () => undefined,
    ),
  );
});

test('an unmount that is ended by a signal is done again', async (t) => {
  const scene = await makeScene(t, fixture);
  // As the terminal's Ctrl-C does it, which reaches sudo and umount too.
  const once = await standIn(
    t,
    'umount',
    `[ -e ${join(fixture.dir, 'once')} ] && exec "$real" "$@"\ntouch ${join(fixture.dir, 'once')}; kill -INT $$`,
  );
  const ended = await scene.start([], { env: { PATH: once } }).ended;
  assert.equal(ended.code, 0, ended.stderr);
});

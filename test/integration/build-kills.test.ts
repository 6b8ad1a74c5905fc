import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { collect, must, PATH_WITH_SBIN, waitFor } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage, startStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { inputsOf, makeScene, startBuildFixture } from './build-fixture.ts';

/** Builds that are killed: at any moment, with their whole process group, again while they clean up. */
const owner = fileOwner();
const fixture = await startBuildFixture(owner);
const { engine } = fixture;

/** Repeatable, and spread over [0, 1): the fractional parts of multiples of the golden ratio. */
function moment(round: number): number {
  return ((round + 1) * 0.618_033_988_75) % 1;
}

test('SIGKILL at random moments of a build: the old output stands, the next build reaps and succeeds', async (t) => {
  let whole = 4000;
  const scene = await makeScene(t, fixture);
  for (let round = 0; round < rounds(3, 30); round++) {
    const after = Math.round(moment(round) * whole);
    const running = scene.start();
    await sleep(after);
    running.kill('SIGKILL');
    const ended = await running.ended;
    if (ended.signal !== undefined) scene.assertOld();
    // A build of another output removes all that others could trip over, one of the same output the rest.
    const own = round % 2 === 1;
    const next = own ? scene : await makeScene(t, fixture);
    const start = Date.now();
    const built = await next.start().ended;
    whole = Date.now() - start;
    assert.equal(built.code, 0, `after ${after} ms of ${whole}: ${built.stderr}`);
    assert.equal((await runStowage(t, ['verify', next.output, '-p', fixture.pins])).code, 0);
    scene.restore();
    const outputs = own ? [scene.outputs] : [];
    await assertNothingLeft(scene.before, { ...scene.watched, outputs });
  }
});

test('SIGKILL at random moments of a build that changes one image of the last result', async (t) => {
  const bundle = join(fixture.dir, 'changing.yaml');
  const pins = join(fixture.dir, 'changing.json');
  const inputs = ['-b', bundle, '-p', pins, '-s', fixture.store];
  const outputs = temporaryTree(t);
  const output = join(outputs, 'data.ext4');
  const build = ['build', ...inputs, '-o', output];
  const base = await makeLayer({ base: noise(970, 400_000) });
  writeFileSync(bundle, readFileSync(fixture.bundle, 'utf8').replace('pair/1:1', 'changing/1:1'));
  const publish = async (version: number): Promise<void> => {
    const layers = [base, { version: noise(971 + version, 200_000) }];
    await push(
      fixture.registry,
      'changing/1:1',
      await makeImage({ platform: 'linux/amd64', layers }),
    );
    const pinned = await runStowage(t, [
      'pin',
      '-b',
      bundle,
      '-p',
      pins,
      '--platform',
      'linux/amd64',
    ]);
    assert.equal(pinned.code, 0, pinned.stderr);
    assert.equal((await runStowage(t, ['fetch', ...inputs])).code, 0);
  };
  await publish(0);
  const watched = { engine, stores: [fixture.store], outputs: [outputs] };
  const first = await runStowage(t, build, { engine });
  assert.equal(first.code, 0, first.stderr);
  const before = await machineState(watched);
  let whole = 2500;
  for (let round = 1; round <= rounds(1, 15); round++) {
    await publish(round);
    const old = await must('sha256sum', [output, join(outputs, 'data.json')]);
    const running = startStowage(t, build, { engine });
    const start = Date.now();
    await sleep(Math.round(moment(round) * whole));
    running.kill('SIGKILL');
    const ended = await running.ended;
    if (ended.code === 0) whole = Date.now() - start;
    else assert.equal(await must('sha256sum', [output, join(outputs, 'data.json')]), old);
    const built = await runStowage(t, build, { engine });
    assert.equal(built.code, 0, built.stderr);
    assert.equal((await runStowage(t, ['verify', output, '-p', pins])).code, 0);
    await assertNothingLeft(before, watched);
  }
});

/** stowage as the leader of a process group, as a shell on a terminal starts it. */
function startGroup(t: TestContext, output: string) {
  const child = spawn(
    process.execPath,
    [STOWAGE, 'build', '--from-scratch', ...inputsOf(fixture), '-o', output],
    {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: PATH_WITH_SBIN, HOME: fixture.dir, LC_ALL: 'C', DOCKER_HOST: engine.host },
    },
  );
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  atEnd(t, () => void child.kill('SIGKILL'));
  return {
    ended: collect(child),
    said: (pattern: RegExp) =>
      waitFor(String(pattern), 60_000, () => pattern.test(stderr) || undefined),
    interrupt: () => {
      try {
        process.kill(-(child.pid ?? 0), 'SIGINT');
      } catch {
        // It has just ended.
      }
    },
  };
}

for (const step of ['mount', 'load images', 'unmount'])
  test(`Ctrl-C, and Ctrl-C again and again, at "${step}": all programs get it, and still nothing is left`, async (t) => {
    const scene = await makeScene(t, fixture);
    const group = startGroup(t, scene.output);
    await group.said(new RegExp(`^stowage: ${step}$`, 'm'));
    for (let press = 0; press < 6; press++) {
      group.interrupt();
      await sleep(120);
    }
    const ended = await group.ended;
    // The last one may come when all is done and said, and nobody listens: a shell calls both 130.
    assert.ok(ended.code === 130 || ended.signal === 'SIGINT', ended.stderr);
    assert.match(ended.stderr, /\nstowage: ended by SIGINT; nothing was left half-done\n$/);
    scene.assertOld();
    await scene.assertNothingLeft();
  });

test('whoever runs mount for us is killed, before and after it did', async (t) => {
  const real = (await must('sh', ['-c', 'command -v umount'])).trim();
  for (const script of [`kill -KILL $$`, `"${real}" "$@"; kill -KILL $$`]) {
    const scene = await makeScene(t, fixture);
    const bin = temporaryTree(t);
    const once = join(bin, 'once');
    writeFileSync(
      join(bin, 'umount'),
      `#!/bin/sh\n[ -e ${once} ] && exec "${real}" "$@"\ntouch ${once}\n${script}\n`,
      { mode: 0o755 },
    );
    const env = { PATH: `${bin}:${PATH_WITH_SBIN}` };
    const ended = await scene.start([], { env }).ended;
    assert.equal(ended.code, 0, ended.stderr);
    scene.restore();
    await scene.assertNothingLeft();
  }
});

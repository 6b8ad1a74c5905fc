import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import type { OwnEngine } from '../rig/engine.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, noise, type Content } from '../rig/image.ts';
import type { MachineState, Watched } from '../rig/machine-state.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import type { Owner } from '../rig/owner.ts';
import { must, PATH_WITH_SBIN, waitFor, type Outcome } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';
import type { Running, StowageOptions } from '../rig/stowage.ts';
import { startStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { pushPair } from './product.ts';

/** A filled store and an engine for builds that are made to fail: one for all tests of a file. */
export interface BuildFixture {
  readonly registry: Registry;
  readonly engine: OwnEngine;
  readonly dir: string;
  readonly bundle: string;
  readonly pins: string;
  readonly store: string;
}

/** The image that takes long enough for something to happen meanwhile, in bytes. */
const BIG = 48_000_000;

export async function startBuildFixture(owner: Owner): Promise<BuildFixture> {
  const registry = await startRegistry(owner);
  const dind = await dindImage();
  await pushDind(registry, dind, 'library/docker:28.5.2-dind');
  await pushPair(registry, 'linux/amd64');
  const big = await makeImage({ platform: 'linux/amd64', layers: [{ big: noise(950, BIG) }] });
  await push(registry, 'big/1:1', big);
  const dir = temporaryTree(owner);
  const fixture = {
    registry,
    engine: await startEngine(owner, { holding: dind }),
    dir,
    bundle: join(dir, 'bundle.yaml'),
    pins: join(dir, 'pins.json'),
    store: join(dir, 'store'),
  };
  writeFileSync(
    fixture.bundle,
    `stowage: 1
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  big: { from: 'docker://${registry.host}/big/1:1' }
  one: { from: 'docker://${registry.host}/pair/1:1' }
  two: { from: 'docker://${registry.host}/pair/2:1' }
files:
  hello.txt: { text: 'hello' }
`,
  );
  const env = { PATH: PATH_WITH_SBIN, HOME: dir, LC_ALL: 'C' };
  const args = ['fetch', ...inputsOf(fixture), '--platform', 'linux/amd64'];
  await must(process.execPath, [STOWAGE, ...args], { env });
  return fixture;
}

/** A bundle of other images, pinned and fetched: what a build of it takes. */
export async function otherInputs(
  fixture: BuildFixture,
  name: string,
  content: Content,
): Promise<string[]> {
  await push(fixture.registry, `${name}/1:1`, content);
  const bundle = join(fixture.dir, `${name}.yaml`);
  const pins = join(fixture.dir, `${name}.json`);
  writeFileSync(
    bundle,
    `stowage: 1
engine: { dind: 'docker://${fixture.registry.host}/library/docker:28.5.2-dind' }
images:
  ${name}: { from: 'docker://${fixture.registry.host}/${name}/1:1' }
`,
  );
  const inputs = ['-b', bundle, '-p', pins, '-s', fixture.store];
  const env = { PATH: PATH_WITH_SBIN, HOME: fixture.dir, LC_ALL: 'C' };
  const args = ['fetch', ...inputs, '--platform', 'linux/amd64'];
  await must(process.execPath, [STOWAGE, ...args], { env });
  return inputs;
}

export function inputsOf({ bundle, pins, store }: BuildFixture): string[] {
  return ['-b', bundle, '-p', pins, '-s', store];
}

/** A directory with a data image and its document of before, and all that must be the same again. */
export interface Scene {
  readonly output: string;
  readonly outputs: string;
  readonly before: MachineState;
  readonly watched: Watched;
  /** Builds the fixture's bundle, or what `inputs` name, and uses nothing that an earlier build left. */
  start(more?: readonly string[], options?: StowageOptions, inputs?: readonly string[]): Running;
  /** The build fails with this code and words; nothing is left, and the output is the one of before. */
  fails(running: Running, code: number, expected: RegExp): Promise<Outcome>;
  /** The output is the one of before. */
  assertOld(): void;
  assertNothingLeft(): Promise<void>;
  /** Puts the output of before back in place of a new one. */
  restore(): void;
}

const OLD_IMAGE = 'the previous image';

export async function makeScene(
  t: TestContext,
  fixture: BuildFixture,
  outputs = temporaryTree(t),
): Promise<Scene> {
  const output = join(outputs, 'data.ext4');
  const document = join(outputs, 'data.json');
  const oldDocument = JSON.stringify({
    'stowage-data': 1,
    image: { label: 'previous' },
    dataRoot: 'docker',
    pins: JSON.parse(readFileSync(fixture.pins, 'utf8')) as unknown,
  });
  const restore = (): void => {
    writeFileSync(output, OLD_IMAGE);
    writeFileSync(document, oldDocument);
  };
  restore();
  const watched = { engine: fixture.engine, stores: [fixture.store], outputs: [outputs] };
  const before = await machineState(watched);
  const assertOld = (): void => {
    assert.equal(readFileSync(output, 'utf8'), OLD_IMAGE);
    assert.equal(readFileSync(document, 'utf8'), oldDocument);
  };
  return {
    ...{ output, outputs, before, watched, assertOld, restore },
    start: (more = [], options = {}, inputs = inputsOf(fixture)) =>
      startStowage(t, ['build', '--from-scratch', ...inputs, '-o', output, ...more], {
        engine: fixture.engine,
        ...options,
      }),
    fails: async (running, code, expected) => {
      const ended = await running.ended;
      assert.equal(ended.code, code, ended.stderr);
      assert.match(ended.stderr, expected);
      assertOneMessage(ended);
      assertOld();
      await assertNothingLeft(before, watched);
      return ended;
    },
    assertOld,
    assertNothingLeft: () => assertNothingLeft(before, watched),
  };
}

/** One failure, said once, with what to do next, and no trace of the program's own making. */
export function assertOneMessage({ code, stderr }: Outcome): void {
  assert.doesNotMatch(stderr, /\n {4}at |internal fault|undefined|\[object/);
  if (code < 128) assert.match(stderr, /\n {2}hint: .+\n$/);
}

/** The pid of a program in the container of the build of this output, such as `dockerd`. */
export async function pidInside(outputs: string, program: string): Promise<number> {
  return waitFor(`${program} in the container`, 10_000, () => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
      try {
        const [path] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        if (path?.split('/').at(-1) !== program) continue;
        // There, and nowhere else, our directory is mounted under that name.
        const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
        if (mounts.includes(`${outputs}/.data.ext4.stowage/run /stowage/run `)) return Number(pid);
      } catch {
        // It has just ended.
      }
    return undefined;
  });
}

/** The container of the build that runs, by its label. */
export async function containerOf({ engine }: BuildFixture): Promise<string> {
  return waitFor('the container', 10_000, async () => {
    const ids = await engine.mustDocker(['ps', '-q', '--filter', 'label=io.stowage.owner']);
    return ids.trim() === '' ? undefined : ids.trim();
  });
}

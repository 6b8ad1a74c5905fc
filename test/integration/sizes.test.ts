import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { mountLoop } from '../rig/loop-mount.ts';
import { dindImage } from '../rig/dind-image.ts';
import { assertClean, bothE2fsprogs } from '../rig/e2fsprogs.ts';
import { startEngine } from '../rig/engine.ts';
import type { Layer } from '../rig/image.ts';
import { makeImage, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { PeakDisk } from '../rig/peak-disk.ts';
import type { Outcome } from '../rig/process.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

const MIB = 1024 * 1024;
const UUID = '5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab';

const owner = fileOwner();
const registry = await startRegistry(owner);
const dind = await dindImage();
const engine = await startEngine(owner, { holding: dind });
await pushDind(registry, dind, 'library/docker:28.5.2-dind');

/** Some 60 MB unpacked in 3000 files, on top of each other; and 9000 files of a byte: more than a group has inodes. */
const layers: Layer[] = [];
for (const seed of [1, 2, 3]) {
  const files: Record<string, Uint8Array> = {};
  for (let i = 0; i < 1000; i++)
    files[`usr/${seed}/${i % 20}/${i}`] = noise(seed * 1000 + i, i % 100 === 0 ? 1_500_000 : 4_000);
  layers.push(await makeLayer(files));
}
await push(registry, 'sizes/usual:1', await makeImage({ platform: 'linux/amd64', layers }));
const many: Record<string, string> = {};
for (let i = 0; i < 9_000; i++) many[`many/${i % 50}/${i}`] = 'x';
await push(registry, 'sizes/many:1', await makeImage({ platform: 'linux/amd64', layers: [many] }));

const dir = temporaryTree(owner);
const store = join(dir, 'store');

interface Built extends Outcome {
  readonly output: string;
  /** Bytes, at most, beside what was there before. */
  readonly peak: number;
  readonly memory: number;
}

/** One build of the image of that name, in a directory of its own. */
async function build(
  t: TestContext,
  name: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Built> {
  const bundle = join(dir, `${name}.yaml`);
  const pins = join(dir, `${name}.json`);
  const common = ['-b', bundle, '-p', pins, '--platform', 'linux/amd64'];
  if (!existsSync(pins)) {
    writeFileSync(
      bundle,
      `stowage: 1\npartition: { label: sizes }\nengine: { dind: "docker://${registry.host}/library/docker:28.5.2-dind" }\nimages:\n  app: { from: "docker://${registry.host}/sizes/${name}:1" }\nfiles:\n  note: { text: hello }\n`,
    );
    for (const verb of [
      ['pin', ...common],
      ['fetch', ...common, '-s', store],
    ]) {
      const { code, stderr } = await startStowage(t, verb).ended;
      assert.equal(code, 0, stderr);
    }
  }
  const out = join(temporaryTree(t), 'out');
  mkdirSync(out);
  const output = join(out, 'data.ext4');
  const disk = new PeakDisk(out);
  const running = startStowage(
    t,
    ['build', ...common, '-s', store, '-o', output, '--no-share', ...args],
    { engine, env },
  );
  let memory = 0;
  const watch = setInterval(() => {
    memory = Math.max(memory, peakMemory(running.pid));
  }, 20);
  const ended = await running.ended;
  clearInterval(watch);
  return { ...ended, output, peak: await disk.stop(), memory };
}

/** Bytes, as proc(5) has VmHWM. */
function peakMemory(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

async function superblock(image: string): Promise<(name: string) => number> {
  const told = await must('dumpe2fs', ['-h', image]);
  return (name) => Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(told)?.[1]);
}

test('an image is no larger than what is in it and the headroom, whole, and grows', async (t) => {
  const built = await build(t, 'usual');
  assert.equal(built.code, 0, built.stderr);
  const { output } = built;
  const of = await superblock(output);
  const used = of('Block count') - of('Free blocks');
  assert.ok(statSync(output).size === of('Block count') * 4096);
  assert.ok(of('Block count') <= used * 1.12, `${of('Block count')} blocks for ${used}`);
  assert.ok(of('Block count') >= used * 1.09, `${of('Block count')} blocks for ${used}`);
  const judges = await bothE2fsprogs();
  await assertClean(output, judges);

  const content = statSync(output).blocks * 512;
  assert.ok(built.peak <= content + 64 * MIB, `${built.peak} at most for ${content}`);
  assert.ok(built.memory > 10 * MIB && built.memory < 150 * MIB, `${built.memory} bytes of memory`);

  const grown = join(temporaryTree(t), 'grown.ext4');
  copyFileSync(output, grown);
  truncateSync(grown, 32 * 1024 * MIB);
  await must('resize2fs', ['-f', grown]);
  await assertClean(grown, judges);
  const inodes = (await superblock(grown))('Inode count');
  assert.ok(inodes >= 2_000_000, `${inodes}: one for 16 KiB, on a grown device, too`);
  const point = temporaryTree(t);
  const unmount = await mountLoop(t, grown, point);
  assert.equal(readFileSync(join(point, 'note'), 'utf8'), 'hello');
  await mustAsRoot('sh', ['-c', `head -c 300000000 /dev/zero > ${point}/large`]);
  await unmount();
  await assertClean(grown, judges);
});

test('too few inodes are cured by more of them, and said', async (t) => {
  const built = await build(t, 'many', ['--features', '6.1', '--uuid', UUID.toUpperCase()]);
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /too few inodes.*trying again with \d+ instead of 8192/s);
  const told = await must('dumpe2fs', ['-h', built.output]);
  assert.match(told, new RegExp(`UUID: +${UUID}`));
  assert.match(told, /features:.* orphan_file .*metadata_csum_seed/);
  await assertClean(built.output, await bothE2fsprogs());
});

test('a size that cannot do is refused before anything is made, with one that does', async (t) => {
  const refused = await build(t, 'usual', ['--size', '60M']);
  assert.equal(refused.code, 7, refused.stderr);
  assert.ok(!/make file system|start engine/.test(refused.stderr), refused.stderr);
  const [, said] = /\((\d+M) should do\)/.exec(refused.stderr) ?? [];
  assert.ok(said !== undefined, refused.stderr);
  const epoch = { SOURCE_DATE_EPOCH: '1700000000', TZ: 'UTC' };
  const built = await build(t, 'usual', ['--size', said], epoch);
  assert.equal(built.code, 0, built.stderr);
  assert.equal(statSync(built.output).size, Number(said.slice(0, -1)) * MIB);
  const told = await must('env', ['TZ=UTC', 'dumpe2fs', '-h', built.output]);
  for (const line of ['created', 'Last mount time', 'Last write time', 'Last checked'])
    assert.match(told, new RegExp(`${line}:\\s+Tue Nov 14 22:13:20 2023`), line);
  await assertClean(built.output, await bothE2fsprogs());
});

test('the direct loader is told a size that does, and that has no room for an engine', async (t) => {
  const text: Record<string, Uint8Array> = {};
  for (let i = 0; i < 200; i++) text[`usr/${i}`] = Buffer.alloc(50_000 + i, `line ${i}\n`);
  await push(
    registry,
    'sizes/text:1',
    await makeImage({ platform: 'linux/amd64', layers: [text] }),
  );
  const sized = (size: string): ReturnType<typeof build> =>
    build(t, 'text', ['--loader', 'direct', '--size', size]);
  const refused = await sized('8M');
  assert.equal(refused.code, 7, refused.stderr);
  const [, said] = /partition of 8M: .*\((\d+)M should do\)/s.exec(refused.stderr) ?? [];
  const fits = Number(said);
  const built = await sized(`${fits}M`);
  assert.equal(built.code, 0, built.stderr);
  assert.equal(statSync(built.output).size, fits * MIB);
  const smaller = await sized(`${fits - 3}M`);
  assert.equal(smaller.code, 7, smaller.stderr);
  const late = /the data image: (\d+)M are needed, .*\(\1M should do\)/s.exec(smaller.stderr);
  const least = Number(late?.[1]);
  assert.ok(least <= fits, smaller.stderr);
  assert.equal((await sized(`${least}M`)).code, 0);
  assert.equal((await sized(`${least - 1}M`)).code, 7);
});

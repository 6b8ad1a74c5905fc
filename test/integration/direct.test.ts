import assert from 'node:assert/strict';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import { bothE2fsprogs, assertClean } from '../rig/e2fsprogs.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, makeIndex, makeLayer, noise, writeLayout } from '../rig/image.ts';
import { startDevice } from '../rig/device-engine.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, PATH_WITH_SBIN } from '../rig/process.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import type { StowageOptions } from '../rig/stowage.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { contentOf } from './data-content.ts';

/** The direct loader as users have it, judged by the loader that runs the engine and by the engine itself. */
const owner = fileOwner();
const directory = temporaryTree(owner);
const registry = await startRegistry(owner);
const dind = await dindImage();
await pushDind(registry, dind, 'library/docker:28.5.2-dind');
const platform = 'linux/amd64';
const CAPABILITY = `\x01\0\0\x02\0\x20${'\0'.repeat(14)}`;
const base = await makeLayer({
  'etc/open': { type: 'directory', mode: 0o711, uid: 7, gid: 8, xattrs: { 'user.of': 'base' } },
  'etc/open/name': 'of the base',
  'etc/gone': 'not for long',
  'etc/hidden/one': 'below',
  'bin/able': { content: 'able', mode: 0o755, xattrs: { 'security.capability': CAPABILITY } },
  'bin/same': { type: 'link', target: 'etc/open/name' },
  lib: { type: 'symlink', target: 'usr/lib' },
  'usr/lib/large': noise(42, 3_000_000),
  'run/pipe': { type: 'fifo', mode: 0o622 },
});
const above = await makeLayer({
  'etc/open/more': { content: 'more', uid: 1000, mode: 0o4750 },
  'etc/.wh.gone': { content: '', uid: 3 },
  'etc/hidden/.wh..wh..opq': '',
  'etc/hidden/two': 'above',
  'lib/in': 'a directory of its own',
  'dev/null': { type: 'character-device', mode: 0o666, device: { major: 1, minor: 3 } },
});
const plain = await makeLayer({ 'opt/plain': noise(43, 500_000) }, { gzip: false });
const rich = await makeImage({ platform, layers: [base, above, plain] });
await push(registry, 'direct/rich:1', rich);
await push(
  registry,
  'direct/other:1',
  makeIndex({ [platform]: await makeImage({ platform, layers: [base, {}], format: 'docker' }) }),
);

const bundle = join(directory, 'bundle.yaml');
const pins = join(directory, 'pins.json');
const store = join(directory, 'store');
writeFileSync(
  bundle,
  `stowage: 1
partition: { label: direct-data }
engine: { dind: 'docker://${registry.host}/library/docker:28.5.2-dind' }
images:
  engine: { from: 'docker://${registry.host}/library/docker:28.5.2-dind' }
  rich: { from: 'docker://${registry.host}/direct/rich:1', tags: ['rich:latest'] }
  other: { from: 'docker://${registry.host}/direct/other:1' }
files:
  supervisor/config.json: { json: { a: 1 }, mode: '0600' }
`,
);
const inputs = ['-b', bundle, '-p', pins, '-s', store];
await must(
  process.execPath,
  [
    join(import.meta.dirname, '..', '..', 'dist', 'stowage.mjs'),
    ...['fetch', ...inputs, '--platform', platform],
  ],
  { env: { PATH: PATH_WITH_SBIN, HOME: directory, LC_ALL: 'C' } },
);
// Whoever builds only reads it.
await must('chmod', ['-R', 'a+rX', directory]);

async function buildTo(
  t: TestContext,
  output: string,
  more: readonly string[] = [],
  options: StowageOptions = {},
  from: readonly string[] = inputs,
) {
  const args = ['build', '--loader', 'direct', '--no-share', '-o', output];
  return runStowage(t, [...args, ...from, ...more], options);
}

void test('nobody builds the same bytes with no other program, in whatever place and time', async (t) => {
  const user = await unprivilegedUser(t);
  // Nothing but what makes root the user is to be found.
  const programs = join(temporaryTree(t), 'programs');
  mkdirSync(programs);
  const becomes = process.getuid?.() === 0 ? 'setpriv' : 'sudo';
  symlinkSync((await must('which', [becomes])).trim(), join(programs, becomes));
  const elsewhere = join(user.home, 'a', 'long-way', 'down');
  mkdirSync(elsewhere, { recursive: true });
  chmodSync(elsewhere, 0o777);
  const theirs = join(elsewhere, 'theirs.ext4');
  const alone = await buildTo(t, theirs, [], {
    user,
    env: { PATH: programs, TZ: 'Asia/Tokyo', LC_ALL: 'tr_TR.UTF-8', HOME: '/nonexistent' },
  });
  assert.equal(alone.code, 0, alone.stderr);
  assert.match(alone.stderr, /write data image/);
  const ours = join(temporaryTree(t), 'ours.ext4');
  const built = await buildTo(t, ours, [], { cwd: '/' });
  assert.equal(built.code, 0, built.stderr);
  await must('cmp', [theirs, ours]);
  const document = (file: string): string =>
    readFileSync(file, 'utf8').replace(/"file": ".*"/, '"file"');
  assert.equal(
    document(join(elsewhere, 'theirs.json')),
    document(join(ours.replace(/\.ext4$/, '.json'))),
  );
  assertClean(ours, await bothE2fsprogs());
  const verified = await runStowage(t, ['verify', ours, '-p', pins]);
  assert.equal(verified.code, 0, verified.stderr);
});

for (const kind of ['containerd', 'overlay2'] as const)
  void test(`the engine's own data root of ${kind} is the same, and it runs on ours`, async (t) => {
    const engine = await startEngine(t, { holding: dind });
    const dir = temporaryTree(t);
    const [ours, theirs] = [join(dir, 'ours.ext4'), join(dir, 'theirs.ext4')];
    const built = await buildTo(t, ours, ['--engine-store', kind]);
    assert.equal(built.code, 0, built.stderr);
    const reference = await runStowage(
      t,
      ['build', '--no-share', '--engine-store', kind, ...inputs, '-o', theirs],
      { engine },
    );
    assert.equal(reference.code, 0, reference.stderr);
    const [one, other] = [await contentOf(t, ours, kind), await contentOf(t, theirs, kind)];
    assert.deepEqual(comparable(one), comparable(other));

    const device = await startDevice(t, ours, { engine, dind, store: kind });
    const images = await device.images();
    assert.deepEqual(
      images.map(({ name }) => name),
      [
        `${registry.host}/direct/other:1`,
        `${registry.host}/direct/rich:1`,
        `${registry.host}/library/docker:28.5.2-dind`,
        'rich:latest',
      ].sort(),
    );
    const unpacked = await snapshotsOf(device.partition, kind);
    for (const { name } of images) {
      const created = await device.docker(['create', '--pull', 'never', name, '/bin/true']);
      assert.equal(created.code, 0, created.stderr);
    }
    if (kind === 'containerd') {
      // Each container has one layer of its own, and nothing else was unpacked for it.
      const now = await snapshotsOf(device.partition, kind);
      assert.equal(now.length - unpacked.length, images.length * 2);
    }
    const said = await device.run(`${registry.host}/library/docker:28.5.2-dind`, [
      ...['sh', '-c', 'echo it runs'],
    ]);
    assert.match(said.stdout, /it runs/, said.stderr);
    const saved = await device.docker(['save', '-o', join(dir, 'saved.tar'), 'rich:latest']);
    assert.equal(saved.code, 0, saved.stderr);
  });

/** Without what the loaders choose for themselves: numbers of directories, times of what has none, how gzip packs. */
function comparable(lines: readonly string[]): readonly string[] {
  return lines.filter(
    (line) =>
      !line.includes('/tar-split.json.gz ') &&
      !/^\/ (?:# file: docker|\.\/supervisor\/config\.json)/.test(line) &&
      !/^configs \.\/metadata/.test(line),
  );
}

async function snapshotsOf(partition: string, kind: string): Promise<readonly string[]> {
  const path =
    kind === 'containerd'
      ? 'docker/containerd/daemon/io.containerd.snapshotter.v1.overlayfs/snapshots'
      : 'docker/overlay2';
  return (await must('ls', [join(partition, path)])).split('\n').filter(Boolean);
}

void test('packed images are blobs alone', async (t) => {
  const output = join(temporaryTree(t), 'packed.ext4');
  const built = await buildTo(t, output, ['--no-unpack']);
  assert.equal(built.code, 0, built.stderr);
  const verified = await runStowage(t, ['verify', output, '-p', pins]);
  assert.equal(verified.code, 0, verified.stderr);
});

void test('a blob that is not what its name says ends the build, and nothing is left', async (t) => {
  const dir = temporaryTree(t);
  const damaged = join(dir, 'store');
  cpSync(store, damaged, { recursive: true, verbatimSymlinks: true });
  const [layer] = [rich.layers[0]];
  assert.ok(layer);
  const blob = join(damaged, 'blobs', 'sha256', layer.digest.slice('sha256:'.length));
  chmodSync(blob, 0o644);
  const file = openSync(blob, 'r+');
  writeSync(file, 'x', 1000);
  closeSync(file);
  const out = join(dir, 'out');
  mkdirSync(out);
  for (const kind of ['containerd', 'overlay2']) {
    const failed = await buildTo(t, join(out, 'data.ext4'), ['--engine-store', kind], {}, [
      '-b',
      bundle,
      '-p',
      pins,
      '-s',
      damaged,
    ]);
    assert.equal(failed.code, 3, failed.stderr);
    assert.match(failed.stderr, new RegExp(`${layer.digest} is not what its name says`));
    assert.deepEqual(readdirSync(out), []);
  }
});

void test('a partition that is too small is refused with one that would do', async (t) => {
  const dir = temporaryTree(t);
  const failed = await buildTo(t, join(dir, 'data.ext4'), ['--size', '64M']);
  assert.equal(failed.code, 7, failed.stderr);
  assert.match(failed.stderr, /M should do/);
  assert.deepEqual(readdirSync(dir), []);
});

void test('what is not changed is not built again, and what is is built anew', async (t) => {
  const dir = temporaryTree(t);
  const output = join(dir, 'data.ext4');
  const first = await buildTo(t, output);
  assert.equal(first.code, 0, first.stderr);
  const again = await buildTo(t, output);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, /nothing changed/);
  const moved = await buildTo(t, output, ['--label', 'other-label']);
  assert.equal(moved.code, 0, moved.stderr);
  assert.match(moved.stderr, /from scratch: another label/);
  const into = await buildTo(t, output, ['--into', output]);
  assert.equal(into.code, 2, into.stderr);
  assert.match(into.stderr, /use --loader dind/);
});

void test('no dind image is fetched for it', async (t) => {
  const dir = temporaryTree(t);
  const own = join(dir, 'own.yaml');
  writeFileSync(own, readFileSync(bundle, 'utf8').replace(/^ {2}engine:.*\n/m, ''));
  const from = ['-b', own, '-p', join(dir, 'pins.json'), '-s', join(dir, 'store')];
  const fetched = await runStowage(t, [
    ...['fetch', '--loader', 'direct', ...from, '--platform', platform],
  ]);
  assert.equal(fetched.code, 0, fetched.stderr);
  const blobs = readdirSync(join(dir, 'store', 'blobs', 'sha256'));
  assert.ok(blobs.length < 15, blobs.join());
  const output = join(dir, 'data.ext4');
  const built = await buildTo(t, output, [], {}, from);
  assert.equal(built.code, 0, built.stderr);
  assert.ok(existsSync(output));
  rmSync(output);
  const doctor = await runStowage(t, ['doctor', '--loader', 'direct', '-o', output]);
  assert.doesNotMatch(doctor.stdout, /loop|docker|sudo|e2fsprogs/);
});

void test('no dind image is asked for, nor pinned', async (t) => {
  const dir = temporaryTree(t);
  await writeLayout(join(dir, 'layout'), rich);
  const local = join(dir, 'local.yaml');
  // Nobody answers at that address.
  const nobody = 'docker://127.0.0.1:1/library/docker:28.5.2-dind';
  writeFileSync(
    local,
    `stowage: 1\nengine: { dind: '${nobody}' }\nimages:\n  app: { from: 'oci:layout', tags: ['app:1'] }\n`,
  );
  const from = ['-b', local, '-p', join(dir, 'pins.json')];
  const pinned = await runStowage(t, [
    ...['pin', ...from, '--loader', 'direct', '--platform', platform],
  ]);
  assert.equal(pinned.code, 0, pinned.stderr);
  assert.doesNotMatch(readFileSync(join(dir, 'pins.json'), 'utf8'), /dind/);
  const all = [...from, '-s', join(dir, 'store')];
  const fetched = await runStowage(t, ['fetch', ...all, '--loader', 'direct', '--frozen']);
  assert.equal(fetched.code, 0, fetched.stderr);
  const built = await buildTo(t, join(dir, 'data.ext4'), [], {}, all);
  assert.equal(built.code, 0, built.stderr);
  // However small: a device writes to it, and grows it.
  const facts = await must('dumpe2fs', ['-h', join(dir, 'data.ext4')]);
  assert.match(facts, /has_journal/);
  assert.match(facts, /Inodes per group: +8192\n/);
  const other = await runStowage(t, ['build', ...all, '-o', join(dir, 'dind.ext4')]);
  assert.equal(other.code, 2);
  assert.match(other.stderr, /the dind image is not pinned/);
});

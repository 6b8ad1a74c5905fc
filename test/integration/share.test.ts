import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { dataImageContent } from '../rig/data-image-content.ts';
import { atEnd, fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot } from '../rig/process.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { stampOf, startReuse } from './reuse-fixture.ts';

/** Boards that want the same data image: it is built once. */
const owner = fileOwner();
const reuse = await startReuse(owner);
const dir = temporaryTree(owner);
const built = join(reuse.store, 'built');
const NO_ENGINE = { env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' } };
const COPIED = /another build left the same image in the store/;
let inputs: readonly string[] = [];

/** A board's output: each in a directory of its own. */
function board(name: string, below = dir): string {
  mkdirSync(join(below, name), { recursive: true });
  return join(below, name, 'data.ext4');
}

async function makeAnew(t: TestContext, output: string): Promise<void> {
  const made = await reuse.build(t, [...inputs, '-o', output, '--from-scratch']);
  assert.equal(made.code, 0, made.stderr);
}

test('the second of two boards copies what the first has built, with no engine', async (t) => {
  inputs = await reuse.variant(t);
  const [first, second] = [board('first'), board('second')];
  const one = await reuse.build(t, [...inputs, '-o', first]);
  assert.equal(one.code, 0, one.stderr);
  assert.equal(readdirSync(built).length, 1);
  const [image = ''] = readdirSync(built).map((name) => join(built, name, 'data.ext4'));
  // A link of one kind or the other: no second copy of the bytes.
  const shared = statSync(image).ino === statSync(first).ino;
  assert.ok(shared || (await isReflink(image, first)));
  const planned = await reuse.build(t, [...inputs, '-o', second, '-n'], NO_ENGINE);
  assert.match(planned.stdout, COPIED);
  assert.equal(existsSync(second), false);
  const two = await reuse.build(t, [...inputs, '-o', second], NO_ENGINE);
  assert.equal(two.code, 0, two.stderr);
  assert.match(two.stderr, COPIED);
  assert.notEqual(statSync(second).ino, statSync(first).ino);
  assert.equal(statSync(second).nlink, 1);
  assert.deepEqual(await dataImageContent(t, second), await dataImageContent(t, first));
  assert.equal(readFileSync(documentOf(second), 'utf8'), readFileSync(documentOf(first), 'utf8'));
  for (const output of [first, second]) {
    const again = await reuse.build(t, [...inputs, '-o', output], NO_ENGINE);
    assert.match(again.stdout, /nothing changed/);
  }
});

test('two boards at once: one builds, the other waits and copies', async (t) => {
  const args = await reuse.variant(t, { images: { dns: '2' } });
  const runs = await Promise.all(
    ['east', 'west'].map((name) => reuse.build(t, [...args, '-o', board(name)])),
  );
  for (const ended of runs) assert.equal(ended.code, 0, ended.stderr);
  assert.equal(runs.filter(({ stderr }) => /load images/.test(stderr)).length, 1);
  assert.equal(runs.filter(({ stderr }) => COPIED.test(stderr)).length, 1);
  assert.equal(
    runs.filter(({ stderr }) => /waiting for the same data image/.test(stderr)).length,
    1,
  );
});

test('--no-share takes nothing from the store and leaves nothing there', async (t) => {
  const args = await reuse.variant(t, { images: { dns: undefined } });
  const before = readdirSync(built);
  const alone = await reuse.build(t, [...args, '-o', board('alone'), '--no-share']);
  assert.equal(alone.code, 0, alone.stderr);
  assert.deepEqual(readdirSync(built), before);
  const planned = await reuse.build(t, [...inputs, '-o', board('alone-too'), '-n', '--no-share']);
  assert.match(planned.stdout, /there is no earlier result/);
});

test('on another file system nothing is published, and what there is is taken', async (t) => {
  const elsewhere = join(temporaryTree(t), 'tmpfs');
  mkdirSync(elsewhere);
  await mustAsRoot('mount', ['-t', 'tmpfs', '-o', 'size=1g', 'tmpfs', elsewhere]);
  atEnd(t, async () => {
    await mustAsRoot('umount', [elsewhere]);
  });
  const copied = await reuse.build(t, [...inputs, '-o', board('ram', elsewhere)], NO_ENGINE);
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, COPIED);
  const args = await reuse.variant(t, { images: { audio: undefined } });
  const before = readdirSync(built);
  const own = await reuse.build(t, [...args, '-o', board('own', elsewhere)]);
  assert.equal(own.code, 0, own.stderr);
  assert.deepEqual(readdirSync(built), before);
});

test('a store that may only be read gives and takes nothing', async (t) => {
  const view = join(temporaryTree(t), 'store');
  mkdirSync(view);
  await mustAsRoot('mount', ['--bind', reuse.store, view]);
  atEnd(t, async () => {
    await mustAsRoot('umount', [view]);
  });
  await mustAsRoot('mount', ['-o', 'remount,ro,bind', view]);
  const common = ['build', ...inputs, '-s', view];
  const copied = await runStowage(t, [...common, '-o', board('reader')], NO_ENGINE);
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, COPIED);
  const args = await reuse.variant(t, { images: { cli: undefined } });
  const before = readdirSync(built);
  const own = await runStowage(t, ['build', ...args, '-s', view, '-o', board('reader-too')], {
    engine: reuse.engine,
  });
  assert.equal(own.code, 0, own.stderr);
  assert.deepEqual(readdirSync(built), before);
});

test('what was written to since is not taken, also where its time was restored', async (t) => {
  for (const restore of [false, true]) {
    const spoilt = board(`spoilt-${restore}`);
    await mustAsRoot('rm', ['-rf', built]);
    await makeAnew(t, spoilt);
    const { atime, mtimeMs, ino } = statSync(spoilt);
    const [name = ''] = readdirSync(built);
    if (statSync(join(built, name, 'data.ext4')).ino !== ino) {
      t.diagnostic('reflinks: nobody can write to what the store has');
      return;
    }
    const file = openSync(spoilt, 'r+');
    writeSync(file, 'x', Math.floor(statSync(spoilt).size / 2));
    closeSync(file);
    if (restore) utimesSync(spoilt, atime, mtimeMs / 1000);
    const planned = await reuse.build(t, [...inputs, '-o', board('other'), '-n']);
    assert.match(planned.stdout, /there is no earlier result/);
    const verified = await runStowage(t, ['store', 'verify', '-s', reuse.store]);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /1 finished data image, of which 1 changed since/);
  }
  const other = board('other');
  const made = await reuse.build(t, [...inputs, '-o', other]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /from scratch/);
  // The good one is published in its place.
  const copied = await reuse.build(t, [...inputs, '-o', board('third')], NO_ENGINE);
  assert.equal(copied.code, 0, copied.stderr);
});

test('it outlives its output, and prune takes it then', async (t) => {
  await mustAsRoot('rm', ['-rf', built]);
  const output = board('short-lived');
  await makeAnew(t, output);
  const stamp = stampOf(output);
  const prune = ['store', 'prune', '-s', reuse.store, '--older-than', '0s'];
  // Of images and blobs nothing is removed: this is about finished ones.
  const keep = ['--keep', inputs[inputs.indexOf('-p') + 1] ?? ''];
  const kept = await runStowage(t, [...prune, ...keep]);
  assert.equal(kept.code, 0, kept.stderr);
  assert.equal(stampOf(output), stamp);
  assert.equal(readdirSync(built).length, 1);
  const listed = await runStowage(t, ['store', 'ls', '-s', reuse.store]);
  assert.match(listed.stdout, /linux\/\w+, 4 images +built\/[0-9a-f]{12}…/);
  rmSync(dirname(output), { recursive: true });
  const copied = await reuse.build(t, [...inputs, '-o', board('heir')], NO_ENGINE);
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, COPIED);
  const gone = await runStowage(t, [...prune, ...keep]);
  assert.match(gone.stdout, /and 1 finished data image, removed/);
  assert.deepEqual(readdirSync(built), []);
});

test('what builds replace does not pile up', async (t) => {
  const output = board('busy');
  for (let round = 0; round < 5; round++) {
    const files = { settings: `${round}` };
    const args = await reuse.variant(t, { files });
    const updated = await reuse.build(t, [...args, '-o', output]);
    assert.equal(updated.code, 0, updated.stderr);
  }
  assert.ok(readdirSync(built).length <= 3, readdirSync(built).join(' '));
});

test('a copy of a damaged image is noticed, and replaced', async (t) => {
  await mustAsRoot('rm', ['-rf', built]);
  const output = board('origin');
  await makeAnew(t, output);
  const [name = ''] = readdirSync(built);
  const image = join(built, name, 'data.ext4');
  const record = join(built, name, 'finished.json');
  // Rot leaves no trace in any time: here, the record is changed with the file.
  await must('sh', [
    '-c',
    'head -c 4096 /dev/zero | dd of="$0" bs=1024 seek=1 conv=notrunc',
    image,
  ]);
  const { size, mtimeNs, ctimeNs } = statSync(image, { bigint: true });
  const text = readFileSync(record, 'utf8');
  const stamp = JSON.stringify(`${size} ${mtimeNs} ${ctimeNs}\n`);
  await must('sh', [
    '-c',
    'printf %s "$1" > "$0"',
    record,
    text.replace(/"\d+ \d+ \d+\\n"/, stamp),
  ]);
  const copied = await reuse.build(t, [...inputs, '-o', board('victim')]);
  assert.equal(copied.code, 0, copied.stderr);
  assert.match(copied.stderr, COPIED);
  assert.match(copied.stderr, /from scratch: there is no earlier result/);
  const again = await reuse.build(t, [...inputs, '-o', board('next')], NO_ENGINE);
  assert.equal(again.code, 0, again.stderr);
});

function documentOf(output: string): string {
  return output.replace(/ext4$/, 'json');
}

async function isReflink(a: string, b: string): Promise<boolean> {
  const extents = async (path: string): Promise<string> =>
    (await must('filefrag', ['-v', path])).split('\n').slice(3, 6).join('\n');
  return (await extents(a)) === (await extents(b)) && /shared/.test(await extents(a));
}

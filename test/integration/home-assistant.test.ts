import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDevice } from '../rig/device-engine.ts';
import { startEngine } from '../rig/engine.ts';
import { fileOwner } from '../rig/owner.ts';
import { mustAsRoot } from '../rig/process.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { APPARMOR, BUNDLE, startProduct, targetArguments } from './product.ts';

const owner = fileOwner();
const product = await startProduct(owner);
const engine = await startEngine(owner, { holding: product.dind });
const dir = temporaryTree(owner);
const pins = join(dir, 'pins.json');
const store = join(dir, 'store');
const mirror = ['--mirror', product.registry.host];

for (const board of product.boards)
  test(`the shipped bundle, unedited, gives ${board.platform} what the registry serves`, async (t) => {
    const output = join(dir, `${board.machine}.ext4`);
    const target = targetArguments(product, board);
    const common = ['-b', BUNDLE, '-p', pins, ...target];
    const pinned = await runStowage(t, ['pin', ...common, ...mirror]);
    assert.equal(pinned.code, 0, pinned.stderr);
    const fetched = await runStowage(t, ['fetch', ...common, '-s', store, ...mirror]);
    assert.equal(fetched.code, 0, fetched.stderr);
    const built = await runStowage(t, ['build', ...common, '-s', store, '-o', output], { engine });
    assert.equal(built.code, 0, built.stderr);
    // data.json names the target, so the pins of two boards are no riddle.
    const verified = await runStowage(t, ['verify', output, '-p', pins]);
    assert.equal(verified.code, 0, verified.stderr);
    assert.match(verified.stdout, /ok: 7 images/);
    assert.equal((await runStowage(t, ['verify', output])).code, 0);

    const device = await startDevice(t, output, { engine, dind: product.dind });
    assert.deepEqual(
      (await device.images()).map(({ name, digest }) => [name, digest]),
      [...board.names].sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    for (const [name] of board.names) {
      const image = await device.inspect(name);
      assert.equal(`linux/${image['Architecture'] as string}`, board.platform, name);
      // Created with no network and nothing unpacked first: the snapshots were there.
      const created = await device.docker(['create', '--pull', 'never', name, 'true']);
      assert.equal(created.code, 0, created.stderr);
    }
    const files: [string, string, string][] = [
      ['supervisor/apparmor/hassio-supervisor', APPARMOR, '644'],
      ['supervisor/updater.json', '{"channel":"stable"}', '644'],
      ['.docker-use-containerd-snapshotter', '', '644'],
    ];
    for (const [path, content, mode] of files) {
      const file = join(device.partition, path);
      assert.equal(readFileSync(file, 'utf8').trim(), content.trim(), path);
      const { mode: bits, uid, gid } = statSync(file);
      assert.deepEqual([(bits & 0o7777).toString(8), uid, gid], [mode, 0, 0], path);
    }
    await device.stop();
  });

test('pinning again changes no byte, and both boards are in one file', async (t) => {
  const before = readFileSync(pins, 'utf8');
  for (const board of product.boards) {
    const args = ['pin', '-b', BUNDLE, '-p', pins, ...targetArguments(product, board), ...mirror];
    const again = await runStowage(t, args);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /unchanged/);
    assert.ok(before.includes(`"platform": "${board.platform}"`));
  }
  assert.equal(readFileSync(pins, 'utf8'), before);
});

test('with the registry stopped, fetch and build work, on a read-only store of another user', async (t) => {
  const [board] = product.boards;
  assert.ok(board);
  const target = ['--platform', board.platform];
  await product.registry.stop();
  const requests = (await product.registry.requests()).length;
  const asked = product.asked.length;
  const foreign = join(temporaryTree(t), 'store');
  await mustAsRoot('cp', ['-a', store, foreign]);
  await mustAsRoot('chown', ['-R', '12345:12345', foreign]);
  await mustAsRoot('chmod', ['-R', 'a-w', foreign]);
  const frozen = await runStowage(t, [
    ...['fetch', '-b', BUNDLE, '-p', pins, '-s', foreign, ...target, '--frozen'],
  ]);
  assert.equal(frozen.code, 0, frozen.stderr);
  assert.match(frozen.stdout, /, 0 B downloaded/);
  const output = join(temporaryTree(t), 'data.ext4');
  const built = await runStowage(
    t,
    [
      ...['build', '-b', BUNDLE, '-p', pins, '-s', foreign, ...target, '-o', output],
      '--from-scratch',
    ],
    { engine },
  );
  assert.equal(built.code, 0, built.stderr);
  assert.ok(existsSync(output));
  assert.equal((await product.registry.requests()).length, requests);
  assert.equal(product.asked.length, asked, 'a warm fetch asks nobody');
});

test('an image of which nobody knows the pins is compared with itself on request', async (t) => {
  const [board] = product.boards;
  assert.ok(board);
  const copy = join(temporaryTree(t), 'unknown.ext4');
  copyFileSync(join(dir, `${board.machine}.ext4`), copy);
  const unknown = await runStowage(t, ['verify', copy]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /unknown\.json; or --self/);
  const alone = await runStowage(t, ['verify', copy, '--self']);
  assert.equal(alone.code, 0, alone.stderr);
  assert.match(alone.stdout, /snapshots with \d+ files are whole$/m);
});

test('verify tells when another image lies under that name', async (t) => {
  const [first, second] = product.boards;
  assert.ok(first && second);
  const copy = join(temporaryTree(t), 'data.ext4');
  copyFileSync(join(dir, `${first.machine}.ext4`), copy);
  const other = await runStowage(t, ['verify', copy, '-p', pins, '--platform', second.platform]);
  assert.equal(other.code, 3);
  assert.match(other.stderr, /is not what the pins say/);
  assert.match(other.stderr, /supervisor/);
});

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startEngine } from '../rig/engine.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { BUNDLE, startProduct, targetArguments } from './product.ts';

/** What docs/security.md lists is what a builder gets, and no more: read from the page itself. */
const owner = fileOwner();
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'security.md'), 'utf8');
const blocks = [...page.matchAll(/^```sudoers\n(.*?)^```$/gms)].map((match) =>
  (match[1] ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^builder /, '')),
);
const product = await startProduct(owner, 20_000);
const [board] = product.boards;
assert.ok(board);
const target = targetArguments(product, board);
// An ordinary Debian user's: e2fsprogs is in /usr/sbin.
const PATH = '/usr/local/bin:/usr/bin:/bin';

test('the page lists two ways', () => {
  assert.deepEqual(
    blocks.map((lines) => lines.length),
    [4, 1],
  );
});

for (const [index, lines] of blocks.entries())
  test(`the whole job works for a user who may run what docs/security.md lists (${index + 1})`, async (t) => {
    const user = await unprivilegedUser(t, lines);
    const engine = await startEngine(t, { group: user.gid });
    // As where root has logged in to a registry before: a place for credentials that nobody else may enter.
    const closed = join(temporaryTree(t), 'closed');
    mkdirSync(closed, { mode: 0o700 });
    const env = { PATH, XDG_RUNTIME_DIR: closed };
    const run = (args: readonly string[]) =>
      runStowage(t, args, { user, engine, cwd: user.home, env });
    const before = await machineState({ engine, outputs: [user.home] });
    const bundle = join(user.home, 'bundle.yaml');
    writeFileSync(bundle, readFileSync(BUNDLE));
    const inputs = ['-b', bundle, '-p', 'pins.json', ...target];
    const mirror = ['--mirror', product.registry.host];
    const doctor = await run(['doctor', '-o', 'data.ext4', '-s', 'store']);
    assert.equal(doctor.code, 0, doctor.stdout);
    for (const args of [
      ['pin', ...inputs, ...mirror],
      ['fetch', ...inputs, '-s', 'store', ...mirror],
      ['build', ...inputs, '-s', 'store', '-o', 'data.ext4'],
      ['verify', 'data.ext4', '-p', 'pins.json'],
    ]) {
      const ended = await run(args);
      assert.equal(ended.code, 0, `${args.join(' ')}\n${ended.stderr}`);
    }
    for (const file of ['data.ext4', 'data.json', 'pins.json'])
      assert.equal(statSync(join(user.home, file)).uid, user.uid, file);
    const after = await machineState({ engine, outputs: [user.home] });
    assert.deepEqual({ ...after, staging: [] }, { ...before, staging: [] });
  });

test('without a rule, the build says which command sudo refused, and leaves nothing', async (t) => {
  const user = await unprivilegedUser(t, ['ALL=(root) NOPASSWD: /usr/bin/true']);
  const engine = await startEngine(t, { group: user.gid });
  const bundle = join(user.home, 'bundle.yaml');
  writeFileSync(bundle, readFileSync(BUNDLE));
  const inputs = ['-b', bundle, '-p', 'pins.json', '-s', 'store', ...target];
  const options = { user, engine, cwd: user.home, env: { PATH } };
  const fetched = await runStowage(
    t,
    ['fetch', ...inputs, '--mirror', product.registry.host],
    options,
  );
  assert.equal(fetched.code, 0, fetched.stderr);
  const before = await machineState({ engine, outputs: [user.home] });
  const refused = await runStowage(t, ['build', ...inputs, '-o', 'data.ext4'], options);
  assert.equal(refused.code, 6, refused.stderr);
  assert.match(refused.stderr, /sudo did not allow `\/usr\/bin\/mount --bind /);
  assert.match(refused.stderr, /hint: .*docs\/security\.md/);
  await assertNothingLeft(before, { engine, outputs: [user.home] });
  const doctor = await runStowage(t, ['doctor', '-o', 'data.ext4'], options);
  assert.equal(doctor.code, 6);
  assert.match(doctor.stdout, /LACK {2}sudo mount/);
});

test('root never calls sudo', async (t) => {
  const engine = await startEngine(t);
  const dir = temporaryTree(t);
  const called = join(dir, 'called');
  const bin = join(dir, 'sudo');
  writeFileSync(bin, `#!/bin/sh\necho "$@" >> ${called}\nexit 1\n`);
  chmodSync(bin, 0o755);
  const inputs = ['-b', BUNDLE, '-p', join(dir, 'pins.json'), '-s', join(dir, 'store'), ...target];
  const env = { PATH: `${dir}:${PATH}:/usr/sbin:/sbin` };
  const fetched = await runStowage(t, ['fetch', ...inputs, '--mirror', product.registry.host], {
    engine,
    env,
  });
  assert.equal(fetched.code, 0, fetched.stderr);
  const built = await runStowage(t, ['build', ...inputs, '-o', join(dir, 'data.ext4')], {
    engine,
    env,
  });
  assert.equal(built.code, 0, built.stderr);
  assert.ok(!existsSync(called), 'sudo was called');
});

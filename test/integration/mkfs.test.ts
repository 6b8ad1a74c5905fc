import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { assertClean, bothE2fsprogs } from '../rig/e2fsprogs.ts';
import { fileOwner } from '../rig/owner.ts';
import { must, mustAsRoot, run } from '../rig/process.ts';
import { runStowage, STOWAGE, type StowageOptions } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser } from '../rig/unprivileged-user.ts';
import { listImage, listTree, makeTree } from './mkfs-fixture.ts';

/** `stowage mkfs` of one tree in every form: what the kernel sees is the tree, and the bytes are always the same. */
const owner = fileOwner();
const base = temporaryTree(owner);
const tree = join(base, 'tree');
await makeTree(tree);
const tar = join(base, 'tree.tar');
await mustAsRoot('tar', [
  ...['--format=posix', '--sort=name', '--xattrs', '--xattrs-include=*', '--acls'],
  ...['--numeric-owner', '--sparse', '-cf', tar, '-C', tree, '.'],
]);
await mustAsRoot('chmod', ['0644', tar]);
const judges = await bothE2fsprogs();
const first = join(base, 'first.ext4');
const common = ['--label', 'every-kind', '--headroom', '20%'];

async function mkfs(
  t: TestContext,
  args: readonly string[],
  options: StowageOptions = {},
): Promise<void> {
  const { code, stderr } = await runStowage(t, ['mkfs', ...args], options);
  assert.equal(code, 0, stderr);
}

async function assertSame(one: string, other: string): Promise<void> {
  assert.equal((await run('cmp', [one, other])).stdout, '');
}

test('an image of a tar is what tar would extract', async (t) => {
  const { code, stdout, stderr } = await runStowage(t, ['mkfs', tar, '-o', first, ...common]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^\S+first\.ext4: [\d.]+ MB, 7\d\d entries, [\d.]+ MB in use, [\d.]+ s\n$/);
  assert.match(stderr, /^$/);
  await assertClean(first, judges);
  const extracted = join(base, 'extracted');
  mkdirSync(extracted);
  await mustAsRoot('tar', [
    ...['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--same-owner', '-p'],
    ...['-xf', tar, '-C', extracted],
  ]);
  assert.equal(await listImage(first, base), await listTree(extracted));
});

test('an image of the directory is the directory', async (t) => {
  const image = join(base, 'directory.ext4');
  await mkfs(t, [tree, '-o', image, ...common]);
  await assertClean(image, judges);
  assert.equal(await listImage(image, base), await listTree(tree));
});

test('a tar and the directory of its extraction give the same bytes', async (t) => {
  // A tar has no place for sockets.
  const extracted = join(base, 'extracted-for-bytes');
  mkdirSync(extracted);
  await mustAsRoot('tar', [
    ...['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--same-owner', '-p'],
    ...['-xf', tar, '-C', extracted],
  ]);
  const image = join(base, 'extracted.ext4');
  await mkfs(t, [extracted, '-o', image, ...common]);
  await assertSame(first, image);
});

test('however the tar comes, the bytes are the same', async (t) => {
  const image = join(base, 'again.ext4');
  await must('gzip', ['-k1', tar]);
  await must('zstd', ['-q', tar]);
  for (const input of [`${tar}.gz`, `${tar}.zst`, `./${tar.slice(base.length + 1)}`]) {
    await mkfs(t, [input, '-o', image, ...common], { cwd: base });
    await assertSame(first, image);
  }
  const piped = async (command: string): Promise<void> => {
    await must('bash', [
      ...['-c', `set -o pipefail; ${command}`, 'bash'],
      ...[process.execPath, STOWAGE, tar, image, ...common],
    ]);
    await assertSame(first, image);
  };
  await piped('cat "$3" | "$1" "$2" mkfs - -o "$4" "${@:5}"');
  await piped('"$1" "$2" mkfs - -o "$4" "${@:5}" < "$3.zst"');
  await piped('"$1" "$2" mkfs <(gzip -c "$3") -o "$4" "${@:5}"');
});

test('nor do user, umask, time zone, locale and directory matter', async (t) => {
  const user = await unprivilegedUser(t);
  chmodSync(base, 0o755);
  const out = join(user.home, 'out');
  await mustAsRoot('install', ['-d', '-o', String(user.uid), out]);
  const image = join(out, 'image.ext4');
  const copy = join(out, 'any-other-name');
  copyFileSync(tar, copy);
  await mkfs(t, [copy, '-o', image, ...common], {
    ...{ user, cwd: out },
    env: { TZ: 'Pacific/Kiritimati', LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8', TMPDIR: out },
  });
  await assertSame(first, image);
  const masked = join(base, 'masked.ext4');
  await must('bash', [
    ...['-c', 'umask 077; TZ=America/St_Johns "$@"', 'bash', process.execPath, STOWAGE],
    ...['mkfs', tar, '-o', masked, ...common],
  ]);
  await assertSame(first, masked);
  assert.equal(statSync(masked).mode & 0o777, 0o600);
});

test('the options are what dumpe2fs and debugfs say', async (t) => {
  const image = join(base, 'options.ext4');
  const short = join(base, 'short.tar');
  // Blocks of 2048 bytes have no room for the longest link.
  await mustAsRoot('tar', ['--sparse', '--exclude=./very-long', '-cf', short, '-C', tree, '.']);
  await mkfs(t, [
    ...[short, '-o', image, '--label', 'naïve', '--uuid', '5F0C4A1E-9A3B-4C5D-8E6F-0123456789AB'],
    ...['--hash-seed', '11111111-2222-3333-4444-555555555555', '--size', '128M', '--owner', '7:8'],
    ...['--epoch', '1700000000', '--inodes', '20000', '--reserved', '2%', '--journal', '8M'],
    ...['--xattrs', 'none', '--features', '6.12', '--block-size', '2048', '--inode-size', '512'],
  ]);
  await assertClean(image, judges);
  assert.equal(statSync(image).size, 128 * 1024 * 1024);
  const facts = await must('dumpe2fs', ['-h', image], {
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  });
  const fact = (name: string): string =>
    new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(facts)?.[1] ?? '';
  assert.equal(fact('Filesystem volume name'), 'naïve');
  assert.equal(fact('Filesystem UUID'), '5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab');
  assert.equal(fact('Directory Hash Seed'), '11111111-2222-3333-4444-555555555555');
  assert.equal(fact('Block size'), '2048');
  assert.equal(fact('Block count'), '65536');
  assert.equal(fact('Inode size'), '512');
  assert.ok(Number(fact('Inode count')) >= 20_000);
  assert.equal(fact('Reserved block count'), String(Math.floor(65536 * 0.02)));
  assert.equal(fact('Filesystem created'), 'Tue Nov 14 22:13:20 2023');
  assert.equal(fact('Last write time'), 'Tue Nov 14 22:13:20 2023');
  assert.match(facts, /^Journal size: +8192k$|^Total journal size: +8M$|^Journal size: +8M$/m);
  const late = await must('debugfs', ['-R', 'stat /late', image]);
  assert.match(late, /User: +7 +Group: +8/);
  assert.match(late, /mtime: 0x6553f100:00000000/);
  const early = await must('debugfs', ['-R', 'stat /early', image]);
  assert.doesNotMatch(early, /6553f100/);
  const capable = await must('debugfs', ['-R', 'ea_list /capable', image]);
  assert.doesNotMatch(capable, /security/);
});

test('SOURCE_DATE_EPOCH counts where --epoch is not given, and options may come from the environment', async (t) => {
  const one = join(base, 'one.ext4');
  const two = join(base, 'two.ext4');
  await mkfs(t, [tar, '-o', one], { env: { SOURCE_DATE_EPOCH: '1700000000' } });
  await mkfs(t, [tar], { env: { STOWAGE_OUTPUT: two, STOWAGE_EPOCH: '1700000000' } });
  await assertSame(one, two);
  await mkfs(t, [tar, '-o', two], {});
  assert.notEqual((await run('cmp', [one, two])).code, 0);
});

test('--json tells the same, and -n writes nothing', async (t) => {
  const image = join(base, 'json.ext4');
  const dry = await runStowage(t, ['mkfs', tar, '-o', image, '-n', '--json']);
  const { uuid, ...told } = JSON.parse(dry.stdout) as { uuid: string };
  assert.deepEqual(told, { input: tar, output: image, written: false });
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(!readdirSync(base).includes('json.ext4'));
  const { stdout } = await runStowage(t, ['mkfs', tar, '-o', image, '--json']);
  const facts = JSON.parse(stdout) as Record<string, unknown>;
  assert.equal(facts['uuid'], uuid);
  assert.equal(facts['size'], statSync(image).size);
});

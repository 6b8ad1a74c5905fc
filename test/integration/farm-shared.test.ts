import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BOARDS, boardArguments, publishFarm, writeFarmBundles, type Board } from '../rig/farm.ts';
import { noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { asRoot, must, mustAsRoot, run, type Outcome } from '../rig/process.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';
import { runStowage, STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser, type User } from '../rig/unprivileged-user.ts';

/** What docs/build-farm.md says of mirrors and of the rights to a shared store, with its own commands. */
const PAGE = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'build-farm.md'), 'utf8');
const owner = fileOwner();
const upstream = await startRegistry(owner);
await publishFarm(upstream, (seed, size) => ({ [`usr/share/${seed}`]: noise(seed, size * 2_000) }));
const directory = temporaryTree(owner);
// Pins name the upstream by a name under which nobody answers: what is fetched came from a mirror.
const NAME = 'registry.example.org';
const bundle = (await writeFarmBundles(directory, NAME)).farm;
const pins = join(directory, 'pins.json');
const store = join(directory, 'store');
const some = BOARDS.filter(({ name }) => ['ova', 'odroid_m1', 'yellow'].includes(name));
const [first, second] = some as [Board, Board];

const told = (verb: string, board: Board): string[] => [
  ...[verb, '-b', bundle, '-p', pins, ...boardArguments(board), '--loader', 'direct'],
];
const fetch = (t: TestContext, board: Board, to: string, mirror: Registry): Promise<Outcome> =>
  runStowage(t, [
    ...told('fetch', board),
    ...['-s', to, '--frozen', '--mirror', mirror.host, '--mirror-only', '--retry-delays', '0.1'],
  ]);

for (const board of some)
  await must(process.execPath, [STOWAGE, ...told('pin', board), '--mirror', upstream.host]);

/** A script of the page, by its name; skopeo is told that the registries of this test speak plain http. */
function script(name: string): string {
  const [, text] = new RegExp(`^# ${name} .*\\n([^]*?)\`\`\``, 'mu').exec(PAGE) ?? [];
  assert.ok(text !== undefined, `the page has no ${name}`);
  assert.match(text, /skopeo copy /u);
  const insecure = '--insecure-policy copy --src-tls-verify=false --dest-tls-verify=false ';
  return text.replace('copy ', insecure).replaceAll(`docker://\${name`, `docker://\${name`);
}

async function runScript(name: string, ...args: readonly string[]): Promise<void> {
  // The name that the pins have is not to be resolved here: the upstream's address stands in for it.
  const text = script(name).replace(
    '"docker://${name%:*}@',
    `"docker://${upstream.host}/\${path%:*}@`,
  );
  const withPath = text.replace('skopeo', `path=\${name#${NAME}/}\n    skopeo`);
  const done = await run('bash', ['-eu', '-o', 'pipefail', '-c', withPath, 'bash', ...args], {
    deadline: 300_000,
  });
  assert.equal(done.code, 0, done.stderr);
}

test('a pull-through cache serves all boards, and with its upstream gone what it has', async (t) => {
  const origin = await startRegistry(t, { storage: upstream.storage });
  const cache = await startRegistry(t, { cacheOf: origin.url });
  const here = temporaryTree(t);
  for (const board of some) {
    const fetched = await fetch(t, board, join(here, 'store'), cache);
    assert.equal(fetched.code, 0, fetched.stderr);
  }
  assert.ok((await origin.requests()).some(({ path }) => path.includes('/blobs/')));
  // It keeps what it has sent on a moment later.
  await origin.stop();
  const again = await fetch(t, first, join(here, 'another'), cache);
  assert.equal(again.code, 0, again.stderr);
});

test('a mirror filled from upstream by the script of the page serves pins and blobs', async (t) => {
  const mirror = await startRegistry(t);
  await runScript('fill-from-upstream', pins, mirror.host);
  const here = temporaryTree(t);
  for (const board of some) {
    const fetched = await fetch(t, board, join(here, 'store'), mirror);
    assert.equal(fetched.code, 0, fetched.stderr);
  }
  const check = ['--check', '--mirror', mirror.host, '--mirror-only'];
  const pinned = await runStowage(t, [...told('pin', first), ...check]);
  assert.equal(pinned.code, 0, pinned.stderr);
});

test('a mirror filled from a store by the script of the page serves what is pinned', async (t) => {
  for (const board of some) {
    const fetched = await fetch(t, board, store, upstream);
    assert.equal(fetched.code, 0, fetched.stderr);
  }
  const mirror = await startRegistry(t);
  await runScript('fill-from-store', store, mirror.host);
  for (const board of some) {
    const fetched = await fetch(t, board, join(temporaryTree(t), 'store'), mirror);
    assert.equal(fetched.code, 0, fetched.stderr);
  }
});

/** As members of a group that only this test has. */
const GROUP = 54_321;

async function as(user: User, umask: string, groups: readonly number[], args: readonly string[]) {
  const copy = join(directory, 'stowage.mjs');
  await must('cp', [STOWAGE, copy]);
  const member = groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups'];
  const environment = [`PATH=${process.env['PATH'] ?? ''}`, `HOME=${user.home}`, 'LC_ALL=C'];
  const shell = `umask ${umask}; cd "$0"; exec "$@"`;
  const [program, all] = asRoot('setpriv', [
    ...['--reuid', String(user.uid), '--regid', String(user.gid), ...member, '--'],
    ...['env', '-i', ...environment, 'sh', '-c', shell, user.home, process.execPath, copy, ...args],
  ]);
  return run(program, all, { deadline: 300_000 });
}

const RIGHTS = [
  { name: 'a default ACL, whatever the umask', acl: true, umask: '0077', works: true },
  { name: 'umask 002', acl: false, umask: '0002', works: true },
  { name: 'umask 022', acl: false, umask: '0022', works: false },
] as const;

for (const { name, acl, umask, works } of RIGHTS)
  test(`a store of a group: ${name}`, async (t) => {
    const [one, other, stranger] = await Promise.all([
      unprivilegedUser(t),
      unprivilegedUser(t),
      unprivilegedUser(t),
    ]);
    const shared = join(temporaryTree(t), 'store');
    mkdirSync(shared);
    await mustAsRoot('chgrp', [String(GROUP), shared]);
    chmodSync(shared, 0o2775);
    const [, rule = ''] = /setfacl -d -m (\S+) /u.exec(PAGE) ?? [];
    if (acl) await mustAsRoot('setfacl', ['-d', '-m', rule, shared]);
    chmodSync(pins, 0o644);
    const args = (verb: string, board: Board): string[] => [...told(verb, board), '-s', shared];
    const mirror = ['--frozen', '--mirror', upstream.host, '--mirror-only'];
    const out = (user: User, board: Board): string[] => [
      '-o',
      join(user.home, `${board.name}.ext4`),
    ];

    const began = await as(one, umask, [GROUP], [...args('fetch', first), ...mirror]);
    assert.equal(began.code, 0, began.stderr);
    const went = await as(other, umask, [GROUP], [...args('fetch', second), ...mirror]);
    assert.equal(went.code, works ? 0 : 6, went.stderr);
    if (!works) {
      assert.match(went.stderr, new RegExp(`${shared}/locks.*EACCES`, 'u'));
      await mustAsRoot('sh', ['-c', 'find "$1" -type d -exec chmod g+w {} +', 'sh', shared]);
      const mended = await as(other, umask, [GROUP], [...args('fetch', second), ...mirror]);
      assert.equal(mended.code, 0, mended.stderr);
    }
    // Both can build, each from what the other has fetched too, and whatever is left of it in the store.
    for (const [user, board] of [
      [one, first],
      [other, first],
      [other, second],
      [one, second],
    ] as const) {
      const built = await as(user, umask, [GROUP], [...args('build', board), ...out(user, board)]);
      assert.equal(built.code, 0, built.stderr);
    }
    const pruned = ['store', 'prune', '-s', shared, '--keep', pins, '--older-than', '0s'];
    assert.equal((await as(other, umask, [GROUP], pruned)).code, 0);
    // Who is not of the group only reads.
    const looked = await as(stranger, umask, [], [...args('fetch', first), '--offline']);
    assert.equal(looked.code, 0, looked.stderr);
    const read = await as(stranger, umask, [], [...args('build', first), ...out(stranger, first)]);
    assert.equal(read.code, 0, read.stderr);
  });

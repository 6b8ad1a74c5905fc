import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { configure, kconfig, ROOT } from '../buildroot/external-tree.ts';
import { fileOwner } from '../rig/owner.ts';
import { asRoot, must, run, type Outcome } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser, type User } from '../rig/unprivileged-user.ts';

/** `make dist`, in checkouts of what lies here, committed or not. */
const owner = fileOwner();
const VERSION = (
  JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }
).version;
const TOP = `stowage-${VERSION}`;
const WHEN = 1_767_225_600;
const mine = await checkout(join(temporaryTree(owner), 'checkout'));
const made = await dist(mine);
assert.equal(made.code, 0, made.stderr);
const archive = join(mine, 'build', 'release', `${TOP}.tar.gz`);
const unpacked = temporaryTree(owner);
await must('tar', ['-xzf', archive, '-C', unpacked]);
const tree = join(unpacked, TOP);

/** One commit of every file here that git does not ignore, with the libraries that are installed. */
async function checkout(dir: string): Promise<string> {
  mkdirSync(dir, { recursive: true });
  const names = (
    await must('git', ['-C', ROOT, 'ls-files', '-z', '-co', '--exclude-standard'])
  ).split('\0');
  // Named by git, and removed by somebody who has not said so yet.
  const there = names.filter((name) => name !== '' && existsSync(join(ROOT, name)));
  const list = join(dir, '.git-files');
  writeFileSync(list, there.join('\0'));
  await must('sh', [
    '-c',
    'tar -C "$1" --null -T "$2" -cf - | tar -C "$3" -xf - --no-same-owner && rm "$2"',
    ...['sh', ROOT, list, dir],
  ]);
  await must('cp', ['-a', '--reflink=auto', join(ROOT, 'node_modules'), dir]);
  // What make would otherwise install anew.
  await must('touch', [join(dir, 'node_modules', '.package-lock.json')]);
  await git(dir, 'init', '-q');
  await git(dir, 'add', '-A');
  await git(dir, 'commit', '-q', '-m', 'Release');
  return dir;
}

function git(dir: string, ...args: readonly string[]): Promise<string> {
  const who = ['-c', 'user.name=Nobody', '-c', 'user.email=nobody@example.org'];
  const date = `${WHEN} +0000`;
  return must('git', [...who, ...args], {
    cwd: dir,
    env: { PATH: process.env['PATH'], HOME: dir, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date },
  });
}

interface Circumstances {
  readonly user?: User;
  readonly umask?: string;
  readonly env?: Readonly<Record<string, string>>;
}

function dist(dir: string, { user, umask = '0022', env = {} }: Circumstances = {}) {
  const home = user?.home ?? dir;
  const environment = { PATH: process.env['PATH'] ?? '', HOME: home, ...env };
  const command = ['sh', '-c', `umask ${umask}; exec make -s -C "$0" dist`, dir];
  const all = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const [program, args]: [string, readonly string[]] =
    user === undefined
      ? ['env', ['-i', ...all, ...command]]
      : asRoot('setpriv', [
          ...['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', '--'],
          ...['env', '-i', ...all, ...command],
        ]);
  return run(program, args, { deadline: 300_000 });
}

function released(dir: string): Record<string, string> {
  const release = join(dir, 'build', 'release');
  return Object.fromEntries(
    readdirSync(release).map((name) => [name, readFileSync(join(release, name), 'latin1')]),
  );
}

test('the archive and its hashes, and nothing beside them', async () => {
  const files = released(mine);
  assert.deepEqual(Object.keys(files).sort(), [
    `${TOP}.hash`,
    `${TOP}.tar.gz`,
    `${TOP}.tar.gz.sha256`,
  ]);
  assert.equal(made.stdout.trim(), archive);
  await must('sha256sum', ['-c', '--strict', `${basename(archive)}.sha256`], {
    cwd: dirname(archive),
  });
  // Buildroot's form: kind, hash and name, with two spaces between.
  const hashes = (files[`${TOP}.hash`] ?? '').split('\n').filter((line) => /^[^#]/u.test(line));
  for (const [index, file] of [archive, join(ROOT, 'LICENSE')].entries()) {
    const hash = (await must('sha256sum', [file])).split(' ')[0] ?? '';
    assert.equal(hashes[index], `sha256  ${hash}  ${basename(file)}`);
  }
});

test('members are sorted, of root, of the time of the commit, and readable for all', async () => {
  const listed = await must('tar', ['--utc', '--full-time', '-tvzf', archive]);
  const names: string[] = [];
  for (const line of listed.trimEnd().split('\n')) {
    const [, mode, date, name] =
      /^(\S+) root\/root +\d+ (\S+ \S+) (.*?)(?: -> .*)?$/u.exec(line) ?? [];
    assert.ok(mode !== undefined && name !== undefined, line);
    assert.match(mode, /^(-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|lrwxrwxrwx)$/u, line);
    assert.equal(date, '2026-01-01 00:00:00', line);
    names.push(name.replace(/\/$/u, ''));
  }
  const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(names, sorted);
  assert.equal(new Set(names).size, names.length);
  const files = await must('git', ['ls-files', '-z', 'configs', 'buildroot-external', 'docs'], {
    cwd: mine,
  });
  for (const name of files.split('\0').filter((text) => text !== ''))
    assert.ok(names.includes(`${TOP}/${name}`), name);
  // No sources, tests, libraries.
  const tops = new Set(
    names.map((name) => name.split('/')[1]).filter((name) => name !== undefined),
  );
  for (const name of ['src', 'test', 'node_modules', 'package.json', 'Makefile', '.git'])
    assert.ok(!tops.has(name), name);
});

test('the same commit gives the same bytes, whoever packs it, where and with what umask', async (t) => {
  const user = await unprivilegedUser(t);
  const theirs = join(user.home, 'some', 'other-place');
  await must('mkdir', ['-p', dirname(theirs)]);
  await checkout(theirs);
  await must('chmod', ['-R', 'go-rwx', theirs]);
  await must(...asRoot('chown', ['-R', `${user.uid}:${user.gid}`, join(user.home, 'some')]));
  const other = await dist(theirs, {
    user,
    umask: '0077',
    env: { TZ: 'Asia/Tokyo', LC_ALL: 'C.UTF-8' },
  });
  assert.equal(other.code, 0, other.stderr);
  const copies = temporaryTree(t);
  await must(...asRoot('cp', ['-r', join(theirs, 'build', 'release'), join(copies, 'theirs')]));
  await must(...asRoot('chmod', ['-R', 'a+rX', copies]));
  for (const [name, bytes] of Object.entries(released(mine)))
    assert.ok(readFileSync(join(copies, 'theirs', name), 'latin1') === bytes, `${name} differs`);
});

test('SOURCE_DATE_EPOCH goes before the time of the commit', async (t) => {
  const dir = join(temporaryTree(t), 'dated');
  await must('cp', ['-a', '--reflink=auto', mine, dir]);
  const dated = await dist(dir, { env: { SOURCE_DATE_EPOCH: '86400' } });
  assert.equal(dated.code, 0, dated.stderr);
  const file = join(dir, 'build', 'release', `${TOP}.tar.gz`);
  const listed = await must('tar', ['--utc', '--full-time', '-tvzf', file]);
  for (const line of listed.trimEnd().split('\n')) assert.match(line, / 1970-01-02 00:00:00 /u);
  const wrong = await dist(dir, { env: { SOURCE_DATE_EPOCH: 'yesterday' } });
  refused(wrong, /SOURCE_DATE_EPOCH is no number of seconds: yesterday/u);
});

test('what is not committed is refused by name, and what is not packed does not matter', async (t) => {
  const dir = join(temporaryTree(t), 'changed');
  await must('cp', ['-a', '--reflink=auto', mine, dir]);
  await must('rm', ['-rf', join(dir, 'build')]);
  const program = join(dir, 'src', 'model', 'digest.ts');
  const before = readFileSync(program);
  writeFileSync(program, `${before.toString('utf8')}// changed\n`);
  writeFileSync(join(dir, 'docs', 'draft.md'), 'not said to git\n');
  const both = await dist(dir);
  refused(both, /these files are not as in it/u);
  assert.match(both.stderr, /^ M src\/model\/digest\.ts$/mu);
  assert.match(both.stderr, /^\?\? docs\/draft\.md$/mu);
  assert.equal(existsSync(join(dir, 'build', 'release')), false);
  writeFileSync(program, before);
  await must('rm', [join(dir, 'docs', 'draft.md')]);
  writeFileSync(join(dir, 'test', 'of-somebody.ts'), 'export {};\n');
  // What lies in dist/ is not taken at its word either.
  mkdirSync(join(dir, 'dist'), { recursive: true });
  writeFileSync(join(dir, 'dist', 'stowage.mjs'), 'of another time\n');
  const clean = await dist(dir);
  assert.equal(clean.code, 0, clean.stderr);
  assert.deepEqual(released(dir), released(mine));
});

test('libraries of other versions are refused', async (t) => {
  const dir = join(temporaryTree(t), 'libraries');
  await must('cp', ['-a', '--reflink=auto', mine, dir]);
  const list = join(dir, 'node_modules', '.package-lock.json');
  const text = readFileSync(list, 'utf8');
  const version = (JSON.parse(text) as { packages: Record<string, { version: string }> }).packages[
    'node_modules/yaml'
  ]?.version;
  writeFileSync(list, text.replaceAll(`"version": "${version ?? ''}"`, '"version": "0.0.1"'));
  const other = await dist(dir);
  refused(other, /node_modules\/yaml is not of the version in package-lock\.json: run `npm ci`/u);
});

function refused(outcome: Outcome, message: RegExp): void {
  assert.notEqual(outcome.code, 0, outcome.stdout);
  assert.match(outcome.stderr, message);
}

test('its program runs with no library and no package.json above it', async () => {
  assert.ok((statSync(join(tree, 'dist', 'stowage.mjs')).mode & 0o111) !== 0);
  for (let dir = tree; dir !== dirname(dir); dir = dirname(dir))
    for (const name of ['node_modules', 'package.json'])
      assert.ok(!existsSync(join(dir, name)), join(dir, name));
  const environment = { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' };
  const said = await must(process.execPath, ['dist/stowage.mjs', '--version'], {
    cwd: tree,
    env: environment,
  });
  assert.ok(said.includes(VERSION), said);
});

test('a BR2_EXTERNAL tree unpacked from it is read by kconfig, and its defconfigs load', async (t) => {
  const names = readdirSync(join(tree, 'configs')).filter((name) => name.endsWith('_defconfig'));
  assert.ok(names.length >= 2);
  for (const name of names) {
    const dir = temporaryTree(t);
    const lines = readFileSync(join(tree, 'configs', name), 'utf8')
      .trimEnd()
      .split('\n');
    const config = await configure(dir, tree, lines);
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA'), 'y', name);
    await kconfig(dir, tree, [`--savedefconfig=${join(dir, 'saved')}`]);
  }
});

test('real Buildroot: the unpacked tree loads, installs stowage, and its hash file is taken', async (t) => {
  const buildroot = process.env['BUILDROOT_DIR'];
  if (buildroot === undefined) {
    skip(t, 'BUILDROOT_DIR');
    return;
  }
  await inBuildroot(t, resolve(buildroot));
});

async function inBuildroot(t: TestContext, buildroot: string): Promise<void> {
  const dir = temporaryTree(t);
  const out = join(dir, 'out');
  mkdirSync(out);
  // A tar of 1.35, as Buildroot wants for packages without a source.
  const tar = join(dir, 'tar');
  writeFileSync(
    tar,
    `#!/bin/sh\n[ "$1" = --version ] && { echo 'tar (GNU tar) 1.35'; exit; }\nexec /usr/bin/tar "$@"\n`,
    { mode: 0o755 },
  );
  const env = {
    PATH: `/usr/bin:${process.env['PATH'] ?? ''}`,
    HOME: dir,
    LC_ALL: 'C',
    BR2_EXTERNAL: tree,
    BR2_DL_DIR: join(dir, 'dl'),
  };
  const make = (...targets: readonly string[]): Promise<string> =>
    must('make', ['-C', buildroot, `O=${out}`, `TAR=${tar}`, ...targets], {
      env,
      deadline: 600_000,
    });
  await make('stowage_generic_x86_64_defconfig');
  await make('host-stowage');
  const installed = join(out, 'host', 'bin', 'stowage');
  assert.ok((await must(installed, ['--version'], { env })).includes(VERSION));
  const check = join(buildroot, 'support', 'download', 'check-hash');
  const hashes = join(mine, 'build', 'release', `${TOP}.hash`);
  assert.match(await must(check, [archive, basename(archive), hashes]), /: OK \(sha256: /u);
  await must(check, [join(tree, 'LICENSE'), 'LICENSE', hashes]);
}

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileOwner } from '../../../rig/owner.ts';
import { must } from '../../../rig/process.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';
import { readAll, type Seen } from './read-all.ts';

/** What GNU tar, bsdtar and Python write of one tree is read as the tree is. */
const owner = fileOwner();
const base = temporaryTree(owner);
const plain = join(base, 'plain');
const rich = join(base, 'rich');
makePlain(plain);
makePlain(rich);
makeRich(rich);

function makePlain(dir: string): void {
  mkdirSync(join(dir, 'sub/deeper'), { recursive: true });
  for (const size of [0, 1, 511, 512, 513, 1024, 70_000, 300_000])
    writeFileSync(join(dir, `f${size}`), noise(size), { mode: 0o640 });
  writeFileSync(join(dir, 'sub/deeper/x'), 'x');
  linkSync(join(dir, 'f1'), join(dir, 'sub/link'));
  symlinkSync('../f512', join(dir, 'sub/symlink'));
  utimesSync(join(dir, 'f513'), 1_000_000_000, 1_234_567_890);
}

/** What V7 and ustar have no room for. */
function makeRich(dir: string): void {
  const long = join(dir, 'd'.repeat(120), 'e'.repeat(120));
  mkdirSync(long, { recursive: true });
  writeFileSync(join(long, 'n'.repeat(255)), 'long');
  linkSync(join(long, 'n'.repeat(255)), join(dir, 'short'));
  symlinkSync('t'.repeat(300), join(dir, 'to-long'));
  writeFileSync(Buffer.concat([Buffer.from(`${dir}/caf`), Buffer.from([0xe9])]), 'latin1');
  writeFileSync(join(dir, 'new\nline = x'), 'odd');
  utimesSync(join(dir, 'f0'), 1, 1_600_000_000.123_456);
}

function noise(size: number): Buffer {
  const block = createHash('sha512').update(String(size)).digest();
  return Buffer.alloc(size, block);
}

/** The tree as its file system has it, by name as the programs write them. */
function treeOf(dir: string): Map<string, Omit<Seen, 'unknown' | 'xattrs' | 'major' | 'minor'>> {
  const tree = new Map<string, Omit<Seen, 'unknown' | 'xattrs' | 'major' | 'minor'>>();
  const names = readdirSync(dir, { recursive: true, encoding: 'latin1' });
  for (const name of ['.', ...names]) {
    const path = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(name, 'latin1')]);
    const { mtimeMs, mode, uid, gid, ...stats } = lstatSync(path);
    const { size } = stats;
    const common = { mode: mode & 0o7777, uid, gid, mtime: mtimeMs / 1000, linkTarget: '' };
    const none = { size: 0, content: Buffer.alloc(0) };
    if (lstatSync(path).isDirectory())
      tree.set(name, { name, type: 'directory', ...common, ...none });
    else if (lstatSync(path).isSymbolicLink())
      tree.set(name, {
        ...{ name, type: 'symlink', ...common, ...none },
        linkTarget: readlinkSync(path, 'latin1'),
      });
    else tree.set(name, { name, type: 'file', ...common, size, content: readFileSync(path) });
  }
  return tree;
}

const PYTHON = (format: string): string =>
  `import tarfile,sys; t=tarfile.open(sys.argv[1],"w",format=tarfile.${format},errors="surrogateescape"); t.add(sys.argv[2],"."); t.close()`;

const MAKERS: readonly (readonly [
  string,
  'plain' | 'rich',
  'whole' | 'fraction',
  (archive: string, dir: string) => readonly [string, readonly string[]],
])[] = [
  ...(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'] as const).map(
    (format) =>
      [
        `GNU tar, ${format}`,
        format === 'v7' || format === 'ustar' ? 'plain' : 'rich',
        format === 'posix' ? 'fraction' : 'whole',
        (archive: string, dir: string) =>
          ['tar', [`--format=${format}`, '-cf', archive, '-C', dir, '.']] as const,
      ] as const,
  ),
  [
    'GNU tar, its long names after blocks of another size',
    'rich',
    'whole',
    (archive, dir) => ['tar', ['--format=gnu', '-b', '1', '-cf', archive, '-C', dir, '.']],
  ],
  ...(['ustar', 'pax', 'gnutar'] as const).map(
    (format) =>
      [
        `bsdtar, ${format}`,
        format === 'ustar' ? 'plain' : 'rich',
        format === 'pax' ? 'fraction' : 'whole',
        (archive: string, dir: string) =>
          ['bsdtar', [`--format=${format}`, '-cf', archive, '-C', dir, '.']] as const,
      ] as const,
  ),
  ...(['USTAR_FORMAT', 'GNU_FORMAT', 'PAX_FORMAT'] as const).map(
    (format) =>
      [
        `Python, ${format}`,
        format === 'USTAR_FORMAT' ? 'plain' : 'rich',
        format === 'PAX_FORMAT' ? 'fraction' : 'whole',
        (archive: string, dir: string) =>
          ['python3', ['-c', PYTHON(format), archive, dir]] as const,
      ] as const,
  ),
];

for (const [name, which, times, command] of MAKERS)
  void test(`${name}: ${which} tree`, async () => {
    const dir = which === 'plain' ? plain : rich;
    const archive = join(base, `${name.replace(/\W+/g, '-')}.tar`);
    const env = { ...process.env, LC_ALL: 'C' };
    await must(...command(archive, dir), { env });
    const expected = treeOf(dir);
    const entries = await readAll(readFileSync(archive));
    assert.equal(entries.length, expected.size);
    const contents = new Map<string, Buffer>();
    for (const entry of entries) {
      const key = entry.name.replace(/^\.\//, '').replace(/\/$/, '') || '.';
      const want = expected.get(key);
      assert.ok(want, `${key} is in the tree`);
      expected.delete(key);
      if (entry.type === 'hard link') {
        const target = entry.linkTarget.replace(/^\.\//, '');
        assert.deepEqual(contents.get(target), want.content, key);
        continue;
      }
      contents.set(key, entry.content);
      const tolerance = times === 'whole' ? 1 : 0.000_001;
      assert.ok(Math.abs(entry.mtime - want.mtime) < tolerance, `${key}: ${entry.mtime}`);
      const { type, mode, uid, gid, size, linkTarget, content } = entry;
      assert.deepEqual(
        { type, uid, gid, size, linkTarget, content },
        {
          ...{ type: want.type, uid: want.uid, gid: want.gid, size: want.size },
          ...{ linkTarget: want.linkTarget, content: want.content },
        },
        key,
      );
      if (type !== 'symlink') assert.equal(mode, want.mode, key);
    }
    assert.equal(expected.size, 0);
  });

void test('sparse files in every form that GNU tar and bsdtar have', async (t) => {
  const dir = join(base, 'sparse');
  mkdirSync(dir);
  const put = (name: string, size: number, parts: readonly number[]): void => {
    const file = openSync(join(dir, name), 'w');
    for (const at of parts) writeSync(file, noise(5000), 0, 5000, at);
    closeSync(file);
    truncateSync(join(dir, name), size);
  };
  put('a-hole-at-the-end', 1_000_000, [0]);
  put('a-hole-first', 1_005_000, [1_000_000]);
  put('all-hole', 3_000_000, []);
  put(
    'many',
    4_000_000,
    [...Array(60).keys()].map((index) => index * 65_536 + 4096),
  );
  put('n'.repeat(150), 2_000_000, [0, 1_000_000]);
  const forms: readonly (readonly [string, string, readonly string[]])[] = [
    ['S', 'tar', ['--sparse', '--format=gnu']],
    ['S of old', 'tar', ['--sparse', '--format=oldgnu']],
    ['0.0', 'tar', ['--sparse', '--format=posix', '--sparse-version=0.0']],
    ['0.1', 'tar', ['--sparse', '--format=posix', '--sparse-version=0.1']],
    ['1.0', 'tar', ['--sparse', '--format=posix', '--sparse-version=1.0']],
    ['1.0 of bsdtar', 'bsdtar', ['--format=pax']],
  ];
  for (const [name, program, args] of forms)
    await t.test(name, async () => {
      const archive = join(base, 'sparse.tar');
      await must(program, [...args, '-cf', archive, '-C', dir, '.']);
      const bytes = readFileSync(archive);
      assert.ok(bytes.length < 1_500_000, 'the archive is sparse');
      const files = (await readAll(bytes, 10_000)).filter(({ type }) => type === 'file');
      assert.equal(files.length, 5);
      for (const { name: given, size, content } of files) {
        const file = given.replace(/^\.\//, '');
        const want = readFileSync(join(dir, file));
        assert.equal(size, want.length, file);
        assert.ok(content.equals(want), file);
      }
    });
});

void test('every kind of member that Python can make up', async () => {
  const archive = join(base, 'kinds.tar');
  const script = `
import tarfile, sys, io
t = tarfile.open(sys.argv[1], "w", format=tarfile.GNU_FORMAT)
def add(name, type, **more):
    i = tarfile.TarInfo(name); i.type = type
    for k, v in more.items(): setattr(i, k, v)
    t.addfile(i)
add("null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
add("whiteout", tarfile.CHRTYPE, devmajor=0, devminor=0, mode=0)
add("disk", tarfile.BLKTYPE, devmajor=259, devminor=1048575)
add("pipe", tarfile.FIFOTYPE, uid=4000000000, gid=2097152)
add("set", tarfile.REGTYPE, mode=0o6755, mtime=-5)
add("late", tarfile.REGTYPE, mtime=20000000000)
add("contiguous", tarfile.CONTTYPE)
t.close()`;
  await must('python3', ['-c', script, archive]);
  const seen = (await readAll(readFileSync(archive))).map(
    ({ name, type, major, minor, uid, gid, mode, mtime }) =>
      [name, type, major, minor, uid, gid, mode, mtime].join(' '),
  );
  assert.deepEqual(seen, [
    'null character device 1 3 0 0 438 0',
    'whiteout character device 0 0 0 0 0 0',
    'disk block device 259 1048575 0 0 420 0',
    'pipe fifo 0 0 4000000000 2097152 420 0',
    'set file 0 0 0 0 3565 -5',
    'late file 0 0 0 0 420 20000000000',
    'contiguous file 0 0 0 0 420 0',
  ]);
});

void test('extended attributes and access control lists', async (t) => {
  const dir = join(base, 'attributes');
  mkdirSync(dir);
  const file = join(dir, 'file');
  writeFileSync(file, 'x');
  await must('setfattr', ['-n', 'user.text', '-v', 'a=b\nc', file]);
  await must('setfattr', ['-n', 'user.binary', '-v', '0x00ff0a3d00', file]);
  await must('setfattr', ['-n', 'user.with space=', '-v', 'v', file]);
  await must('setfattr', ['-n', 'user.empty', file]);
  await must('setfacl', ['-m', 'u:12345:rw-,g:23456:r--', file]);
  await must('setfacl', ['-d', '-m', 'u:12345:rwx', dir]);
  const acl = (path: string, name: string): Promise<string> =>
    must('getfattr', ['--only-values', '--absolute-names', '-e', 'hex', '-n', name, path]).then(
      () => must('getfattr', ['--absolute-names', '-e', 'hex', '-n', name, path]),
    );
  const hex = (text: string): string => /=0x([0-9a-f]+)/.exec(text)?.[1] ?? '';
  const access = hex(await acl(file, 'system.posix_acl_access'));
  const byDefault = hex(await acl(dir, 'system.posix_acl_default'));
  assert.notEqual(access, '');
  const makers: readonly (readonly [string, readonly string[]])[] = [
    ['tar', ['--xattrs', '--acls', '--numeric-owner', '--format=posix']],
    ['bsdtar', ['--xattrs', '--acls', '--format=pax']],
  ];
  for (const [program, args] of makers)
    await t.test(program, async () => {
      const archive = join(base, 'attributes.tar');
      await must(program, [...args, '-cf', archive, '-C', dir, '.']);
      const entries = await readAll(readFileSync(archive));
      const found = entries.find(({ type }) => type === 'file')?.xattrs ?? {};
      assert.equal(found['user.text'], 'a=b\nc');
      assert.equal(found['user.binary'], '\x00\xff\x0a=\x00');
      assert.equal(found['user.empty'], '');
      assert.deepEqual(Object.keys(found).sort(), [
        'system.posix_acl_access',
        'user.binary',
        'user.empty',
        'user.text',
        'user.with space=',
      ]);
      const encoded = (text = ''): string => Buffer.from(text, 'latin1').toString('hex');
      assert.equal(encoded(found['system.posix_acl_access']), access);
      const top = entries.find(({ type }) => type === 'directory')?.xattrs ?? {};
      assert.equal(encoded(top['system.posix_acl_default']), byDefault);
    });
});

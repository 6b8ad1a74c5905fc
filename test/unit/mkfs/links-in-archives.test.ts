import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { pack } from 'tar-stream';
import { archiveItems } from '../../../src/mkfs/archive-items.ts';
import { ExtractedTree } from '../../../src/mkfs/extracted-tree.ts';
import { NameHashes } from '../../../src/mkfs/name-hashes.ts';
import { TreeError } from '../../../src/mkfs/tree-error.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

/** `d/`, `name`, `name -> target` for a symbolic link, `name = target` for a hard one. */
async function tar(...members: readonly string[]): Promise<Buffer> {
  const archive = pack();
  for (const member of members) {
    const [name = '', kind, target] = member.split(' ');
    if (kind === '->') archive.entry({ name, type: 'symlink', linkname: target ?? '' });
    else if (kind === '=') archive.entry({ name, type: 'link', linkname: target ?? '' });
    else if (name.endsWith('/')) archive.entry({ name, type: 'directory' });
    else archive.entry({ name }, name);
  }
  archive.finalize();
  return buffer(archive);
}

/** What there is in the end, as `find -printf '%P %y %l'` has it. */
async function taken(archive: Buffer): Promise<string[]> {
  const found = new Map<string, string>();
  async function* source(): AsyncGenerator<Uint8Array, void> {
    await Promise.resolve();
    yield archive;
  }
  const options = { input: 'x.tar', xattrs: false, implied: { seconds: 0, nanoseconds: 0 } };
  const items = archiveItems(source(), options, () => undefined);
  for (let item = await items.next(); item !== undefined; item = await items.next()) {
    const { entry } = item;
    const path = Buffer.from(entry.path).toString();
    if (entry.type === 'hard link')
      found.set(path, found.get(Buffer.from(entry.target).toString()) ?? 'nothing');
    else if (entry.type === 'symlink') found.set(path, `l ${Buffer.from(entry.target).toString()}`);
    else found.set(path, entry.type === 'directory' ? 'd ' : 'f ');
  }
  await items.close();
  return [...found].map(([path, what]) => `${path} ${what}`).sort();
}

async function extracted(t: TestContext, archive: Buffer): Promise<string[]> {
  const dir = temporaryTree(t);
  const out = join(dir, 'out');
  mkdirSync(out);
  writeFileSync(join(dir, 'x.tar'), archive);
  await must('tar', ['-xf', join(dir, 'x.tar'), '-C', out]);
  const listed = await must('find', [out, '-mindepth', '1', '-printf', '%P %y %l\n']);
  return listed
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

void test('members go where GNU tar puts them', async (t) => {
  const archives: readonly (readonly string[])[] = [
    ['usr/lib/', 'lib -> usr/lib', 'lib/f', 'lib/sub/g', 'lib/sub/h', 'usr/lib/k'],
    ['usr/lib/', 'usr/lib64 -> lib', 'lib -> usr/lib64', 'lib/f', 'lib/a -> f', 'lib/b = lib/f'],
    ['a/', 'b/', 'l -> a', 'l/x', 'l -> b', 'l/x', 'l/y'],
    ['a/', 'l -> a', 'l/x', 'l/', 'l/y'],
    ['a/', 'l -> a', 'm = l', 'm/x'],
    ['a/', 'l -> a', 'l', 'b/c'],
    ['f', 'f/', 'f/x'],
    ['l -> .', 'l/x', 'l/l/y/z'],
  ];
  for (const members of archives) {
    const archive = await tar(...members);
    assert.deepEqual(await taken(archive), await extracted(t, archive), members.join(', '));
  }
});

void test('links lead nowhere but into the tree', async () => {
  for (const target of ['/usr/lib', '../../usr/lib', 'usr/../usr/./lib/'])
    assert.deepEqual(await taken(await tar('usr/lib/', `lib -> ${target}`, 'lib/f')), [
      `lib l ${target}`,
      'usr d ',
      'usr/lib d ',
      'usr/lib/f f ',
    ]);
});

void test('what is below no directory is refused with its place', async () => {
  const cases: readonly (readonly [readonly string[], string, string])[] = [
    [['f', 'f/y'], 'f/y', 'it is below "f", which is no directory'],
    [['d/f', 'g = d/f', 'g/y/z'], 'g/y/z', 'it is below "g", which is no directory'],
    [
      ['lib -> usr/lib', 'lib/f'],
      'lib/f',
      'it is below "lib", a symbolic link to "usr/lib", where no directory is yet',
    ],
    [
      ['f', 'l -> f', 'l/x'],
      'l/x',
      'it is below "l", a symbolic link to "f", where no directory is yet',
    ],
    [['l -> l', 'l/x'], 'l/x', 'it is below "l", which leads through too many links'],
  ];
  for (const [members, entry, detail] of cases)
    await assert.rejects(taken(await tar(...members)), (error) => {
      assert.ok(error instanceof TreeError && error.failure.reason === 'tree-bad');
      const { offset, ...failure } = error.failure;
      assert.deepEqual(failure, { reason: 'tree-bad', input: 'x.tar', entry, detail });
      assert.ok(offset !== undefined && offset > 0);
      return true;
    });
});

void test('many names are told from others', () => {
  const names = new NameHashes();
  const tree = new ExtractedTree();
  const name = (index: number): Buffer => Buffer.from(`usr/share/some-${index}/name`);
  for (let index = 0; index < 100_000; index += 1) names.add(name(index));
  for (let index = 0; index < 100_000; index += 1) assert.ok(names.has(name(index)));
  for (let index = 100_000; index < 300_000; index += 1) assert.ok(!names.has(name(index)));
  tree.addOther('a', Buffer.from('a'));
  assert.throws(() => tree.parent('a/b'));
});

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { InodeStore } from '../../../../src/ext4/inode-store.ts';
import { NameIndex } from '../../../../src/ext4/name-index.ts';
import { PageFile } from '../../../../src/ext4/page-file.ts';
import { PagedBytes } from '../../../../src/ext4/paged-bytes.ts';
import { Refusal } from '../../../../src/ext4/refusal.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

const EVERYTHING = 2 ** 40;

function newFile(t: TestContext, directory = temporaryTree(t)): PageFile {
  const file = new PageFile(join(directory, 'image'));
  t.after(() => {
    file.close();
  });
  return file;
}

/** Numbers that look like none, from 0 up to `below`; the same in every run. */
function randomNumbers(): (below: number) => number {
  let state = 12345;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

void test('pages that come and go are what they are with all of them in memory', (t) => {
  const file = newFile(t);
  const pages = new PagedBytes(64, 3, file);
  const expected: Buffer[] = [];
  const random = randomNumbers();
  for (let round = 0; round < 20_000; round += 1) {
    if (expected.length === 0 || (expected.length < 5000 && random(4) === 0)) {
      pages.add();
      expected.push(Buffer.alloc(64));
    }
    const page = random(2) === 0 ? random(expected.length) : expected.length - 1;
    assert.deepEqual(pages.look(page), expected[page]);
    if (random(3) === 0) {
      const [at, value] = [random(64), random(256)];
      pages.change(page)[at] = value;
      expected[page]?.writeUInt8(value, at);
    }
    if (random(3) === 0) pages.settle();
  }
  for (const [page, bytes] of expected.entries()) assert.deepEqual(pages.look(page), bytes);
});

void test('a view is good until pages are let go', (t) => {
  const pages = new PagedBytes(64, 1, newFile(t));
  for (let page = 0; page < 100; page += 1) pages.add();
  const views = Array.from({ length: 100 }, (_, page) => pages.change(page));
  for (const [page, view] of views.entries()) view.fill(page);
  pages.settle();
  for (let page = 0; page < 100; page += 1) assert.equal(pages.look(page)[63], page);
});

void test('only what is more than may be in memory is in a file, which has no name', (t) => {
  const directory = temporaryTree(t);
  const file = newFile(t, directory);
  const pages = new PagedBytes(64, 2, file);
  const bytes = Buffer.alloc(64);
  for (let page = 0; page < 2; page += 1) pages.add();
  pages.settle();
  assert.throws(() => {
    file.read(bytes, 0);
  }, /nothing was written/);
  pages.add();
  pages.settle();
  file.read(bytes, 0);
  assert.deepEqual(readdirSync(directory), []);
});

void test('a directory that takes no file is a refusal', (t) => {
  const file = new PageFile(join(temporaryTree(t), 'missing', 'image'));
  assert.throws(() => {
    file.write(Buffer.alloc(64), 0);
  }, Refusal);
});

void test('inodes are what they were given, of any number in any order', (t) => {
  const inodes = new InodeStore(256, 160, newFile(t), 64 * 1024);
  const time = { seconds: 5, nanoseconds: 7 };
  const fields = {
    ...{ mode: 0o100644, gid: 3, size: 17, links: 1, sectors: 8, flags: 0, xattrBlock: 0 },
    ...{ atime: time, ctime: time, mtime: time, crtime: time, pointers: Buffer.from('pointers') },
  };
  const numbers = Array.from({ length: 5000 }, (_, i) => {
    const number = inodes.allocate();
    const mode = i % 3 === 0 ? 0o40755 : fields.mode;
    const body = i % 5 === 0 ? Buffer.alloc(96, i) : undefined;
    inodes.describe(number, { ...fields, mode, uid: i }, body);
    inodes.settle();
    return number;
  });
  const random = randomNumbers();
  for (let round = 0; round < 20_000; round += 1) {
    const i = random(numbers.length);
    const number = numbers[i] ?? 0;
    const bytes = inodes.look(number);
    assert.equal(bytes.readUInt16LE(2), i);
    assert.equal(bytes[200], i % 5 === 0 ? i % 256 : 0);
    assert.equal(inodes.isDirectory(number), i % 3 === 0);
    inodes.settle();
  }
  const [first = 0] = numbers;
  inodes.release(first);
  assert.equal(inodes.isUsed(first), false);
  assert.equal(inodes.allocate(), first);
  assert.ok(inodes.look(first).every((byte) => byte === 0));
});

void test('names are found whether they are in memory or not, in the order of adding', (t) => {
  const all = new NameIndex(newFile(t), EVERYTHING);
  const few = new NameIndex(newFile(t), 1);
  const random = randomNumbers();
  const lists = new Map<number, number[]>();
  const known: { directory: number; name: Buffer; entry: number; inode: number }[] = [];
  for (let round = 0; round < 20_000; round += 1) {
    const directory = random(50);
    const name = Buffer.from(`name-${random(2000)}`);
    const entry = few.find(directory, name);
    assert.equal(entry, all.find(directory, name));
    if (entry === undefined) {
      const list = lists.get(directory) ?? [];
      const added = few.add(directory, name, round, list.at(-1));
      assert.equal(all.add(directory, name, round, list.at(-1)), added);
      lists.set(directory, [...list, added]);
      known.push({ directory, name, entry: added, inode: round });
    } else {
      all.setInode(entry, round);
      few.setInode(entry, round);
      for (const one of known) if (one.entry === entry) one.inode = round;
    }
    few.settle();
  }
  for (const { directory, name, entry, inode } of known) {
    assert.equal(few.find(directory, name), entry);
    assert.equal(few.inodeOf(entry), inode);
    assert.deepEqual(few.nameOf(entry), name);
    few.settle();
  }
  for (const list of lists.values())
    for (const [at, entry] of list.entries()) {
      assert.equal(few.after(entry), list[at + 1]);
      few.settle();
    }
});

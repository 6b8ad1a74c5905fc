import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { openImage } from '../../../../src/ext4/reader/open-image.ts';
import type { ImageOptions } from '../../../../src/ext4/image-writer.ts';
import { assertClean, bothE2fsprogs } from '../../../rig/e2fsprogs.ts';
import { must as mustRun } from '../../../rig/process.ts';
import { rounds } from '../../../rig/skip.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';
import { ExpectedTree, knownInImage } from './expected-tree.ts';
import type { Added } from './write-image.ts';
import {
  ATTRIBUTES,
  bytes,
  directory,
  file,
  must,
  noise,
  OPTIONS,
  writeImage,
} from './write-image.ts';

const EMPTY = { type: 'file', ...ATTRIBUTES, size: 0 } as const;

let found: ReturnType<typeof bothE2fsprogs> | undefined;

function judges(): ReturnType<typeof bothE2fsprogs> {
  return (found ??= bothE2fsprogs());
}

/** The first ones in an ordinary run, in `make soak` all. */
function firstOf<T>(few: number, all: readonly T[]): readonly T[] {
  return all.slice(0, rounds(few, all.length));
}

/** Written, judged, and read back as what was given. */
async function assertRoundTrip(
  image: string,
  options: Partial<ImageOptions>,
  added: readonly Added[],
): Promise<void> {
  const expected = new ExpectedTree(OPTIONS.epoch);
  for (const [entry, content] of added) {
    assert.ok(content === undefined || content instanceof Uint8Array);
    expected.add(entry, content);
  }
  must(await writeImage(image, options, added));
  await assertClean(image, await judges());
  const [found, wanted] = [await knownInImage(image), expected.known()];
  assert.deepEqual([...found.keys()].sort(), [...wanted.keys()].sort());
  for (const [path, known] of wanted) assert.deepEqual(found.get(path), known, path);
}

void describe('boundaries of an image', () => {
  void test('sizes of files, targets and names around every border', async (t) => {
    const image = join(temporaryTree(t), 'image');
    for (const blockSize of [1024, 4096] as const) {
      const added: Added[] = [];
      for (const size of [0, 1, 59, 60, 61, 1023, 1024, 1025, 4095, 4096, 4097, 12_288, 49_153])
        added.push(file(`f${size}`, noise(size)), file(`z${size}`, Buffer.alloc(size)));
      for (const length of [1, 59, 60, 61, 1023, ...(blockSize === 4096 ? [4095] : [])])
        added.push([
          {
            ...{ type: 'symlink', ...ATTRIBUTES, path: bytes(`l${length}`) },
            target: Buffer.alloc(length, 't'),
          },
        ]);
      for (const length of [1, 2, 3, 4, 5, 254, 255])
        added.push(file('n'.repeat(length), bytes('')));
      await assertRoundTrip(image, { blockSize }, added);
    }
  });

  void test('extended attributes that fill the inode and the block to the last byte', async (t) => {
    const image = join(temporaryTree(t), 'image');
    const withXattrs = (path: string, xattrs: Readonly<Record<string, number>>): Added => [
      {
        ...{ ...EMPTY, path: bytes(path) },
        xattrs: new Map(
          Object.entries(xattrs).map(([name, size]) => [name, Buffer.alloc(size, size % 251)]),
        ),
      },
    ];
    // An entry takes 16 bytes and its name up to 4; 8 bytes of the inode's 96 and 36 of the block are not theirs.
    const inode = 96 - 8 - 20;
    const block = 4096 - 36 - 20;
    await assertRoundTrip(image, {}, [
      withXattrs('inside', { 'user.a': inode }),
      withXattrs('outside', { 'user.a': inode + 1 }),
      withXattrs('block', { 'user.a': block }),
      withXattrs('both', { 'user.a': inode, 'user.b': block }),
      withXattrs(
        'many',
        Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`user.${i}`, i])),
      ),
      withXattrs('empty', { 'user.a': 0, 'security.b': 0, [`trusted.${'n'.repeat(255)}`]: 0 }),
    ]);
  });

  void test('65,000 subdirectories, and one fewer than can be counted', async (t) => {
    const image = join(temporaryTree(t), 'image');
    const counts: readonly (readonly [number, number])[] = [
      [65_000, 1],
      [64_998, 65_000],
    ];
    for (const [count, links] of firstOf(1, counts)) {
      function* subdirectories(): Generator<Added> {
        yield directory('d');
        for (let i = 0; i < count; i += 1) yield directory(`d/${i}`);
      }
      must(await writeImage(image, { blockSize: 1024, inodeSize: 128 }, subdirectories()));
      await assertClean(image, await judges());
      const reader = must(await openImage(image));
      const found = must(await reader.lookUp(bytes('d'), 'keep'));
      await reader.close();
      assert.equal(found?.links, links);
    }
  });

  void test('an index of two levels, and a list where that is too small', async (t) => {
    const image = join(temporaryTree(t), 'image');
    // Three names to a block of 1 KiB, 123 lists in a root's index, 123 * 126 in one of two levels.
    const counts: readonly (readonly [number, boolean])[] = [
      [400, true],
      [360, true],
      [40_000, true],
      [50_000, false],
    ];
    for (const [count, isIndexed] of firstOf(2, counts)) {
      function* files(): Generator<Added> {
        for (let i = 0; i < count; i += 1) yield [{ ...EMPTY, path: bytes(longName(i)) }];
      }
      must(await writeImage(image, { blockSize: 1024, inodeSize: 128 }, files()));
      await assertClean(image, await judges());
      const tree = await mustRun('debugfs', ['-R', 'stat <2>', image]);
      assert.equal(/Flags: 0x81000/.test(tree), isIndexed, `${count}`);
      const reader = must(await openImage(image));
      assert.ok(must(await reader.lookUp(bytes(longName(count - 1)), 'keep')) !== undefined);
      await reader.close();
    }
  });

  void test('extent trees of every depth', async (t) => {
    const image = join(temporaryTree(t), 'image');
    // Four in the inode; 84 to a block of 1 KiB, so 336 below one level and 28,224 below two.
    for (const extents of firstOf(5, [4, 5, 85, 336, 337, 1, 84, 28_224, 28_225])) {
      const content = Buffer.alloc(extents * 2048);
      for (let i = 0; i < extents; i += 1) content[i * 2048] = 1 + (i % 255);
      must(await writeImage(image, { blockSize: 1024 }, [file('f', content)]));
      await assertClean(image, await judges());
      const found = await knownInImage(image);
      const sum = createHash('sha256').update(content).digest('hex');
      assert.equal(found.get('f')?.['content'], `${content.length}:${sum}`);
    }
  });

  void test('content that ends before, at and behind the border of a group', async (t) => {
    const image = join(temporaryTree(t), 'image');
    // Groups of 8 MiB; the second has a copy of the superblock, the third none.
    for (const blocks of firstOf(4, [7912, 7930, 8192, 16_400, 7500, 7900, 7920, 7940, 24_600])) {
      const options = { blockSize: 1024, growTo: 2 ** 30 } as const;
      const { size } = must(await writeImage(image, options, [file('f', noise(blocks * 1024))]));
      await assertClean(image, await judges());
      assert.equal(statSync(image).size, size);
    }
  });

  void test('holes up to a tebibyte, and a file system that is larger than its content by far', async (t) => {
    const image = join(temporaryTree(t), 'image');
    const size = rounds(2 ** 34, 2 ** 40);
    async function* holes(): AsyncGenerator<Uint8Array> {
      const piece = Buffer.alloc(2 ** 24);
      for (let at = 0; at < size; at += piece.length) {
        piece[0] = at === 0 || at + piece.length === size ? 1 : 0;
        yield await Promise.resolve(piece);
      }
    }
    const added: Added[] = [[{ ...EMPTY, path: bytes('f'), size }, holes()]];
    must(await writeImage(image, { size: 2 ** 41, inodes: 2 ** 17 }, added));
    assert.ok(statSync(image).blocks * 512 < 100 * 2 ** 20);
    await mustRun('debugfs', ['-R', 'stat /f', image]);
  });

  void test('an image of nothing, of any make', async (t) => {
    const image = join(temporaryTree(t), 'image');
    for (const blockSize of [1024, 2048, 4096] as const)
      for (const inodeSize of firstOf(2, [256, 128, 512, 1024] as const))
        for (const features of firstOf(1, ['6.12', '6.1', '5.15'] as const)) {
          must(await writeImage(image, { blockSize, inodeSize, features }, []));
          await assertClean(image, await judges());
        }
  });
});

void test('what is replaced is neither kept nor counted', async (t) => {
  const parent = temporaryTree(t);
  const [image, plain] = [join(parent, 'image'), join(parent, 'plain')];
  const old = Buffer.alloc(5_000_000, 'SECRET! ');
  const fragments = Buffer.alloc(4096 * 800);
  for (let i = 0; i < 400; i += 1) fragments.write('SECRET! ', i * 8192);
  const xattrs = new Map([['user.secret', Buffer.alloc(500, 'SECRET! ')]]);
  must(
    await writeImage(image, {}, [
      file('a', old),
      file('b', fragments),
      [{ ...EMPTY, path: bytes('x'), xattrs }],
      [{ type: 'symlink', ...ATTRIBUTES, path: bytes('l'), target: Buffer.alloc(80, 'SECRET! ') }],
      directory('d'),
      [{ type: 'hard link', path: bytes('c'), target: bytes('a') }],
      ...['a', 'b', 'c', 'x', 'l', 'd'].map((path) => file(path, bytes('new'))),
    ]),
  );
  await assertClean(image, await judges());
  const found = await knownInImage(image);
  assert.equal(found.size, 8);
  for (const path of ['a', 'b', 'c', 'x', 'l', 'd'])
    assert.match(String(found.get(path)?.['content']), /^3:/);
  assert.equal(readFileSync(image).includes('SECRET!'), false);
  // New content lies where the old one was: the second time nothing grows.
  const [one, three] = [noise(2_000_000), noise(2_000_000)];
  const { size } = must(await writeImage(plain, {}, [file('a', one)]));
  const again = must(
    await writeImage(image, {}, [file('a', one), file('a', three), file('a', one)]),
  );
  assert.equal(again.size, size);
  assert.deepEqual(readdirSync(parent).sort(), ['image', 'plain']);
});

void test('the size is what the content takes, the head room, and no more', async (t) => {
  const image = join(temporaryTree(t), 'image');
  const added = [file('f', noise(20_000_000))];
  const exact = must(await writeImage(image, { journal: 0 }, added));
  assert.equal(exact.size, exact.used);
  assert.ok(exact.size < 20_000_000 * 1.06);
  const more = must(await writeImage(image, { journal: 0, headroom: { bytes: 10 ** 7 } }, added));
  assert.ok(more.size - more.used >= 10 ** 7 && more.size - more.used < 10 ** 7 + 8192);
  const tenth = must(await writeImage(image, { journal: 0, headroom: { ratio: 0.1 } }, added));
  assert.ok(Math.abs(tenth.size - 1.1 * tenth.used) < 8192);
});

function longName(i: number): string {
  return `${i}-`.padEnd(255, 'n');
}

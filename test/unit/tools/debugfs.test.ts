import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { writeFiles } from '../../../src/tools/debugfs-write.ts';
import {
  hashFile,
  listDirectory,
  quote,
  readFile,
  statPath,
  streamFile,
} from '../../../src/tools/debugfs.ts';
import { readSuperblock } from '../../../src/tools/ext4-superblock.ts';

const HOSTILE = 'a "quoted" name; rm x\ttab \\ é 😀 <2>';
let dir = '';

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'stowage-debugfs-'));
});
after(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** A new image holding `tree`, a directory on this machine. */
function makeImage(name: string, size: number, tree?: string): string {
  const image = join(dir, name);
  writeFileSync(image, '');
  truncateSync(image, size);
  execFileSync(
    'mke2fs',
    ['-q', '-F', '-t', 'ext4', '-L', 'test', ...(tree === undefined ? [] : ['-d', tree]), image],
    { env: { ...process.env, LC_ALL: 'C.UTF-8' } },
  );
  return image;
}

function isClean(image: string): void {
  execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
}

function value<T>(result: { ok: true; value: T } | { ok: false; failure: unknown }): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function reasonOf(result: { ok: boolean; failure?: { reason: string } }): string | undefined {
  assert.equal(result.ok, false);
  return result.failure?.reason;
}

describe('reading an image', () => {
  let image = '';
  const big = Buffer.alloc(3_000_001, 'stowage');

  before(() => {
    const tree = join(dir, 'tree');
    mkdirSync(join(tree, HOSTILE), { recursive: true });
    writeFileSync(join(tree, HOSTILE, 'new\nline'), 'found');
    writeFileSync(join(tree, 'big'), big);
    writeFileSync(join(tree, 'empty'), '');
    writeFileSync(join(tree, 'secret'), 'x');
    chmodSync(join(tree, 'secret'), 0o4600);
    // Its banner and its complaints go to standard error, a file's bytes do not: nothing in them can mislead.
    writeFileSync(join(tree, 'liar'), 'liar: File not found by ext2_lookup\n');
    image = makeImage('read image.ext4', 16 * 1024 * 1024, tree);
  });

  it('lists names of any kind, with type, mode and size', async () => {
    const root = value(await listDirectory(image, '/'));
    assert.deepEqual(root.map((entry) => entry.name).sort(), [
      HOSTILE,
      'big',
      'empty',
      'liar',
      'lost+found',
      'secret',
    ]);
    const secret = root.find((entry) => entry.name === 'secret');
    assert.equal(secret?.mode, 0o4600);
    assert.equal(secret.type, 'file');
    assert.equal(secret.uid, process.getuid?.());
    const below = value(await listDirectory(image, `/${HOSTILE}`));
    assert.deepEqual(
      below.map(({ name, size }) => [name, size]),
      [['new\nline', 5]],
    );
    assert.equal(value(await readFile(image, `/${HOSTILE}/new\nline`)).toString(), 'found');
  });

  it('reads whole files and streams them', async () => {
    assert.ok(value(await readFile(image, '/big')).equals(big));
    assert.equal(value(await readFile(image, '/empty')).length, 0);
    assert.match(value(await readFile(image, '/liar')).toString(), /^liar/);
    let size = 0;
    value(
      await streamFile(image, '/big', (chunk) => {
        size += chunk.length;
      }),
    );
    assert.equal(size, big.length);
    const sha256 = `sha256:${createHash('sha256').update(big).digest('hex')}`;
    assert.deepEqual(value(await hashFile(image, '/big')), { size: big.length, sha256 });
  });

  it('tells what is missing from what is of another kind', async () => {
    for (const [result, problem] of [
      [await readFile(image, '/nothing'), 'missing'],
      [await listDirectory(image, '/nothing'), 'missing'],
      [await hashFile(image, '/nothing'), 'missing'],
      [await listDirectory(image, '/big'), 'not a directory'],
      [await readFile(image, '/big/below'), 'not a directory'],
      [await readFile(image, `/${HOSTILE}`), 'not a file'],
    ] as const) {
      assert.equal(reasonOf(result), 'not-in-image');
      assert.ok(!result.ok && result.failure.reason === 'not-in-image');
      assert.equal(result.failure.problem, problem);
    }
  });

  it('names what is no ext4 image', async () => {
    const text = join(dir, 'text');
    writeFileSync(text, 'no image '.repeat(1000));
    writeFileSync(join(dir, 'nil'), '');
    const short = join(dir, 'short');
    writeFileSync(short, readFileSync(image).subarray(0, 5_000_000));
    for (const [file, detail] of [
      [text, /no ext4/],
      [join(dir, 'nil'), /empty/],
      [join(dir, 'gone'), /no such file/],
      [dir, /no file/],
      [short, /cut off: 5000000 bytes of 16777216/],
    ] as const) {
      const result = await readSuperblock(file);
      assert.ok(!result.ok && result.failure.reason === 'invalid-document', file);
      assert.match(result.failure.problems[0]?.detail ?? '', detail);
    }
    assert.equal(reasonOf(await readFile(text, '/x')), 'invalid-document');
    assert.equal(reasonOf(await readFile(join(dir, 'gone'), '/x')), 'invalid-document');
  });

  it('reads the superblock', async () => {
    const superblock = value(await readSuperblock(image));
    assert.equal(superblock.label, 'test');
    assert.equal(superblock.blocks * superblock.blockSize, 16 * 1024 * 1024);
    assert.equal(superblock.clean, true);
    assert.equal(superblock.needsRecovery, false);
  });

  it('quotes so that debugfs reads back the same path', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .string({ minLength: 1, maxLength: 40, unit: 'grapheme' })
          .filter((s) => !/[/\0]/.test(s)),
        async (name) => {
          const result = await readFile(image, `/no such ${name}`);
          assert.ok(!result.ok);
          assert.equal(result.failure.reason, 'not-in-image', JSON.stringify(result.failure));
        },
      ),
      { numRuns: 25 },
    );
    assert.equal(quote('a"b'), '"a""b"');
  });
});

describe('writing into an image', () => {
  const mtime = 1_700_000_000;

  it('makes directories and files of root, replaces, and leaves a clean file system', async () => {
    const tree = join(dir, 'before');
    mkdirSync(join(tree, 'kept'), { recursive: true });
    writeFileSync(join(tree, 'kept', 'old'), Buffer.alloc(100_000, 1));
    const plain = makeImage('write.ext4', 16 * 1024 * 1024, tree);
    const source = join(dir, 'source "of" it');
    writeFileSync(source, 'content');
    chmodSync(source, 0o600);
    const files = [
      { path: `deep/${HOSTILE.replaceAll('\n', '')}/er/file`, source, mode: 0o640, mtime },
      { path: 'kept/old', source, mode: 0o444, mtime: 4_600_000_000 },
      { path: '.hidden', source, mode: 0o4755, mtime },
      { path: 'deep/second', source, mode: 0o644, mtime },
    ];
    value(await writeFiles(plain, files));
    isClean(plain);
    for (const file of files) {
      assert.equal(value(await readFile(plain, `/${file.path}`)).toString(), 'content');
      const status = value(await statPath(plain, `/${file.path}`));
      assert.deepEqual(status, {
        type: 'file',
        mode: file.mode,
        uid: 0,
        gid: 0,
        size: 7,
        mtime: file.mtime,
      });
    }
    const made = value(await statPath(plain, '/deep'));
    assert.deepEqual([made.type, made.mode, made.uid, made.mtime], ['directory', 0o755, 0, mtime]);
    assert.equal(value(await listDirectory(plain, '/kept')).length, 1);

    // A second time changes nothing that can be seen.
    value(await writeFiles(plain, files));
    isClean(plain);

    // e2fsprogs would take what follows for options of its own and open another file.
    const question = join(dir, 'write.ext4?offset=1');
    writeFileSync(question, readFileSync(plain));
    assert.equal(reasonOf(await writeFiles(question, files)), 'invalid-document');
  });

  it('makes a directory of many entries', async () => {
    const image = makeImage('many.ext4', 16 * 1024 * 1024);
    const source = join(dir, 'tiny');
    writeFileSync(source, 't');
    const files = Array.from({ length: 60 }, (_, i) => ({
      path: `many/${'n'.repeat(200)}${i}`,
      source,
      mode: 0o644,
      mtime,
    }));
    value(await writeFiles(image, files));
    isClean(image);
    assert.equal(value(await listDirectory(image, '/many')).length, 60);
  });

  it('says that there is no space before it changes anything', async () => {
    const image = makeImage('full.ext4', 4 * 1024 * 1024);
    const source = join(dir, 'large');
    writeFileSync(source, Buffer.alloc(8 * 1024 * 1024, 7));
    const bytes = readFileSync(image);
    const result = await writeFiles(image, [{ path: 'x', source, mode: 0o644, mtime }]);
    assert.ok(!result.ok && result.failure.reason === 'no-space');
    assert.ok((result.failure.needed ?? 0) > (result.failure.available ?? Infinity));
    assert.ok(readFileSync(image).equals(bytes));
  });

  it('refuses a directory in the place of a file, a file in the place of a directory, and no source', async () => {
    const image = makeImage('refuse.ext4', 4 * 1024 * 1024);
    const source = join(dir, 'tiny2');
    writeFileSync(source, 't');
    const one = { source, mode: 0o644, mtime };
    value(await writeFiles(image, [{ ...one, path: 'd/f' }]));
    assert.equal(reasonOf(await writeFiles(image, [{ ...one, path: 'd' }])), 'tool-failed');
    assert.equal(reasonOf(await writeFiles(image, [{ ...one, path: 'd/f/g' }])), 'tool-failed');
    assert.equal(reasonOf(await writeFiles(image, [{ ...one, path: 'a\nb' }])), 'tool-failed');
    const gone = join(dir, 'gone');
    assert.equal(
      reasonOf(await writeFiles(image, [{ ...one, path: 'y', source: gone }])),
      'access-denied',
    );
    isClean(image);
  });

  it('refuses an image that was not unmounted properly', async () => {
    const image = makeImage('dirty.ext4', 4 * 1024 * 1024);
    execFileSync('debugfs', ['-w', '-R', 'feature needs_recovery', image], { stdio: 'pipe' });
    const result = await writeFiles(image, [{ path: 'x', source: image, mode: 0o644, mtime }]);
    assert.equal(reasonOf(result), 'invalid-document');
    assert.equal(value(await readSuperblock(image)).needsRecovery, true);
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hashAt, inodeAt, linkAt, listAt, readAt } from '../../../../src/ext4/reader/at-path.ts';
import type { ImageReader } from '../../../../src/ext4/reader/image-reader.ts';
import { openImage } from '../../../../src/ext4/reader/open-image.ts';

const HOSTILE = 'a "quoted" name; rm x\ttab \\ é 😀 <2>';
const MIB = 1024 * 1024;
const big = Buffer.alloc(3_000_001, 'stowage');
const never = new AbortController().signal;
let dir = '';
let image: ImageReader;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'stowage-at-path-'));
  const tree = join(dir, 'tree');
  mkdirSync(join(tree, HOSTILE), { recursive: true });
  writeFileSync(join(tree, HOSTILE, 'new\nline'), 'found');
  writeFileSync(join(tree, 'big'), big);
  writeFileSync(join(tree, 'empty'), '');
  writeFileSync(join(tree, 'secret'), 'x');
  chmodSync(join(tree, 'secret'), 0o4600);
  symlinkSync('big', join(tree, 'link'));
  symlinkSync(`/${HOSTILE}`, join(tree, 'directory'));
  const file = join(dir, 'data.ext4');
  writeFileSync(file, '');
  truncateSync(file, 16 * MIB);
  execFileSync('mke2fs', ['-q', '-F', '-t', 'ext4', '-d', tree, file], {
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  image = value(await openImage(file));
});
after(async () => {
  await image.close();
  rmSync(dir, { recursive: true });
});

function value<T>(result: { ok: true; value: T } | { ok: false; failure: unknown }): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

test('a directory is listed with names of any kind, types, modes and sizes', async () => {
  const root = value(await listAt(image, '/'));
  const names = [HOSTILE, 'big', 'directory', 'empty', 'link', 'lost+found', 'secret'];
  assert.deepEqual(root.map((entry) => entry.name).sort(), names);
  const secret = root.find((entry) => entry.name === 'secret');
  assert.deepEqual(
    [secret?.type, secret?.mode, secret?.uid, secret?.size],
    ['file', 0o4600, process.getuid?.(), 1],
  );
  const below = value(await listAt(image, `/${HOSTILE}`));
  assert.deepEqual(
    below.map(({ name, bytes, size }) => [name, bytes.toString('latin1'), size]),
    [['new\nline', 'new\nline', 5]],
  );
});

test('files are read whole and hashed, through links on the way', async () => {
  assert.ok(value(await readAt(image, '/big', 4 * MIB)).equals(big));
  assert.equal(value(await readAt(image, '/empty', 0)).length, 0);
  assert.equal(value(await readAt(image, '/directory/new\nline', 5)).toString(), 'found');
  const sha256 = `sha256:${createHash('sha256').update(big).digest('hex')}`;
  assert.deepEqual(value(await hashAt(image, '/big', never)), { size: big.length, sha256 });
  assert.equal(value(await linkAt(image, '/link')), 'big');
});

test('a file that is larger than it may be is not read', async () => {
  const read = await readAt(image, '/big', MIB);
  assert.ok(!read.ok && read.failure.reason === 'image-corrupt');
  assert.match(read.failure.detail, /\/big has 3000001 bytes, more than 1048576/);
});

test('a signal ends the hashing', async () => {
  const hashed = await hashAt(image, '/big', AbortSignal.abort('SIGTERM'));
  assert.ok(!hashed.ok);
  assert.equal(hashed.failure.reason, 'interrupted');
});

test('what is missing is told from what is of another kind', async () => {
  for (const [result, problem] of [
    [await readAt(image, '/nothing', MIB), 'missing'],
    [await listAt(image, '/nothing'), 'missing'],
    [await hashAt(image, '/big/below', never), 'missing'],
    [await inodeAt(image, '/nothing'), 'missing'],
    [await listAt(image, '/big'), 'not a directory'],
    [await readAt(image, `/${HOSTILE}`, MIB), 'not a file'],
    [await readAt(image, '/link', MIB), 'not a file'],
    [await linkAt(image, '/big'), 'not a symlink'],
  ] as const) {
    assert.ok(!result.ok && result.failure.reason === 'not-in-image', JSON.stringify(result));
    assert.equal(result.failure.problem, problem);
  }
});

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
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
import type { ImageReader } from '../../../src/ext4/reader/image-reader.ts';
import { inodeAt, listAt, readAt } from '../../../src/ext4/reader/at-path.ts';
import { openImage } from '../../../src/ext4/reader/open-image.ts';
import { removeTrees } from '../../../src/load/remove-trees.ts';
import { writeFiles } from '../../../src/load/write-files.ts';
import { editImage } from '../../../src/tools/debugfs.ts';
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

async function reading(image: string, read: (image: ImageReader) => Promise<void>): Promise<void> {
  const reader = value(await openImage(image));
  try {
    await read(reader);
  } finally {
    await reader.close();
  }
}

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
    await reading(plain, async (image) => {
      for (const file of files) {
        assert.equal(value(await readAt(image, `/${file.path}`, 100)).toString(), 'content');
        const {
          type,
          mode,
          uid,
          gid,
          size,
          mtime: time,
        } = value(await inodeAt(image, `/${file.path}`));
        assert.deepEqual(
          { type, mode, uid, gid, size, time: time.seconds },
          { type: 'file', mode: file.mode, uid: 0, gid: 0, size: 7, time: file.mtime },
        );
      }
      const made = value(await inodeAt(image, '/deep'));
      assert.deepEqual(
        [made.type, made.mode, made.uid, made.mtime.seconds],
        ['directory', 0o755, 0, mtime],
      );
      assert.equal(value(await listAt(image, '/kept')).length, 1);
    });

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
    await reading(image, async (reader) => {
      assert.equal(value(await listAt(reader, '/many')).length, 60);
    });
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

describe('removing from an image', () => {
  it('removes whole trees and files with any name, and leaves a file system that is mended at once', async () => {
    const tree = join(dir, 'to remove');
    mkdirSync(join(tree, 'data', HOSTILE, 'deeper'), { recursive: true });
    writeFileSync(join(tree, 'data', HOSTILE, 'deeper', 'file'), 'x');
    writeFileSync(join(tree, 'data', 'kept'), 'x');
    writeFileSync(join(tree, 'single'), 'x');
    const image = makeImage('remove.ext4', 16 * 1024 * 1024, tree);
    value(await removeTrees(image, [`/data/${HOSTILE}`, '/single']));
    // 1 is "mended".
    const mended = spawnSync('e2fsck', ['-fy', image]);
    assert.ok((mended.status ?? 9) <= 1, mended.stdout.toString());
    isClean(image);
    await reading(image, async (reader) => {
      const names = async (path: string) =>
        value(await listAt(reader, path))
          .map(({ name }) => name)
          .sort();
      assert.deepEqual(await names('/'), ['data', 'lost+found']);
      assert.deepEqual(await names('/data'), ['kept']);
    });
  });

  it('hands debugfs no name that it would take for a command', async () => {
    const tree = join(dir, 'to command');
    mkdirSync(join(tree, 'data', 'x\n!id\n'), { recursive: true });
    mkdirSync(join(tree, 'odd'));
    writeFileSync(Buffer.concat([Buffer.from(join(tree, 'odd')), Buffer.from([0x2f, 0xff])]), 'x');
    const image = makeImage('command.ext4', 16 * 1024 * 1024, tree);
    const bytes = readFileSync(image);
    for (const path of ['/data', '/odd']) {
      const removed = await removeTrees(image, [path]);
      assert.ok(!removed.ok && removed.failure.reason === 'not-verified', path);
      assert.match(removed.failure.findings[0] ?? '', /a name that can't be removed/);
    }
    assert.equal(reasonOf(await editImage(image, ['rm "a\n!id"'], 'testing')), 'tool-failed');
    assert.ok(readFileSync(image).equals(bytes));
  });
});

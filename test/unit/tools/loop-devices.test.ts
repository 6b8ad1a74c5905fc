import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { usersOf } from '../../../src/tools/loop-devices.ts';

const BRIEF = { whole: 0, pause: 1 };

describe('usersOf', () => {
  let dir = '';
  let kernel = { proc: '', sys: '' };

  /** A loop device as the kernel shows it. */
  function attach(name: string, number: string, backing: string): void {
    const block = join(kernel.sys, 'block', name);
    mkdirSync(join(block, 'loop'), { recursive: true });
    writeFileSync(join(block, 'dev'), `${number}\n`);
    writeFileSync(join(block, 'loop', 'backing_file'), `${backing}\n`);
  }

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'stowage-loop-'));
    kernel = { proc: join(dir, 'proc'), sys: join(dir, 'sys') };
    mkdirSync(join(kernel.proc, 'self'), { recursive: true });
    mkdirSync(join(kernel.sys, 'block', 'sda'), { recursive: true });
    mkdirSync(join(kernel.sys, 'block', 'loop9'));
    for (const name of ['image', 'other', 'fused']) writeFileSync(join(dir, name), name);
    linkSync(join(dir, 'image'), join(dir, 'hard link'));
    symlinkSync('image', join(dir, 'symlink'));
    attach('loop0', '7:0', join(dir, 'image'));
    attach('loop1', '7:1', join(dir, 'hard link'));
    attach('loop2', '7:2', join(dir, 'other'));
    attach('loop3', '7:3', '/gone (deleted)');
    writeFileSync(
      join(kernel.proc, 'self', 'mountinfo'),
      [
        '21 1 8:1 / / rw - ext4 /dev/sda1 rw',
        '30 21 7:0 / /mnt/with\\040space rw,nosuid shared:1 master:2 - ext4 /dev/loop0 rw',
        '31 21 7:0 /sub /mnt/bound rw - ext4 /dev/loop0 rw',
        `32 21 0:50 / /mnt/fuse rw - fuse.fuse2fs ${join(dir, 'fused')} rw`,
        'nonsense',
        '',
      ].join('\n'),
    );
  });
  after(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  it('names loop devices on the same file by any name, and their mounts', async () => {
    const expected = ['/dev/loop0, mounted on /mnt/with space, /mnt/bound', '/dev/loop1'];
    for (const name of ['image', 'hard link', 'symlink'])
      assert.deepEqual(await usersOf(join(dir, name), kernel), expected);
    assert.deepEqual(await usersOf(join(dir, 'other'), kernel, BRIEF), ['/dev/loop2']);
  });

  it('waits for a device that is about to go, and for no other', async () => {
    attach('loop4', '7:4', join(dir, 'leaving'));
    writeFileSync(join(dir, 'leaving'), '');
    const asked = usersOf(join(dir, 'leaving'), kernel, { whole: 10_000, pause: 10 });
    const goes = setTimeout(() => {
      rmSync(join(kernel.sys, 'block', 'loop4'), { recursive: true });
    }, 100);
    assert.deepEqual(await asked, []);
    clearTimeout(goes);
    const whole = 3_600_000;
    assert.equal((await usersOf(join(dir, 'image'), kernel, { whole, pause: whole })).length, 2);
  });

  it('names a mount of the file itself', async () => {
    assert.deepEqual(await usersOf(join(dir, 'fused'), kernel), ['mounted on /mnt/fuse']);
  });

  it('finds nobody for a missing file, nor on a machine that shows nothing', async () => {
    assert.deepEqual(await usersOf(join(dir, 'missing'), kernel), []);
    assert.deepEqual(await usersOf(join(dir, 'image'), { proc: dir, sys: dir }), []);
    assert.deepEqual(await usersOf(join(dir, 'image')), []);
  });
});

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { FEATURE_PRESETS } from '../../../src/model/ext4-features.ts';
import type { Measured } from '../../../src/plan/ext4-geometry.ts';
import {
  BLOCK,
  fileSystemOverhead,
  finalBlocks,
  GROUP_BYTES,
  GROWS_TO,
  INODES_PER_GROUP,
  journalSize,
  sizeFor,
} from '../../../src/plan/ext4-geometry.ts';
import { completeFileSystem, makeFileSystem } from '../../../src/tools/e2fsprogs.ts';
import { readSuperblock } from '../../../src/tools/ext4-superblock.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

const MIB = 1024 * 1024;

test('the journal is as large as mke2fs makes it, and never more than 64 MiB', async (t) => {
  assert.equal(journalSize(9 * MIB), 4 * MIB);
  assert.equal(journalSize(32 * 1024 * MIB), 64 * MIB);
  assert.equal(journalSize(1024 * MIB, ['extent']), 0);
  for (const size of [100, 128, 600, 1023, 1024, 2047, 2048, 4096]) {
    const image = join(temporaryTree(t), 'data.ext4');
    await must('mke2fs', ['-q', '-F', '-t', 'ext4', '-b', '4096', image, `${size}M`]);
    const said = /journal size:\s+(\d+)([kM])/.exec(await must('dumpe2fs', ['-h', image]));
    const bytes = Number(said?.[1]) * (said?.[2] === 'M' ? MIB : 1024);
    assert.equal(journalSize(size * MIB), bytes, `${size} MiB`);
  }
});

for (const features of [
  FEATURE_PRESETS.default,
  FEATURE_PRESETS['6.12'],
  FEATURE_PRESETS.default.filter((name) => name !== '64bit' && name !== 'resize_inode'),
])
  for (const size of [20 * MIB, GROUP_BYTES, 925 * MIB, 4096 * MIB])
    test(`an empty file system of ${size / MIB} MiB has as much room as was counted (${features.join()})`, async (t) => {
      const image = join(temporaryTree(t), 'data.ext4');
      const whole = size >= GROUP_BYTES;
      const inodes = whole ? Math.ceil(size / GROUP_BYTES) * INODES_PER_GROUP : size / 16384;
      const made = await makeFileSystem(image, {
        ...{ size, label: 'x', features, inodes, growsTo: GROWS_TO },
      });
      assert.deepEqual(made, { ok: true, value: undefined });
      const journal = journalSize(size, features);
      const completed = await completeFileSystem(image, { features, journal });
      assert.ok(completed.ok, JSON.stringify(completed));
      const superblock = await readSuperblock(image);
      assert.ok(superblock.ok);
      const { blocks, freeBlocks } = superblock.value;
      assert.equal(blocks * BLOCK, size);
      const counted = fileSystemOverhead(size, { features }) / BLOCK;
      const taken = blocks - freeBlocks;
      // Never less than what is taken, or a size would be called enough that is not; an orphan file is small at first.
      assert.ok(counted >= taken && counted <= taken + 512 + 64, `${counted} for ${taken}`);
    });

test('what has room for some content has no MiB more than it needs', () => {
  for (const content of [0, 1, 100 * MIB, 700 * MIB, 5000 * MIB]) {
    const size = sizeFor(content, {});
    assert.ok(size - fileSystemOverhead(size, {}) >= content);
    const less = size - 4 * MIB;
    assert.ok(less - fileSystemOverhead(less, {}) < content, `${content}`);
  }
});

/** 8 groups, of which `content` blocks are used besides metadata. */
function filled(content: number, blocks = 8 * 32768): Measured {
  const make = {
    inodesPerGroup: INODES_PER_GROUP,
    descriptorBlocks: 1,
    reservedDescriptorBlocks: 100,
  };
  // Groups 0, 1, 3, 5 and 7 have copies.
  const metadata = 8 * (512 + 2) + 5 * 102;
  return { blocks, freeBlocks: blocks - metadata - content, ...make };
}

test('the final size is what is used with its journal, and the headroom', () => {
  const now = filled(100_000);
  const blocks = finalBlocks(now, { percent: 0 });
  // 4 groups with three copies, and a journal of 16 MiB.
  const used = 100_000 + 4 * 514 + 3 * 102 + 4096;
  assert.ok(blocks >= used && blocks < used + 256, `${blocks}`);
  const more = finalBlocks(now, { percent: 10 });
  assert.ok(more >= used * 1.1 && more <= used * 1.12, `${more}`);
  assert.ok(finalBlocks(now, { bytes: 4096 * MIB }) > 1024 * 1024, 'and it may be a larger one');
});

test('a last group is either left out or has room for more than itself', () => {
  for (let content = 120_000; content < 127_000; content += 100) {
    const blocks = finalBlocks(filled(content), { percent: 0 });
    const rest = blocks % 32768;
    assert.ok(rest === 0 || rest > 512 + 3 + 101 + 50, `${blocks}`);
  }
});

test('the headroom is there at whatever size, however the journal grows with it', () => {
  for (let content = 20_000; content < 40_000; content += 100) {
    const blocks = finalBlocks(filled(content), { percent: 10 });
    const groups = Math.ceil(blocks / 32768);
    const used = content + groups * 514 + (groups > 1 ? 204 : 102);
    const whole = used + journalSize(blocks * BLOCK) / BLOCK;
    assert.ok(blocks >= Math.floor(whole * 1.1), `${blocks} blocks for ${whole}`);
  }
});

test('so many inodes as are wanted need so many groups', () => {
  const blocks = finalBlocks(filled(1000), { percent: 0 }, undefined, 3 * INODES_PER_GROUP + 1);
  assert.ok(blocks > 3 * 32768);
  assert.ok(finalBlocks(filled(1000), { percent: 0 }) < 8000);
});

import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { FEATURE_PRESETS, parseFeatures } from '../../../src/model/ext4-features.ts';
import type { NewFileSystem } from '../../../src/tools/e2fsprogs.ts';
import {
  completeFileSystem,
  makeFileSystem,
  removeJournal,
  resizeFileSystem,
  setUuid,
} from '../../../src/tools/e2fsprogs.ts';
import { readSuperblock } from '../../../src/tools/ext4-superblock.ts';
import { assertClean, bothE2fsprogs, ownE2fsprogs } from '../../rig/e2fsprogs.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

const MIB = 1024 * 1024;
const UUID = '5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab';
const SEED = '00112233-4455-4677-8899-aabbccddeeff';

/** An image with some 40 MB in small and large files, as nobody has mounted it yet. */
async function filled(t: TestContext, options: Partial<NewFileSystem> = {}): Promise<string> {
  const dir = temporaryTree(t);
  const image = join(dir, 'data.ext4');
  const made = await makeFileSystem(image, { size: 600 * MIB, label: 'data', ...options });
  assert.ok(made.ok, JSON.stringify(made));
  const source = join(dir, 'source');
  mkdirSync(source);
  const script: string[] = [];
  for (let i = 0; i < 120; i++) {
    const file = join(source, `${i}`);
    writeFileSync(file, Buffer.alloc(i % 3 === 0 ? MIB - 1 : 700, `${i} `));
    if (i % 40 === 0) script.push(`mkdir d${i}`, `cd d${i}`);
    script.push(`write ${file} f${i}`);
    if (i % 40 === 39) script.push('cd /');
  }
  await must('sh', [
    '-c',
    'printf "%s\\n" "$1" | debugfs -w -f - "$2"',
    'sh',
    script.join('\n'),
    image,
  ]);
  return image;
}

function beginning(image: string): Buffer {
  const bytes = Buffer.alloc(4096);
  const file = openSync(image, 'r');
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return bytes;
}

async function superblock(image: string): ReturnType<typeof readSuperblock> {
  return readSuperblock(image);
}

test('a file system is shrunk below what resize2fs takes for its least, is clean, and grows again', async (t) => {
  const image = await filled(t);
  const before = await superblock(image);
  assert.ok(before.ok);
  const used = before.value.blocks - before.value.freeBlocks;
  // Two groups go, and their inode tables with them.
  const resized = await resizeFileSystem(image, used - 1500);
  assert.ok(resized.ok, JSON.stringify(resized));
  assert.equal(statSync(image).size, resized.value);
  assert.ok(resized.value / 4096 <= (used - 1500) * 1.05, `${resized.value / 4096} of ${used}`);
  const whole = await completeFileSystem(image, { journal: 4 * MIB });
  assert.ok(!whole.ok && whole.failure.reason === 'no-space', 'there is no room for a journal');
  const more = await resizeFileSystem(image, Math.ceil(resized.value / 4096) + 2400);
  assert.ok(more.ok);
  const completed = await completeFileSystem(image, { journal: 4 * MIB });
  assert.ok(completed.ok, JSON.stringify(completed));
  const judges = await bothE2fsprogs();
  await assertClean(image, judges);
  truncateSync(image, 32 * 1024 * MIB);
  await must('resize2fs', ['-f', image]);
  await assertClean(image, judges);
  const after = await superblock(image);
  assert.ok(after.ok && after.value.blocks * 4096 === 32 * 1024 * MIB);
  assert.ok(statSync(image).blocks * 512 < 120 * MIB, 'and stays sparse');
});

test('a resize that cannot be leaves a clean file system', async (t) => {
  const image = await filled(t);
  const resized = await resizeFileSystem(image, 2000);
  assert.ok(resized.ok);
  assert.ok(resized.value > 40 * MIB);
  const after = await superblock(image);
  assert.ok(after.ok && after.value.clean);
  await assertClean(image, [await ownE2fsprogs()]);
});

test('identity, reserved blocks and inodes are those asked for, and so are all times', async (t) => {
  const image = await filled(t, {
    identity: { uuid: UUID, hashSeed: SEED, epoch: 1_700_000_000 },
    inodes: 20_480,
    reserved: 2,
  });
  await completeFileSystem(image, { journal: 16 * MIB, epoch: 1_700_000_000 });
  const told = await must('env', ['TZ=UTC', 'dumpe2fs', '-h', image]);
  assert.match(told, new RegExp(`UUID: +${UUID}`));
  assert.match(told, new RegExp(`Hash Seed: +${SEED}`));
  for (const line of ['created', 'Last mount time', 'Last write time', 'Last checked'])
    assert.match(told, new RegExp(`${line}:\\s+Tue Nov 14 22:13:20 2023`), line);
  assert.match(told, /Inode count: +20480/);
  assert.match(told, /Reserved block count: +3072\n/);
  assert.match(told, /Total journal size: +16M/);
  assert.ok((await setUuid(image, SEED)).ok);
  const after = await superblock(image);
  assert.ok(after.ok && after.value.uuid === SEED);
  await assertClean(image, [await ownE2fsprogs()]);
});

test('nothing of where it was mounted is left', async (t) => {
  const image = await filled(t);
  await must('tune2fs', ['-M', '/home/somebody/mnt', '-C', '7', image]);
  assert.ok(beginning(image).includes('somebody'));
  await completeFileSystem(image, { journal: 16 * MIB });
  assert.ok(!beginning(image).includes('somebody'));
});

test('an orphan file does not stumble over what a removed file has left', async (t) => {
  const features = FEATURE_PRESETS['6.12'];
  const image = await filled(t, { features });
  await must('debugfs', ['-w', '-R', 'rm /d0/f0', image]);
  const completed = await completeFileSystem(image, { features, journal: 4 * MIB });
  assert.ok(completed.ok, JSON.stringify(completed));
  await assertClean(image, [await ownE2fsprogs()]);
});

for (const [title, words] of [
  ['5.15', ['5.15']],
  ['6.12', ['6.12']],
  ['no checksums, no 64 bits', ['-metadata_csum', '-64bit']],
  ['old checksums', ['-metadata_csum', 'uninit_bg']],
  ['no journal', ['-has_journal']],
  ['plain', ['-flex_bg', '-resize_inode', '-huge_file', '-dir_nlink', '-extra_isize']],
  ['large', ['6.1', 'large_dir', 'ea_inode', 'verity']],
] as const)
  test(`features are as chosen after all that a build does: ${title}`, async (t) => {
    const features = parseFeatures(words);
    assert.ok(features.ok, JSON.stringify(features));
    const image = await filled(t, { features: features.value });
    const resized = await resizeFileSystem(image, 30_000);
    assert.ok(resized.ok, JSON.stringify(resized));
    const completion = { features: features.value, journal: 4 * MIB };
    assert.ok((await completeFileSystem(image, completion)).ok);
    assert.ok((await removeJournal(image)).ok);
    assert.ok((await resizeFileSystem(image, 40_000)).ok);
    assert.ok((await completeFileSystem(image, completion)).ok);
    const told = await must('dumpe2fs', ['-h', image]);
    const has = /features: +(.*)/.exec(told)?.[1]?.trim().split(' ') ?? [];
    assert.deepEqual([...has].sort(), features.value);
    await assertClean(image, await bothE2fsprogs());
  });

test('choices that contradict themselves, or what a data image needs, are refused', () => {
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [['-extent'], /extent has to stay: /],
    [['quota'], /quota is not for a data image: /],
    [['-metadata_csum', 'metadata_csum_seed'], /metadata_csum_seed needs metadata_csum/],
    [['6.1', '-has_journal'], /orphan_file needs has_journal/],
    [['uninit_bg'], /uninit_bg can't be together with metadata_csum/],
    [['-64bit', '5.15'], /5\.15 is a preset, which comes first/],
    [['4.19'], /"4\.19" is no preset \(default, 5\.15, 6\.1, 6\.12\)/],
    [['extend'], /"extend" is no preset/],
    [['--64bit'], /is no preset/],
  ];
  for (const [words, message] of refused) {
    const parsed = parseFeatures(words);
    assert.ok(!parsed.ok, words.join());
    assert.match(parsed.failure.detail, message);
  }
  const none = parseFeatures([]);
  assert.deepEqual(none.ok && none.value, [...FEATURE_PRESETS.default].sort());
});

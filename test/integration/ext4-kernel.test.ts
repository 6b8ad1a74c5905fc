import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createImage } from '../../src/ext4/create-image.ts';
import type { Finished, ImageOptions } from '../../src/ext4/image-writer.ts';
import { archiveItems } from '../../src/mkfs/archive-items.ts';
import type { Result } from '../../src/model/result.ts';
import { assertClean, bothE2fsprogs } from '../rig/e2fsprogs.ts';
import { atEnd } from '../rig/owner.ts';
import { must, mustAsRoot, run } from '../rig/process.ts';
import { rounds, skip } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { inUserModeLinux } from '../rig/user-mode-linux.ts';
import { listTree, makeTree } from './mkfs-fixture.ts';

/** The judges of what is written: the kernel, which mounts it, fills it and grows it, and e2fsprogs. */
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const OPTIONS: ImageOptions = {
  uuid: '01234567-89ab-4cde-8f01-23456789abcd',
  hashSeed: 'fedcba98-7654-4321-8fed-cba987654321',
  epoch: 1_700_000_000,
};
const CAP_SYS_RESOURCE = 24;
const PRESETS = ['5.15', '6.1', '6.12'] as const;

void test('the kernel sees in an image what GNU tar extracts', async (t) => {
  const directory = temporaryTree(t);
  const archive = await largeArchive(directory);
  const image = join(directory, 'image');
  await imageOf(archive, image, { headroom: { bytes: 64 * MIB } });
  const judges = await bothE2fsprogs();
  await assertClean(image, judges);

  const extracted = await mounted(t, await emptyImage(directory), async (point) => {
    await mustAsRoot('tar', [...EXTRACT, '-C', point, '-f', archive]);
    return listTree(point);
  });
  const written = await mounted(t, image, listTree, 'ro');
  assert.ok(extracted.split('\n').length > 40_000, 'the tree is as large as it should be');
  assertSameLines(written, extracted);

  await mounted(t, image, (point) => mustAsRoot('bash', ['-c', CHURN, 'bash', point]));
  await assertClean(image, judges);
  const after = await mounted(t, image, listTree, 'ro');
  assertSameLines(after, written);
});

for (const features of PRESETS)
  void test(`resize2fs grows an image of the preset ${features} that is not mounted`, async (t) => {
    const directory = temporaryTree(t);
    const image = join(directory, 'image');
    const { size } = await smallImage(directory, image, { features });
    const judges = await bothE2fsprogs();
    for (const judge of judges)
      for (const larger of [2 * size, 20 * GIB]) {
        const copy = join(directory, 'copy');
        await copyFile(image, copy);
        await truncate(copy, larger);
        const { code, stderr } = await judge.run('resize2fs', ['-f', copy]);
        assert.equal(code, 0, stderr);
        await assertClean(copy, judges);
        assert.equal(await blockCount(copy), Math.floor(larger / 4096));
      }
  });

void test('the kernel grows an image while it is mounted', async (t) => {
  const isAllowed = await hasCapability(CAP_SYS_RESOURCE);
  if (!isAllowed && !IS_SOAK) {
    skip(t, 'CAP_SYS_RESOURCE: growing while mounted is NOT TESTED here but by `make soak`');
    return;
  }
  const directory = temporaryTree(t);
  const images: string[] = [];
  for (const features of PRESETS) {
    const image = join(directory, features);
    await smallImage(directory, image, { features });
    images.push(image);
  }
  const before = await mounted(t, images[0] ?? '', listTree, 'ro');
  // Twice as large, then beyond what the first block of group descriptors can tell of.
  for (const size of [128 * MIB, 20 * GIB]) {
    for (const image of images) await truncate(image, size);
    if (isAllowed)
      for (const image of images)
        await mounted(t, image, async (point) => {
          const device = (await must('findmnt', ['-n', '-o', 'SOURCE', point])).trim();
          await mustAsRoot('resize2fs', [device]);
        });
    else await inUserModeLinux(t, images, GROW);
    for (const image of images) {
      await assertClean(image, await bothE2fsprogs());
      assert.equal(await blockCount(image), size / 4096);
      assert.equal(await mounted(t, image, listTree, 'ro'), before);
    }
  }
});

const IS_SOAK = rounds(0, 1) === 1;
const GROW = String.raw`
set -eu
for disk in /dev/ubd[a-h]; do
  [ -b "$disk" ] || continue
  mkdir /mnt/point
  mount -t ext4 "$disk" /mnt/point
  resize2fs "$disk"
  umount /mnt/point
  rmdir /mnt/point
done`;

void test('tune2fs, dumpe2fs and debugfs say what was asked for', async (t) => {
  const directory = temporaryTree(t);
  const image = join(directory, 'image');
  await smallImage(directory, image, {
    ...{ label: 'hassos-data', size: 300 * MIB, inodes: 40_000, reserved: 0.01 },
    ...{ journal: 8 * MIB, inodeSize: 512, growTo: 2 ** 36 },
  });
  for (const judge of await bothE2fsprogs()) {
    const { stdout: header } = await judge.run('dumpe2fs', ['-h', image]);
    const said = fieldsOf(header);
    assert.equal(said.get('Filesystem volume name'), 'hassos-data');
    assert.equal(said.get('Filesystem UUID'), OPTIONS.uuid);
    assert.equal(said.get('Directory Hash Seed'), OPTIONS.hashSeed);
    assert.equal(said.get('Filesystem state'), 'clean');
    assert.equal(said.get('Block count'), String((300 * MIB) / 4096));
    assert.equal(said.get('Reserved block count'), '768');
    assert.equal(said.get('Inode size'), '512');
    assert.ok(Number(said.get('Inode count')) >= 40_000);
    assert.equal(said.get('Total journal blocks') ?? said.get('Journal length'), '2048');
    // 2^36 bytes are 512 groups, whose descriptors take 8 blocks; one is in use.
    assert.equal(said.get('Reserved GDT blocks'), '7');
    assert.match(said.get('Filesystem created') ?? '', /Nov 14 22:13:20 2023/);
    const { stdout: tuned } = await judge.run('tune2fs', ['-l', image]);
    assert.equal(fieldsOf(tuned).get('Filesystem features'), said.get('Filesystem features'));
    const { stdout: stat } = await judge.run('debugfs', ['-R', 'stat /late', image]);
    // 2200-02-03 04:05:06.123456789: the lower 32 bits, then 30 of nanoseconds and two more of seconds.
    assert.match(stat, /mtime: 0xb0c9d3f2:1d6f3456 /);
  }
});

/** Of a tree with one of everything, in which many more files are. */
async function largeArchive(directory: string): Promise<string> {
  const tree = join(directory, 'tree');
  const archive = join(directory, 'tree.tar');
  await makeTree(tree);
  await mustAsRoot('bash', ['-c', MANY, 'bash', tree]);
  await pack(tree, archive);
  return archive;
}

async function smallImage(
  directory: string,
  image: string,
  options: Partial<ImageOptions>,
): Promise<Finished> {
  const tree = join(directory, 'tree');
  const archive = join(directory, 'tree.tar');
  if (!existsSync(archive)) {
    await makeTree(tree);
    await pack(tree, archive);
  }
  return imageOf(archive, image, options);
}

async function pack(tree: string, archive: string): Promise<void> {
  const { code, stderr } = await run('tar', [...PACK, '-C', tree, '-f', archive, '.']);
  assert.equal(code, 0, stderr);
}

const XATTRS = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner'];
const PACK = ['-c', '--format=posix', '--sparse', ...XATTRS];
const EXTRACT = ['-x', '-p', '--same-owner', ...XATTRS];

const MANY = String.raw`
set -euo pipefail
cd "$1"
mkdir bulk; cd bulk
for d in $(seq 1 120); do
  mkdir "d$d"
  for f in $(seq 1 155); do printf '%d %d' $d $f > "d$d/file-$f"; done
  for f in 1 2 3; do ln "d$d/file-$f" "d$d/hard-$f"; ln -s "../d1/file-$f" "d$d/soft-$f"; done
  mknod "d$d/.wh" c 0 0
done
mkdir flat; cd flat; for f in $(seq 1 3000); do : > "$f"; done
for f in $(seq 1 40); do setfattr -n user.n -v "$f" "$f"; setcap cap_chown+ep "$f"; done
`;

/** 10,000 files made and deleted, of which the tree shows nothing afterwards. */
const CHURN = String.raw`
set -euo pipefail
cd "$1"
find . -newermt 2100-01-01 > /dev/null
stat -c '%y' bulk/flat . > /dev/null
for where in . bulk/flat; do
  touch -r "$where" "/tmp/churn-time-$$"
  mkdir "$where/churn"
  (cd "$where/churn"; for f in $(seq 1 5000); do echo "$f" > "some-file-name-$f"; done)
  sync -f "$where"
  rm -r "$where/churn"
  touch -r "/tmp/churn-time-$$" "$where"
  rm "/tmp/churn-time-$$"
done
`;

async function imageOf(
  archive: string,
  image: string,
  options: Partial<ImageOptions>,
): Promise<Finished> {
  const writer = value(await createImage(image, { ...OPTIONS, ...options }));
  try {
    const implied = { seconds: OPTIONS.epoch, nanoseconds: 0 };
    const items = archiveItems(
      createReadStream(archive, { highWaterMark: MIB }),
      { input: archive, xattrs: true, implied },
      () => undefined,
    );
    for (let item = await items.next(); item !== undefined; item = await items.next())
      value(await writer.add(item.entry, item.content));
    return value(await writer.finish());
  } finally {
    await writer.abandon();
  }
}

async function emptyImage(directory: string): Promise<string> {
  const image = join(directory, 'empty');
  await must('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', '-N', '60000', image, '400M']);
  return image;
}

/** What `use` gives, while the kernel has the image mounted. */
async function mounted<T>(
  t: TestContext,
  image: string,
  use: (point: string) => Promise<T>,
  how: 'ro' | 'rw' = 'rw',
): Promise<T> {
  const point = temporaryTree(t);
  let isThere = true;
  await mustAsRoot('mount', ['-t', 'ext4', '-o', `loop,${how}`, image, point]);
  const unmount = async (): Promise<void> => {
    if (isThere) await mustAsRoot('umount', [point]);
    isThere = false;
  };
  atEnd(t, unmount);
  const used = await use(point);
  await unmount();
  return used;
}

async function blockCount(image: string): Promise<number> {
  return Number(fieldsOf(await must('dumpe2fs', ['-h', image])).get('Block count'));
}

/** `Name:   value` lines. */
function fieldsOf(text: string): ReadonlyMap<string, string> {
  return new Map(
    [...text.matchAll(/^([^:\n]+):[ \t]+(.*)$/gm)].map(([, name, field]) => [
      name ?? '',
      field ?? '',
    ]),
  );
}

async function hasCapability(number: number): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(number)) & 1n) === 1n;
}

/** Says only where they differ: there are tens of thousands. */
function assertSameLines(actual: string, expected: string): void {
  const [a, b] = [new Set(actual.split('\n')), new Set(expected.split('\n'))];
  const differences = [
    ...[...b].filter((line) => !a.has(line)).map((line) => `- ${line}`),
    ...[...a].filter((line) => !b.has(line)).map((line) => `+ ${line}`),
  ];
  assert.deepEqual(differences.slice(0, 40), []);
}

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(JSON.stringify(result.failure));
  return result.value;
}

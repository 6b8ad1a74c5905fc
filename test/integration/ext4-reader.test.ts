import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Entry, Timestamp } from '../../src/ext4/entry.ts';
import type { Place } from '../../src/ext4/partition.ts';
import type { ImageReader } from '../../src/ext4/reader/image-reader.ts';
import type { Inode } from '../../src/ext4/reader/inode.ts';
import { openImage, readFacts } from '../../src/ext4/reader/open-image.ts';
import { exitCodeOf } from '../../src/model/exit-code.ts';
import type { Failure } from '../../src/model/failure.ts';
import type { Result } from '../../src/model/result.ts';
import { describeFailure } from '../../src/report/describe-failure.ts';
import { inMountSpace } from '../rig/mount-space.ts';
import { atEnd } from '../rig/owner.ts';
import { must, mustAsRoot, PATH_WITH_SBIN, run } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import type { Facts, Seen, Tree } from './ext4-tree.ts';
import { HASHED, SPARSE } from './ext4-tree.ts';

const TREE_PROGRAM = fileURLToPath(new URL('ext4-tree.ts', import.meta.url));
const MIB = 2 ** 20;

function value<T>(result: Result<T>): T {
  assert.ok(result.ok, result.ok ? '' : JSON.stringify(result.failure));
  return result.value;
}

/**
 * Has the kernel fill an image and tell what it sees. In a mount namespace of its own: one that a container began
 * meanwhile would else keep it mounted. No crash is waited for, so nothing need reach the disk.
 */
async function fill(t: TestContext, image: string, times: 'late' | 'early'): Promise<Seen> {
  const directory = temporaryTree(t);
  const script = `directory=$2
    mount -o loop,noatime,nobarrier "$1" "$2" || exit
    shift 2
    "$@"
    code=$?
    umount "$directory" && exit "$code"`;
  const program = [process.execPath, '--import', 'tsx', TREE_PROGRAM, directory, times];
  const shell = ['sh', '-c', script, 'sh', image, directory];
  const space = inMountSpace('private', directory, [...shell, ...program]);
  const seen = await mustAsRoot('unshare', space, {
    deadline: 300_000,
  });
  return JSON.parse(seen) as Seen;
}

async function make(t: TestContext, args: readonly string[], size = 96 * MIB): Promise<string> {
  const image = join(temporaryTree(t), 'image');
  writeFileSync(image, '');
  truncateSync(image, size);
  await must('mke2fs', ['-q', '-F', ...args, image]);
  return image;
}

/** The same words as the kernel's, of what our reader yields. */
async function readTree(reader: ImageReader): Promise<Tree> {
  const tree: Record<string, Facts> = {};
  for await (const walked of reader.walk()) {
    const { entry, inode } = value(walked);
    const path = Buffer.from(entry.path).toString('latin1');
    if (entry.type === 'hard link') {
      const first = tree[Buffer.from(entry.target).toString('latin1')];
      assert.ok(first, `${path} leads to what came before`);
      tree[path] = first;
    } else tree[path] = await describeEntry(reader, entry, inode);
  }
  return tree;
}

async function describeEntry(
  reader: ImageReader,
  entry: Exclude<Entry, { type: 'hard link' }>,
  inode: Inode,
): Promise<Facts> {
  return {
    type: entry.type,
    inode: String(inode.number),
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    links: inode.links,
    mtime: nanoseconds(entry.mtime),
    atime: nanoseconds(entry.atime ?? entry.mtime),
    ctime: nanoseconds(entry.ctime ?? entry.mtime),
    xattrs: Object.fromEntries(
      [...(entry.xattrs ?? [])].map(([name, bytes]) => [name, Buffer.from(bytes).toString('hex')]),
    ),
    ...('size' in entry ? { size: entry.size } : {}),
    ...('size' in entry && entry.size <= HASHED ? { content: await hash(reader, inode) } : {}),
    ...('target' in entry ? { target: Buffer.from(entry.target).toString('hex') } : {}),
    ...('major' in entry ? { device: `${entry.major} ${entry.minor}` } : {}),
  };
}

async function hash(reader: ImageReader, inode: Inode): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of reader.readFile(inode)) hash.update(value(piece));
  return hash.digest('hex');
}

async function content(
  reader: ImageReader,
  inode: Inode,
  stretch?: { start: number; end: number },
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of reader.readFile(inode, stretch)) pieces.push(value(piece));
  return Buffer.concat(pieces);
}

function nanoseconds({ seconds, nanoseconds: rest }: Timestamp): string {
  return String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));
}

async function open(t: TestContext, image: string, place?: Place): Promise<ImageReader> {
  const reader = value(await openImage(image, place));
  atEnd(t, () => reader.close());
  return reader;
}

function assertSameTree(actual: Tree, expected: Tree): void {
  assert.deepEqual(Object.keys(actual).sort(), Object.keys(expected).sort());
  for (const [path, seen] of Object.entries(expected))
    assert.deepEqual(actual[path], seen, JSON.stringify(path));
}

const IMAGES: readonly (readonly [string, readonly string[]])[] = [
  ['ext2', ['-t', 'ext2']],
  ['ext2, blocks of 1 KiB, inodes of 128 bytes', ['-t', 'ext2', '-b', '1024', '-I', '128']],
  [
    'ext2 of the first revision',
    ['-t', 'ext2', '-r', '0', '-O', 'none', '-b', '1024', '-I', '128'],
  ],
  ['ext3, blocks of 2 KiB', ['-t', 'ext3', '-b', '2048']],
  ['ext4', ['-t', 'ext4']],
  ['ext4, blocks of 1 KiB', ['-t', 'ext4', '-b', '1024']],
  ['ext4, blocks of 2 KiB', ['-t', 'ext4', '-b', '2048', '-I', '512']],
  ['ext4 with inline data', ['-t', 'ext4', '-O', 'inline_data']],
  [
    'ext4 with inline data and much room',
    ['-t', 'ext4', '-O', 'inline_data', '-I', '1024', '-b', '1024'],
  ],
  ['ext4 without extents', ['-t', 'ext4', '-O', '^extent,^64bit']],
  ['ext4 without checksums', ['-t', 'ext4', '-O', '^metadata_csum,^uninit_bg']],
  [
    'ext4 with the checksums of descriptors alone',
    ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg'],
  ],
  ['ext4 of 32 bits, uninit_bg', ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg,^64bit']],
  ['ext4 without hashed directories or types', ['-t', 'ext4', '-O', '^dir_index,^filetype']],
  ['ext4 with meta_bg', ['-t', 'ext4', '-O', 'meta_bg,^resize_inode', '-b', '1024', '-g', '1024']],
  ['ext4 with small groups', ['-t', 'ext4', '-b', '1024', '-g', '512', '-O', '^flex_bg']],
  [
    'ext4 with meta_bg and all copies',
    ['-t', 'ext4', '-O', 'meta_bg,^resize_inode,^sparse_super,^flex_bg', '-g', '1024'],
  ],
  [
    'ext4 with sparse_super2',
    [
      '-t',
      'ext4',
      '-O',
      'sparse_super2,meta_bg,^resize_inode,^sparse_super',
      '-b',
      '1024',
      '-g',
      '1024',
    ],
  ],
  ['ext4 with clusters', ['-t', 'ext4', '-O', 'bigalloc']],
  [
    'ext4 with clusters, blocks of 1 KiB, meta_bg',
    ['-t', 'ext4', '-O', 'bigalloc,meta_bg,^resize_inode', '-b', '1024'],
  ],
  ['ext4 with values in inodes', ['-t', 'ext4', '-O', 'ea_inode,large_dir']],
  [
    'ext4 with features that nothing uses',
    ['-t', 'ext4', '-O', 'encrypt,verity,metadata_csum_seed,orphan_file,stable_inodes,mmp'],
  ],
];

describe('a file system that the kernel filled', () => {
  for (const [name, args] of IMAGES)
    it(`${name}: every entry and byte is the kernel's`, async (t) => {
      const image = await make(t, args);
      // Linux keeps what does not fit into the inodes of the first revision until it is unmounted.
      const times = args.includes('-r') ? 'early' : 'late';
      const { tree: expected, marks } = await fill(t, image, times);
      const reader = await open(t, image);
      assertSameTree(await readTree(reader), expected);

      const sparse = value(await reader.lookUp(Buffer.from(SPARSE), 'keep'));
      assert.ok(sparse);
      for (const { start, end, sha256 } of marks) {
        const bytes = await content(reader, sparse, { start, end });
        assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, `${start}`);
      }
      for (const [path, { inode }] of Object.entries(expected).filter((_, i) => i % 7 === 0)) {
        const found = value(await reader.lookUp(Buffer.from(path, 'latin1'), 'keep'));
        assert.equal(String(found?.number), inode, path);
      }
      for (const path of ['many/nobody', 'few/nobody', 'empty/nobody', 'many/x/y', 'links/circle/'])
        assert.equal(value(await reader.lookUp(Buffer.from(path), 'keep')), undefined, path);
      const followed = value(await reader.lookUp(Buffer.from('/links/up/61'), 'follow'));
      assert.equal(String(followed?.number), expected['files/61']?.inode);
    });
});

describe('a file system that mke2fs filled', () => {
  it('has blocks of 64 KiB, which this kernel need not mount', async (t) => {
    const source = join(temporaryTree(t), 'source');
    await must('mkdir', ['-p', join(source, 'many')]);
    const names = Array.from({ length: 1500 }, (_, i) => `${'name-'.repeat(8)}${i}`);
    for (const name of names) writeFileSync(join(source, 'many', name), name);
    writeFileSync(join(source, 'large'), Buffer.alloc(3_000_001, 'large'));
    const image = await make(t, ['-t', 'ext4', '-b', '65536', '-d', source], 256 * MIB);
    const reader = await open(t, image);
    assert.equal(reader.facts.blockSize, 65536);
    const many = value(await reader.lookUp(Buffer.from('many'), 'keep'));
    const large = value(await reader.lookUp(Buffer.from('large'), 'keep'));
    assert.ok(many && large);
    const listed: string[] = [];
    for await (const entry of reader.list(many)) {
      const { name, inode } = value(entry);
      listed.push(name.toString());
      assert.equal(
        (await content(reader, value(await reader.inode(inode)))).toString(),
        name.toString(),
      );
    }
    assert.deepEqual(listed.sort(), names.sort());
    assert.ok((await content(reader, large)).equals(Buffer.alloc(3_000_001, 'large')));
  });
});

/** sfdisk asks a device for the size of its sectors, and takes 512 bytes for a file's. */
async function withSectors(
  disk: string,
  size: number,
  use: (path: string) => Promise<void>,
): Promise<void> {
  if (size === 512) {
    await use(disk);
    return;
  }
  const args = ['--find', '--show', '--sector-size', String(size), disk];
  const device = (await mustAsRoot('losetup', args)).trim();
  try {
    await use(device);
  } finally {
    await mustAsRoot('losetup', ['--detach', device]);
  }
}

describe('a disk image', () => {
  for (const sectorSize of [512, 4096])
    it(`of sectors of ${sectorSize} bytes is opened at a partition's name or offset`, async (t) => {
      const inner = await make(t, ['-t', 'ext4', '-L', 'inner', '-b', '4096'], 8 * MIB);
      const disk = join(temporaryTree(t), 'disk');
      writeFileSync(disk, '');
      truncateSync(disk, 16 * MIB);
      const unit = MIB / sectorSize;
      const input = `label: gpt
start=${unit}, size=${unit}, name=boot
start=${2 * unit}, size=${8 * unit}, name="hassos-data"
`;
      await withSectors(disk, sectorSize, async (path) => {
        await mustAsRoot('sfdisk', ['--quiet', '--no-tell-kernel', path], { input });
      });
      await must('dd', [
        `if=${inner}`,
        `of=${disk}`,
        'bs=1M',
        'seek=2',
        'conv=notrunc',
        'status=none',
      ]);
      for (const place of [{ partition: 'hassos-data' }, { offset: 2 * MIB }]) {
        const reader = await open(t, disk, place);
        assert.equal(reader.facts.label, 'inner');
        const found = value(await reader.lookUp(Buffer.from('lost+found/'), 'follow'));
        assert.equal(found?.type, 'directory');
      }
      const missing = await openImage(disk, { partition: 'data' });
      assert.ok(!missing.ok && missing.failure.reason === 'partition-missing');
      assert.deepEqual(missing.failure.present, ['boot', 'hassos-data']);
      const other = await openImage(disk, { partition: 'boot' });
      assert.equal(!other.ok && other.failure.reason, 'invalid-document');
    });
});

describe('a superblock', () => {
  for (const args of [
    ['-t', 'ext2', '-b', '1024'],
    ['-t', 'ext4', '-m', '7', '-O', 'project,quota,casefold,verity,mmp,orphan_file,large_dir'],
  ])
    it(`says what dumpe2fs says: ${args.join(' ')}`, async (t) => {
      const image = await make(t, [...args, '-L', 'some label'], 32 * MIB);
      const env = { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C', TZ: 'UTC' };
      const text = await must('dumpe2fs', ['-h', image], { env });
      const field = (name: string): string =>
        new RegExp(`^${name}: *(.*)$`, 'm').exec(text)?.[1] ?? '';
      const facts = value(await readFacts(image));
      assert.deepEqual([...facts.features].sort(), field('Filesystem features').split(' ').sort());
      assert.deepEqual(
        [facts.label, facts.uuid, facts.clean ? 'clean' : 'not clean'],
        [field('Filesystem volume name'), field('Filesystem UUID'), field('Filesystem state')],
      );
      assert.equal(facts.hashSeed, field('Directory Hash Seed'));
      assert.deepEqual(
        [facts.blockSize, facts.blocks, facts.freeBlocks, facts.reservedBlocks],
        ['Block size', 'Block count', 'Free blocks', 'Reserved block count'].map((name) =>
          Number(field(name)),
        ),
      );
      assert.deepEqual(
        [facts.inodes, facts.freeInodes, facts.inodeSize],
        ['Inode count', 'Free inodes', 'Inode size'].map((name) => Number(field(name))),
      );
      assert.equal(facts.created * 1000, Date.parse(`${field('Filesystem created')} UTC`));
    });
});

describe('what is not read', () => {
  const failureOf = async (path: string, place?: Place): Promise<Failure> => {
    const opened = await openImage(path, place);
    assert.ok(!opened.ok, 'was opened');
    return opened.failure;
  };

  it('is a journal to be replayed', async (t) => {
    const image = await make(t, ['-t', 'ext4'], 8 * MIB);
    await must('debugfs', ['-w', '-R', 'feature needs_recovery', image]);
    const failure = await failureOf(image);
    assert.deepEqual(failure, { reason: 'image-needs-recovery', image });
    assert.match(describeFailure(failure).hint ?? '', /e2fsck/);
    assert.equal(exitCodeOf(failure), 3);
    assert.equal(value(await readFacts(image)).needsRecovery, true);
    await run('e2fsck', ['-fp', image]);
    assert.equal((await open(t, image)).facts.clean, true);
  });

  it('is a feature that changes where things lie', async (t) => {
    const image = await make(t, ['-O', 'journal_dev'], 8 * MIB);
    assert.deepEqual(await failureOf(image), {
      reason: 'image-unsupported',
      image,
      feature: 'journal_dev',
    });
  });

  for (const [feature, flag] of [
    ['encrypt', 0x800],
    ['verity', 0x100000],
    ['casefold', 0x40000000],
  ] as const)
    it(`is what uses ${feature}`, async (t) => {
      const image = await make(t, ['-t', 'ext4', '-O', feature], 8 * MIB);
      const input = `write /etc/hostname file\nsif ${feature === 'casefold' ? '/lost+found' : 'file'} flags 0x${(flag | 0x80000).toString(16)}\n`;
      await must('debugfs', ['-w', '-f', '-', image], { input });
      const reader = await open(t, image);
      const expected = { reason: 'image-unsupported', image, feature };
      if (feature === 'casefold') {
        const found = await reader.lookUp(Buffer.from('lost+found/x'), 'keep');
        assert.deepEqual(!found.ok && found.failure, expected);
        return;
      }
      const file = value(await reader.lookUp(Buffer.from('file'), 'keep'));
      assert.ok(file);
      for await (const piece of reader.readFile(file))
        assert.deepEqual(!piece.ok && piece.failure, expected);
    });

  it('is something else, is cut off, or is not there', async (t) => {
    const image = await make(t, ['-t', 'ext4'], 8 * MIB);
    truncateSync(image, 8 * MIB - 1);
    const cut = await failureOf(image);
    assert.match(
      cut.reason === 'image-corrupt' ? cut.detail : '',
      /^it is cut off: 8388607 bytes of 8388608$/,
    );
    for (const path of [TREE_PROGRAM, '/dev/null', '/tmp', `${image}/x`, join(image, '..', 'y')])
      assert.equal((await failureOf(path)).reason, 'invalid-document', path);
  });

  for (const [what, damage, expected] of [
    ['superblock', 1024 + 0x78, /superblock has a wrong checksum/],
    ['group descriptor', 4096 + 0x20, /descriptor of group 0 has a wrong checksum/],
  ] as const)
    it(`has a ${what} with a wrong checksum`, async (t) => {
      const image = await make(t, ['-t', 'ext4', '-b', '4096'], 8 * MIB);
      await must('dd', [
        'if=/dev/urandom',
        `of=${image}`,
        'bs=1',
        'count=4',
        `seek=${damage}`,
        'conv=notrunc',
        'status=none',
      ]);
      const failure = await failureOf(image);
      assert.match(failure.reason === 'image-corrupt' ? failure.detail : failure.reason, expected);
      assert.equal(exitCodeOf(failure), 3);
    });
});

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, symlink, writeFile, link, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Owner } from '../../../rig/owner.ts';
import { must, PATH_WITH_SBIN, run } from '../../../rig/process.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

/** Small file systems of every make, by mke2fs and debugfs, without root: what mutations start from. */
export interface BaseImage {
  readonly name: string;
  readonly bytes: Buffer;
  /** Name of the GPT partition in which it lies. */
  readonly partition?: string;
}

const MIB = 2 ** 20;
const MAKES: readonly (readonly [string, number, readonly string[]])[] = [
  ['ext2, 1 KiB', 2 * MIB, ['-t', 'ext2', '-b', '1024']],
  ['ext3, 4 KiB', 3 * MIB, ['-t', 'ext3', '-b', '4096', '-J', 'size=1', '-I', '128']],
  ['ext4, 1 KiB', 3 * MIB, ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']],
  ['ext4, 4 KiB', 4 * MIB, ['-t', 'ext4', '-b', '4096', '-O', '^has_journal,ea_inode']],
  ['ext4, inline', 2 * MIB, ['-t', 'ext4', '-b', '1024', '-O', 'inline_data,^has_journal']],
  [
    'ext4, groups',
    3 * MIB,
    ['-t', 'ext4', '-b', '1024', '-g', '512', '-O', 'meta_bg,^resize_inode,^has_journal'],
  ],
  [
    'ext4, crc16',
    2 * MIB,
    ['-t', 'ext4', '-b', '1024', '-O', '^metadata_csum,uninit_bg,^has_journal,^64bit'],
  ],
  ['ext4, clusters', 6 * MIB, ['-t', 'ext4', '-b', '1024', '-O', 'bigalloc,^has_journal']],
];

export async function makeBaseImages(owner: Owner): Promise<BaseImage[]> {
  const directory = temporaryTree(owner);
  const tree = join(directory, 'tree');
  await makeTree(tree);
  const images: BaseImage[] = [];
  for (const [i, [name, size, args]] of MAKES.entries()) {
    const path = join(directory, `${i}`);
    writeFileSync(path, '');
    truncateSync(path, size);
    const fixed = ['-U', UUID, '-E', `hash_seed=${UUID}`, '-N', '400'];
    await must('mke2fs', ['-q', '-F', ...fixed, ...args, '-d', tree, path], { env });
    await must('debugfs', ['-w', '-f', '-', path], { input: COMMANDS, env });
    // Hashed directories are made by e2fsck alone; it says with 1 that it did.
    const { code, stdout } = await run('e2fsck', ['-fyD', path], { env });
    if (code > 1) throw new Error(`e2fsck of ${name} ended with ${code}: ${stdout}`);
    images.push({ name, bytes: readFileSync(path) });
  }
  const [first] = images;
  if (first !== undefined) images.push(await partitioned(directory, first));
  return images;
}

/** So that the same seed is the same damage again, as far as e2fsprogs lets it be. */
const UUID = '00000000-0000-4000-8000-000000000001';
const env = {
  ...process.env,
  PATH: PATH_WITH_SBIN,
  LC_ALL: 'C',
  E2FSPROGS_FAKE_TIME: '1700000000',
};

const COMMANDS = [
  'ea_set files/3 user.a 1',
  'ea_set files/3 user.b 22222222222222222222',
  `ea_set files/4 user.long ${'v'.repeat(150)}`,
  `ea_set files/4 trusted.other ${'w'.repeat(200)}`,
  `ea_set files/huge user.large ${'x'.repeat(900)}`,
  'mknod null c 1 3',
  'mknod pipe p',
  '',
].join('\n');

async function makeTree(tree: string): Promise<void> {
  for (const dir of ['files', 'many', 'a/b/c/d/e', 'inline'])
    await mkdir(join(tree, dir), { recursive: true });
  for (const size of [0, 3, 4, 59, 61, 150, 1024, 5000, 40_000])
    await writeFile(join(tree, 'files', String(size)), Buffer.alloc(size, 'content '));
  for (let i = 0; i < 120; i += 1)
    await writeFile(join(tree, 'many', `${i}${'-of-a-long-name'.repeat(3)}`), '');
  for (let i = 0; i < 5; i += 1) await writeFile(join(tree, 'inline', `${i}`), '');
  await symlink('files/4', join(tree, 'fast'));
  await symlink(`a/b/c/../../../${'./'.repeat(60)}fast`, join(tree, 'slow'));
  await symlink('circle', join(tree, 'circle'));
  await link(join(tree, 'files/4'), join(tree, 'a/hard'));
  // With holes: many extents, and single, double and triple blocks of numbers.
  const huge = await open(join(tree, 'files/huge'), 'w');
  for (let i = 0; i < 12; i += 1) await huge.write(Buffer.alloc(4096, i + 1), 0, 4096, i * 16384);
  for (const far of [5, 70]) await huge.write(Buffer.alloc(4096, 'far'), 0, 4096, far * MIB);
  await huge.close();
}

/** With sfdisk's table around it, sectors of 512 bytes. */
async function partitioned(directory: string, { bytes }: BaseImage): Promise<BaseImage> {
  const path = join(directory, 'disk');
  const disk = Buffer.alloc(bytes.length + MIB);
  bytes.copy(disk, MIB / 2);
  writeFileSync(path, disk);
  const input = `label: gpt\nlabel-id: ${UUID}\nfirst-lba: 64\nstart=64, size=64, uuid=${UUID}, name=boot\nstart=1024, size=${bytes.length / 512}, uuid=${UUID.replace(/1$/, '2')}, name=data\n`;
  await must('sfdisk', ['--quiet', '--no-tell-kernel', path], { input });
  return { name: 'a disk', bytes: readFileSync(path), partition: 'data' };
}

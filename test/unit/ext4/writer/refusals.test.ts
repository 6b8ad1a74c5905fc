import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createImage } from '../../../../src/ext4/create-image.ts';
import type { ImageOptions } from '../../../../src/ext4/image-writer.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';
import type { Added } from './write-image.ts';
import {
  ATTRIBUTES,
  bytes,
  directory,
  failureOf,
  file,
  must,
  noise,
  OPTIONS,
  writeImage,
} from './write-image.ts';

const EMPTY = { type: 'file', ...ATTRIBUTES, size: 0 } as const;
const LINK = { type: 'symlink', ...ATTRIBUTES } as const;

function named(path: string): Added {
  return [{ ...EMPTY, path: bytes(path) }];
}

function link(path: string, target: string): Added {
  return [{ type: 'hard link', path: bytes(path), target: bytes(target) }];
}

function withXattrs(xattrs: Readonly<Record<string, number>>): Added {
  const map = new Map(Object.entries(xattrs).map(([name, size]) => [name, Buffer.alloc(size, 1)]));
  return [{ ...EMPTY, path: bytes('x'), xattrs: map }];
}

/** Entries of which the last can't be, its name in the message, and why; `options` where they matter. */
const REFUSED: readonly {
  readonly added: readonly Added[];
  readonly entry: string;
  readonly detail: RegExp | string;
  readonly options?: Partial<ImageOptions>;
}[] = [
  { added: [named('a/b')], entry: 'a/b', detail: 'there is no directory "a" yet' },
  { added: [named('a'), named('a/b')], entry: 'a/b', detail: '"a" is no directory' },
  { added: [named('/a')], entry: '/a', detail: 'its path has an empty part' },
  { added: [named('a//b')], entry: 'a//b', detail: 'its path has an empty part' },
  { added: [named('a/')], entry: 'a/', detail: 'its path has an empty part' },
  { added: [named('.')], entry: '.', detail: 'its path has a part that is `.` or `..`' },
  { added: [named('a/../b')], entry: 'a/../b', detail: 'its path has a part that is `.` or `..`' },
  { added: [named('a\0b')], entry: 'a\0b', detail: 'its path contains a NUL' },
  { added: [named('\xff')].concat([named('\xff/b')]), entry: '\\xff/b', detail: /no directory/ },
  {
    added: [named('n'.repeat(256))],
    entry: 'n'.repeat(256),
    detail: 'a part of its path has 256 bytes, and 255 are the most',
  },
  {
    added: [named('a/'.repeat(2048) + 'b')],
    entry: 'a/'.repeat(2048) + 'b',
    detail: 'its path has 4097 bytes, and 4095 are the most that Linux takes',
  },
  { added: [[{ ...EMPTY, path: bytes('') }]], entry: '', detail: /only be a directory/ },
  {
    added: [directory('d'), named('d/a'), named('d')],
    entry: 'd',
    detail: 'it would take the place of a directory that is not empty',
  },
  { added: [named('lost+found')], entry: 'lost+found', detail: /which e2fsck needs/ },
  { added: [link('a', 'b')], entry: 'a', detail: 'it is a hard link to what is not there yet' },
  {
    added: [directory('d'), link('a', 'd')],
    entry: 'a',
    detail: 'it is a hard link to a directory',
  },
  { added: [link('a', '')], entry: 'a', detail: 'it is a hard link to a directory' },
  {
    added: [[{ ...LINK, path: bytes('l'), target: bytes('t'.repeat(4096)) }]],
    entry: 'l',
    detail: "its link's target has 4096 bytes, and 4095 are the most",
  },
  {
    added: [[{ ...LINK, path: bytes('l'), target: bytes('t'.repeat(1024)) }]],
    entry: 'l',
    detail: "its link's target has 1024 bytes, and 1023 are the most",
    options: { blockSize: 1024 },
  },
  { added: [[{ ...LINK, path: bytes('l'), target: bytes('') }]], entry: 'l', detail: /to nothing/ },
  {
    added: [[{ ...EMPTY, path: bytes('f'), size: 3 }, bytes('ab')]],
    entry: 'f',
    detail: 'its size is given as 3 bytes, and its content ends after 2',
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), size: 3 }, bytes('abcd')]],
    entry: 'f',
    detail: 'its size is given as 3 bytes, and its content has more',
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), size: 3 }]],
    entry: 'f',
    detail: 'its size is given as 3 bytes, and its content ends after 0',
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), mtime: { seconds: 15032385536, nanoseconds: 0 } }]],
    entry: 'f',
    detail:
      'its mtime is 15032385536 seconds since 1970, and -2147483648 to 15032385535 can be kept',
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), atime: { seconds: 2 ** 31, nanoseconds: 0 } }]],
    entry: 'f',
    detail: /^its atime is 2147483648 seconds/,
    options: { inodeSize: 128 },
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), ctime: { seconds: 10_737_418_240, nanoseconds: 0 } }]],
    entry: 'f',
    detail: /^its ctime is 10737418240 seconds since 1970, and e2fsck takes/,
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), mtime: { seconds: 0, nanoseconds: 1e9 } }]],
    entry: 'f',
    detail: /^its mtime's nanoseconds is 1000000000/,
  },
  {
    added: [[{ ...EMPTY, path: bytes('f'), uid: 2 ** 32 }]],
    entry: 'f',
    detail: 'its uid is 4294967296, and 0 to 4294967295 can be kept',
  },
  { added: [[{ ...EMPTY, path: bytes('f'), mode: 0o10000 }]], entry: 'f', detail: /^its mode is/ },
  {
    added: [[{ type: 'block device', path: bytes('d'), ...ATTRIBUTES, major: 4096, minor: 0 }]],
    entry: 'd',
    detail: /^its major number is 4096/,
  },
  {
    added: [withXattrs({ 'user.a': 4000, 'user.b': 100 })],
    entry: 'x',
    detail:
      'its extended attributes are more than its inode (96 bytes) and one block (4096 bytes) hold',
  },
  { added: [withXattrs({ 'btrfs.a': 1 })], entry: 'x', detail: /"btrfs.a"/ },
  { added: [withXattrs({ 'user.': 1 })], entry: 'x', detail: /has no name/ },
  {
    added: [withXattrs({ [`user.${'n'.repeat(256)}`]: 1 })],
    entry: 'x',
    detail: /has a name of 256 bytes after its prefix, and 255 are the most/,
  },
  {
    added: [withXattrs({ 'system.posix_acl_access': 5 })],
    entry: 'x',
    detail: /is no access control list/,
  },
];

void test('what can not be kept is refused, by name, and nothing is left', async (t) => {
  const parent = temporaryTree(t);
  for (const { added, entry, detail, options } of REFUSED) {
    const failure = failureOf(await writeImage(join(parent, 'image'), options ?? {}, added));
    assert.equal(failure.reason, 'entry-refused', JSON.stringify(failure));
    assert.equal(failure.entry, entry);
    if (typeof detail === 'string') assert.equal(failure.detail, detail);
    else assert.match(failure.detail, detail);
    assert.deepEqual(readdirSync(parent), []);
  }
});

void test('the 65,001st name of a file is refused', async (t) => {
  const image = join(temporaryTree(t), 'image');
  function* names(count: number): Generator<Added> {
    yield named('first');
    for (let i = 1; i < count; i += 1) yield link(`n${i}`, 'first');
  }
  const failure = failureOf(await writeImage(image, {}, names(65_001)));
  assert.equal(failure.reason, 'entry-refused');
  assert.equal(failure.entry, 'n65000');
});

const OPTION_CASES: readonly (readonly [keyof ImageOptions, Partial<ImageOptions>])[] = [
  ['label', { label: 'seventeen bytes !' }],
  ['label', { label: 'ääääääääa' }],
  ['uuid', { uuid: '01234567-89AB-4cde-8f01-23456789abcd' }],
  ['hashSeed', { hashSeed: 'none' }],
  ['epoch', { epoch: -1 }],
  ['epoch', { epoch: 1.5 }],
  ['size', { size: 1000 }],
  ['size', { size: 2 ** 44 }],
  ['headroom', { headroom: { bytes: -1 } }],
  ['headroom', { headroom: { ratio: NaN } }],
  ['blockSize', { blockSize: 8192 as 4096 }],
  ['inodeSize', { inodeSize: 160 as 128 }],
  ['features', { features: '4.4' as '5.15' }],
  ['inodes', { inodes: 2 ** 32 }],
  ['reserved', { reserved: 0.6 }],
  ['journal', { journal: 4096 }],
  ['growTo', { growTo: -5 }],
];

void test('options that can not be are refused by name', async (t) => {
  const parent = temporaryTree(t);
  for (const [name, options] of OPTION_CASES) {
    const failure = failureOf(await createImage(join(parent, 'image'), { ...OPTIONS, ...options }));
    assert.equal(failure.reason, 'invalid-option', JSON.stringify(options));
    assert.equal(failure.option, name);
  }
  assert.deepEqual(readdirSync(parent), []);
});

void test('what does not fit a given size is told with what is needed', async (t) => {
  const parent = temporaryTree(t);
  const image = join(parent, 'image');
  const added = [file('f', noise(950_000))];
  const options = { journal: 0, growTo: 10 ** 9 };
  const failure = failureOf(await writeImage(image, { ...options, size: 1_000_000 }, added));
  assert.equal(failure.reason, 'no-space');
  assert.equal(failure.available, 1_000_000);
  assert.ok(failure.needed !== undefined && failure.needed < 2_000_000);
  // That many are enough, and one block less is not.
  must(await writeImage(image, { ...options, size: failure.needed }, added));
  const less = failure.needed - 4096;
  assert.equal(
    failureOf(await writeImage(image, { ...options, size: less }, added)).reason,
    'no-space',
  );
  // Content alone that is too much is found out while it is written.
  const early = failureOf(await writeImage(image, { size: 500_000 }, added));
  assert.equal(early.reason, 'no-space');
  assert.deepEqual(readdirSync(parent), ['image']);
});

void test('errors of whoever gives the content pass through', async (t) => {
  const parent = temporaryTree(t);
  mkdirSync(join(parent, 'd'));
  chmodSync(join(parent, 'd'), 0o755);
  const writer = must(await createImage(join(parent, 'd', 'image'), OPTIONS));
  // eslint-disable-next-line @typescript-eslint/require-await
  async function* breaks(): AsyncGenerator<Uint8Array> {
    yield bytes('ab');
    throw new Error('the source broke');
  }
  const entry = { ...EMPTY, path: bytes('f'), size: 5 };
  await assert.rejects(writer.add(entry, breaks()), /the source broke/);
  await assert.rejects(writer.finish(), /used while failed/);
  await writer.abandon();
  await writer.abandon();
  assert.deepEqual(readdirSync(join(parent, 'd')), []);
});

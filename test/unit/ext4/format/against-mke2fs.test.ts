import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { encodeAcl } from '../../../../src/ext4/format/acl.ts';
import { crc16 } from '../../../../src/ext4/format/crc16.ts';
import { crc32c, crc32cOfNumber } from '../../../../src/ext4/format/crc32c.ts';
import { sealListBlock } from '../../../../src/ext4/format/directory.ts';
import {
  readExtent,
  readExtentHeader,
  sealExtentBlock,
} from '../../../../src/ext4/format/extent.ts';
import { encodeGroupDescriptor } from '../../../../src/ext4/format/group-descriptor.ts';
import {
  encodeDevice,
  encodeInode,
  inodeSeed,
  readFlags,
  readLinks,
  readMode,
  readPointers,
  readSectors,
  readXattrBlock,
  sealInode,
} from '../../../../src/ext4/format/inode.ts';
import { encodeJournalSuperblock } from '../../../../src/ext4/format/journal.ts';
import { hashName } from '../../../../src/ext4/format/name-hash.ts';
import { parseUuid } from '../../../../src/ext4/format/uuid.ts';
import { parseXattrs, placeXattrs, sealXattrBlock } from '../../../../src/ext4/format/xattr.ts';
import { fileOwner } from '../../../rig/owner.ts';
import { must } from '../../../rig/process.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

/** Everything that has a form of its own, byte for byte as e2fsprogs writes it. */
const UUID = '01234567-89ab-4cde-8f01-23456789abcd';
const BLOCK = 4096;
const INODE = 256;
const TIME = { seconds: 1_700_000_000, nanoseconds: 0 };
const owner = fileOwner();

void test('checksums of what everybody sums', () => {
  const digits = Buffer.from('123456789');
  assert.equal((crc32c(0xffffffff, digits) ^ 0xffffffff) >>> 0, 0xe3069283);
  assert.equal((crc32c(0xffffffff, Buffer.alloc(32)) ^ 0xffffffff) >>> 0, 0x8a9136aa);
  assert.equal((crc32c(0xffffffff, Buffer.alloc(32, 0xff)) ^ 0xffffffff) >>> 0, 0x62a8ab43);
  assert.equal(crc16(0, digits), 0xbb3d);
  // In two parts at any place it is the same, and so is a number and its bytes.
  for (let at = 0; at <= 9; at += 1)
    assert.equal(crc32c(crc32c(7, digits.subarray(0, at)), digits.subarray(at)), crc32c(7, digits));
  assert.equal(crc32cOfNumber(7, 0xfedcba98), crc32c(7, Buffer.from([0x98, 0xba, 0xdc, 0xfe])));
});

void test('device numbers in both forms', () => {
  assert.equal(encodeDevice(8, 1).toString('hex'), '0108000000000000');
  assert.equal(encodeDevice(255, 255).toString('hex'), 'ffff000000000000');
  assert.equal(encodeDevice(259, 70_000).toString('hex'), '0000000070031111');
  assert.equal(encodeDevice(4095, 2 ** 20 - 1).toString('hex'), '00000000ffffffff');
});

void test('access control lists as ext4 keeps them', () => {
  const outside = Buffer.from(
    '02000000' + '01000600ffffffff' + '0200040039300000' + '1000070000000000' + '2000040000000000',
    'hex',
  );
  const inside = '01000000' + '01000600' + '0200040039300000' + '10000700' + '20000400';
  assert.equal(encodeAcl(outside)?.toString('hex'), inside);
  for (const wrong of ['', '01000000', '0200000001', '0200000003000600ffffffff'])
    assert.equal(encodeAcl(Buffer.from(wrong, 'hex')), undefined, wrong);
});

void test('names are hashed as debugfs does', async () => {
  const seed = parseUuid(UUID);
  assert.ok(seed !== undefined);
  const names = [
    'a',
    'lost+found',
    'x'.repeat(31),
    'y'.repeat(32),
    'z'.repeat(33),
    'n'.repeat(255),
  ];
  for (const name of names) {
    const said = await must('debugfs', ['-R', `dx_hash -h half_md4 -s ${UUID} ${name}`]);
    const [, major = '', minor = ''] = /is (0x[0-9a-f]+) \(minor (0x[0-9a-f]+)\)/.exec(said) ?? [];
    const hash = hashName(Buffer.from(name), seed);
    assert.deepEqual(hash, { major: Number(major), minor: Number(minor) }, `${name}: ${said}`);
  }
});

void describe('the bytes of an image made by mke2fs', () => {
  let image = Buffer.alloc(0);
  let seed = 0;
  const at = (block: number): Buffer => image.subarray(block * BLOCK, (block + 1) * BLOCK);
  const descriptor = (): Buffer => at(1).subarray(0, 64);
  const inodeAt = (number: number): Buffer => {
    const start = descriptor().readUInt32LE(8) * BLOCK + (number - 1) * INODE;
    return image.subarray(start, start + INODE);
  };

  before(async () => {
    const directory = temporaryTree(owner);
    const path = join(directory, 'image');
    const content = join(directory, 'content');
    const holes = Buffer.alloc(40 * BLOCK);
    for (let i = 0; i < 20; i += 1) holes[i * 2 * BLOCK] = 1;
    writeFileSync(content, holes);
    const features = '^metadata_csum_seed,^orphan_file,metadata_csum,64bit';
    const options = ['-E', `hash_seed=${UUID}`, '-U', UUID, '-O', features];
    const size = ['-b', String(BLOCK), '-I', String(INODE)];
    await must('mke2fs', ['-q', '-t', 'ext4', ...size, ...options, path, '16M']);
    const commands = [
      `write ${content} fragments`,
      ...['crtime', 'mtime', 'atime', 'ctime'].map((time) => `sif fragments ${time} @1700000000`),
      `ea_set fragments user.large ${'v'.repeat(300)}`,
      'ea_set fragments user.another 12345678901234567890123456789012345678901234567890',
    ];
    await must('debugfs', ['-w', '-f', '-', path], { input: commands.join('\n') });
    await must('e2fsck', ['-fn', path]);
    image = readFileSync(path);
    seed = crc32c(0xffffffff, parseUuid(UUID) ?? Buffer.alloc(0));
  });

  void test('group descriptor', () => {
    const bytes = descriptor();
    const wide = (low: number, high: number): number =>
      bytes.readUInt16LE(low) + bytes.readUInt16LE(high) * 2 ** 16;
    const encoded = encodeGroupDescriptor(
      {
        ...{ blockBitmap: bytes.readUInt32LE(0), inodeBitmap: bytes.readUInt32LE(4) },
        ...{ inodeTable: bytes.readUInt32LE(8), freeBlocks: wide(0xc, 0x2c) },
        ...{ freeInodes: wide(0xe, 0x2e), directories: wide(0x10, 0x30) },
        ...{ flags: bytes.readUInt16LE(0x12), unusedInodes: wide(0x1c, 0x32) },
        ...{ blockBitmapChecksum: wide(0x18, 0x38), inodeBitmapChecksum: wide(0x1a, 0x3a) },
      },
      0,
      seed,
    );
    assert.deepEqual(encoded, Buffer.from(bytes));
  });

  void test('inodes', () => {
    const number = FRAGMENTS;
    const bytes = inodeAt(number);
    const again = Buffer.alloc(INODE);
    encodeInode(
      {
        ...{ mode: readMode(bytes), uid: 0, gid: 0, links: readLinks(bytes) },
        ...{ size: 39 * BLOCK + BLOCK, sectors: readSectors(bytes), flags: readFlags(bytes) },
        ...{ atime: TIME, ctime: TIME, mtime: TIME, crtime: TIME },
        ...{ pointers: readPointers(bytes), xattrBlock: readXattrBlock(bytes) },
      },
      again,
    );
    // The attributes in it are another test's; the generation may be any.
    bytes.copy(again, 160, 160);
    sealInode(again, number, seed);
    assert.deepEqual(again, Buffer.from(bytes));
  });

  void test('extents', () => {
    const root = readPointers(inodeAt(FRAGMENTS));
    assert.deepEqual(readExtentHeader(root), { count: 1, depth: 1 });
    const node = Buffer.from(at(root.readUInt32LE(16)));
    assert.deepEqual(readExtentHeader(node), { count: 20, depth: 0 });
    assert.equal(readExtent(node, 19).logical, 38);
    const sealed = Buffer.from(node);
    sealed.fill(0, BLOCK - 4);
    sealExtentBlock(sealed, inodeSeed(FRAGMENTS, seed));
    assert.deepEqual(sealed, node);
  });

  void test('directories', () => {
    const { physical } = readExtent(readPointers(inodeAt(2)), 0);
    const block = Buffer.from(at(physical));
    const sealed = Buffer.from(block);
    sealed.fill(0, BLOCK - 12);
    sealListBlock(sealed, inodeSeed(2, seed));
    assert.deepEqual(sealed, block);
  });

  void test('extended attributes', () => {
    const inode = inodeAt(FRAGMENTS);
    const number = readXattrBlock(inode);
    assert.notEqual(number, 0);
    const parsed = parseXattrs(
      new Map([
        ['user.large', Buffer.alloc(300, 'v')],
        ['user.another', Buffer.from('1234567890'.repeat(5))],
      ]),
    );
    assert.ok(typeof parsed !== 'string');
    const { block, body } = placeXattrs(parsed, INODE - 160, BLOCK) ?? {};
    assert.ok(block !== undefined && body !== undefined);
    // By its hash Linux finds blocks that are alike; e2fsprogs leave it out.
    assert.equal(block.readUInt32LE(12), block.readUInt32LE(32 + 12));
    block.writeUInt32LE(0, 12);
    sealXattrBlock(block, number, seed);
    assert.deepEqual(block, Buffer.from(at(number)));
    // Hashes in inodes are nobody's business: ours are 0.
    const theirs = Buffer.from(inode.subarray(160));
    theirs.fill(0, 16, 20);
    assert.deepEqual(body, theirs);
  });

  void test('journal', () => {
    const { physical } = readExtent(readPointers(inodeAt(8)), 0);
    const uuid = parseUuid(UUID);
    assert.ok(uuid !== undefined);
    assert.deepEqual(encodeJournalSuperblock(BLOCK, 1024, uuid), Buffer.from(at(physical)));
  });
});

/** The first inode that is nobody's. */
const FRAGMENTS = 12;

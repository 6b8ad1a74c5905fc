import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import type { Place } from '../../../src/ext4/partition.ts';
import { findPlace } from '../../../src/ext4/partition.ts';
import { attempt } from '../../../src/ext4/reader/damage.ts';
import { openFile } from '../../../src/ext4/reader/image-file.ts';
import type { Failure } from '../../../src/model/failure.ts';
import type { Result } from '../../../src/model/result.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';

interface Partition {
  readonly name: string;
  readonly first: number;
  readonly last: number;
}

interface Disk {
  readonly sectorSize: number;
  readonly sectors: number;
  readonly partitions: readonly Partition[];
}

const ENTRIES = 128;
const ENTRY = 128;

/** Each sector that belongs to no table begins with its number. */
function makeDisk({ sectorSize, sectors, partitions }: Disk): Buffer {
  const disk = Buffer.alloc(sectorSize * sectors);
  for (let i = 0; i < sectors; i += 1) disk.writeUInt32LE(i, i * sectorSize);
  disk[446 + 4] = 0xee;
  disk.writeUInt16LE(0xaa55, 510);
  const array = Buffer.alloc(ENTRIES * ENTRY);
  partitions.forEach(({ name, first, last }, i) => {
    const entry = array.subarray(i * ENTRY);
    entry.fill(0xab, 0, 32);
    entry.writeBigUInt64LE(BigInt(first), 32);
    entry.writeBigUInt64LE(BigInt(last), 40);
    entry.write(name, 56, 72, 'utf16le');
  });
  const arraySectors = array.length / sectorSize;
  const tables = [
    { own: 1, other: sectors - 1, entries: 2 },
    { own: sectors - 1, other: 1, entries: sectors - 1 - arraySectors },
  ];
  for (const { own, other, entries } of tables) {
    array.copy(disk, entries * sectorSize);
    const header = disk.subarray(own * sectorSize, (own + 1) * sectorSize);
    header.fill(0);
    header.write('EFI PART', 'latin1');
    header.writeUInt32LE(0x10000, 8);
    header.writeUInt32LE(92, 12);
    header.writeBigUInt64LE(BigInt(own), 24);
    header.writeBigUInt64LE(BigInt(other), 32);
    header.writeBigUInt64LE(BigInt(2 + arraySectors), 40);
    header.writeBigUInt64LE(BigInt(sectors - 2 - arraySectors), 48);
    header.writeBigUInt64LE(BigInt(entries), 72);
    header.writeUInt32LE(ENTRIES, 80);
    header.writeUInt32LE(ENTRY, 84);
    header.writeUInt32LE(crc32(array), 88);
    sealHeader(header);
  }
  return disk;
}

function sealHeader(header: Buffer): void {
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
}

/** The number at the start of the stretch, and its size in bytes. */
async function find(
  t: TestContext,
  disk: Buffer,
  place: Place,
): Promise<Result<{ number: number; size: number }>> {
  const path = join(temporaryTree(t), 'disk');
  writeFileSync(path, disk);
  const file = await openFile(path);
  assert.ok(file.ok);
  try {
    return await attempt(path, async () => {
      const part = await findPlace(file.value, place);
      return { number: (await part.read(0, 4)).readUInt32LE(0), size: part.size };
    });
  } finally {
    await file.value.close();
  }
}

async function failureOf(t: TestContext, disk: Buffer, place: Place): Promise<Failure> {
  const found = await find(t, disk, place);
  assert.ok(!found.ok, JSON.stringify(found));
  return found.failure;
}

async function detailOf(t: TestContext, disk: Buffer, name = 'data'): Promise<string> {
  const failure = await failureOf(t, disk, { partition: name });
  assert.ok(failure.reason === 'image-corrupt', failure.reason);
  return failure.detail;
}

const SMALL: Disk = {
  sectorSize: 512,
  sectors: 200,
  partitions: [
    { name: 'boot', first: 40, last: 49 },
    { name: 'data', first: 50, last: 99 },
  ],
};

describe('a partition in a disk image', () => {
  for (const sectorSize of [512, 4096])
    it(`is found by name, with sectors of ${sectorSize} bytes`, async (t) => {
      const disk = makeDisk({ ...SMALL, sectorSize });
      assert.deepEqual(await find(t, disk, { partition: 'data' }), {
        ok: true,
        value: { number: 50, size: 50 * sectorSize },
      });
    });

  for (const sectorSize of [512, 4096])
    it(`is found by the copy at the end, with sectors of ${sectorSize} bytes`, async (t) => {
      for (const broken of [1, 2]) {
        const disk = makeDisk({ ...SMALL, sectorSize });
        disk.fill(0xff, broken * sectorSize, broken * sectorSize + 20);
        const found = await find(t, disk, { partition: 'boot' });
        assert.deepEqual(found, { ok: true, value: { number: 40, size: 10 * sectorSize } });
      }
    });

  it('has a name of up to 36 characters of any kind', async (t) => {
    const name = 'ä\u{1f4be}'.repeat(12);
    const disk = makeDisk({ ...SMALL, partitions: [{ name, first: 60, last: 60 }] });
    const found = await find(t, disk, { partition: name });
    assert.deepEqual(found, { ok: true, value: { number: 60, size: 512 } });
  });

  it('that is not there is missed, and the others are named', async (t) => {
    const failure = await failureOf(t, makeDisk(SMALL), { partition: 'Data' });
    assert.ok(failure.reason === 'partition-missing');
    assert.equal(failure.wanted, 'Data');
    assert.deepEqual(failure.present, ['boot', 'data']);
  });

  it('must have its name for itself', async (t) => {
    const [boot] = SMALL.partitions;
    assert.ok(boot);
    const twice = [boot, { ...boot, first: 50, last: 50 }];
    const disk = makeDisk({ ...SMALL, partitions: twice });
    assert.match(await detailOf(t, disk, 'boot'), /^partitions 1 and 2 are both named "boot"$/);
  });

  it('must lie within the disk', async (t) => {
    for (const wrong of [
      { first: 60, last: 59 },
      { first: 10, last: 59 },
      { first: 60, last: 180 },
      { first: 60, last: 2 ** 52 },
    ]) {
      const disk = makeDisk({ ...SMALL, partitions: [{ name: 'data', ...wrong }] });
      assert.match(await detailOf(t, disk), /partition 1 lies outside of the disk/);
    }
  });

  it('is not looked for where the first sector announces no table', async (t) => {
    const disk = makeDisk(SMALL);
    disk[446 + 4] = 0x83;
    const failure = await failureOf(t, disk, { partition: 'data' });
    assert.equal(failure.reason, 'invalid-document');
    const nothing = await failureOf(t, Buffer.alloc(100), { partition: 'data' });
    assert.equal(nothing.reason, 'invalid-document');
  });

  it('is not found by a table that is damaged in both copies', async (t) => {
    const damages: [RegExp, (header: Buffer) => void][] = [
      [/it has no signature/, (header) => header.write('X')],
      [/its checksum is wrong/, (header) => header.writeUInt32LE(7, 40)],
      [/it is 513 bytes long/, (header) => header.writeUInt32LE(513, 12)],
      [/it is 91 bytes long/, (header) => header.writeUInt32LE(91, 12)],
      [/it says that it lies in sector 7/, (header) => header.writeUInt32LE(7, 24)],
      [/its entries are of 127 bytes/, (header) => header.writeUInt32LE(127, 84)],
      [/its entries are of 0 bytes/, (header) => header.writeUInt32LE(0, 84)],
      [/it has 4294967295 entries/, (header) => header.writeUInt32LE(2 ** 32 - 1, 80)],
      [/its entries lie outside of the file/, (header) => header.writeUInt32LE(1 << 30, 76)],
      [/its entries' checksum is wrong/, (header) => header.writeUInt32LE(7, 88)],
      [/it has no room for partitions/, (header) => header.writeUInt32LE(1 << 30, 44)],
    ];
    for (const [expected, damage] of damages) {
      const disk = makeDisk(SMALL);
      for (const at of [1, SMALL.sectors - 1]) {
        const header = disk.subarray(at * 512, (at + 1) * 512);
        damage(header);
        if (!/checksum is wrong$/.test(expected.source) || expected.source.includes('entries'))
          if (header.readUInt32LE(12) <= 512) sealHeader(header);
      }
      assert.match(await detailOf(t, disk), expected);
    }
  });

  it('never takes the reader out of the file', async (t) => {
    const whole = makeDisk(SMALL);
    for (let length = 512; length < whole.length; length += 100) {
      const found = await find(t, whole.subarray(0, length), { partition: 'data' });
      if (found.ok) assert.ok(length >= 100 * 512, `${length}`);
    }
  });
});

describe('an offset in a disk image', () => {
  it('leads to everything that follows', async (t) => {
    const found = await find(t, makeDisk(SMALL), { offset: 512 * 35 });
    assert.deepEqual(found, { ok: true, value: { number: 35, size: 512 * 165 } });
  });

  it('lies within it', async (t) => {
    const failure = await failureOf(t, makeDisk(SMALL), { offset: 512 * 200 + 1 });
    assert.equal(failure.reason, 'image-corrupt');
  });
});

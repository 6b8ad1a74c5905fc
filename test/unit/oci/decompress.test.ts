import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CompressionError } from '../../../src/oci/compression-error.ts';
import { decompress } from '../../../src/oci/decompress.ts';
import { fileOwner } from '../../rig/owner.ts';
import { must } from '../../rig/process.ts';
import { temporaryTree } from '../../rig/temporary-tree.ts';
import { chunked } from './tar/blocks.ts';

/** What gzip(1) and zstd(1) pack is unpacked, whatever the chunks; and what they would refuse is refused. */
const dir = temporaryTree(fileOwner());
const content = makeContent(700_000);
const file = join(dir, 'content');
writeFileSync(file, content);

/** Words that compress, over more than a block of each compression. */
function makeContent(size: number): Buffer {
  const words = Array.from({ length: 300 }, (_, index) =>
    createHash('sha256').update(String(index)).digest('base64'),
  );
  let text = '';
  for (let index = 0; text.length < size; index = (index * 7 + 11) % 99_991)
    text += words[index % words.length] ?? '';
  return Buffer.from(text.slice(0, size));
}

async function pack(command: string): Promise<Buffer> {
  const packed = join(dir, 'packed');
  await must('sh', ['-c', `{ ${command}; } > packed`], { cwd: dir });
  return readFileSync(packed);
}

async function unpack(packed: Buffer, chunk = 10_000): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of decompress(chunked(packed, chunk))) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

const COMMANDS: readonly (readonly [string, string, number])[] = [
  ['nothing', 'cat content', 1],
  ['gzip', 'gzip -c content', 1],
  ['gzip, two members', 'gzip -c content; gzip -1c content', 2],
  ['gzip with padding', 'gzip -c content; head -c 1000 /dev/zero', 1],
  ['zstd', 'zstd -qc content', 1],
  ['zstd of the strongest kind', 'zstd -q --ultra -22 -c content', 1],
  ['zstd without a size or checksum', 'zstd -q --no-check -c < content', 1],
  [
    'zstd, two frames and one to skip',
    `zstd -qc content; printf '\\120\\052\\115\\030\\003\\0\\0\\0abc'; zstd -1qc < content`,
    2,
  ],
  ['zstd of the fastest kind', 'zstd -q --fast=50 -c content', 1],
];

for (const [name, command, times] of COMMANDS)
  void test(name, async () => {
    const packed = await pack(command);
    for (const chunk of [1000, 1_000_000]) {
      const unpacked = await unpack(packed, chunk);
      assert.equal(unpacked.length, content.length * times);
      assert.ok(unpacked.subarray(-content.length).equals(content), `chunks of ${chunk}`);
    }
  });

void test('a byte at a time', async () => {
  for (const command of ['gzip', 'zstd -q']) {
    const packed = await pack(`head -c 1000 content | ${command} -c`);
    assert.ok((await unpack(packed, 1)).equals(content.subarray(0, 1000)), command);
  }
});

void test('zstd frames shorter than what the decoder looks at', async () => {
  const packed = await pack('for word in abc "" d; do printf "$word" | zstd -qc; done');
  for (const chunk of [1, 1000]) assert.equal((await unpack(packed, chunk)).toString(), 'abcd');
  assert.equal((await unpack(zstdFrame('2001', rle(1, true)), 3)).toString(), 'z');
});

void test('zeros by the hundred megabytes, of which no more than a block is there at once', async () => {
  const blocks = 4000;
  const many = Array.from({ length: blocks }, (_, index) => rle(128 * 1024, index === blocks - 1));
  const packed = [
    zstdFrame('0038', ...many),
    await pack(`head -c ${blocks * 128}K /dev/zero | zstd -qc`),
  ];
  for (const file of packed) {
    const before = process.memoryUsage().arrayBuffers;
    let length = 0;
    let first = 0;
    for await (const piece of decompress(chunked(file, 1024 * 1024))) {
      if (length === 0) first = process.memoryUsage().arrayBuffers - before;
      length += piece.length;
    }
    assert.equal(length, blocks * 128 * 1024);
    assert.ok(first < 24 * 1024 * 1024, `${first} bytes at the first piece`);
  }
});

void test('short streams are what they are', async () => {
  for (const text of ['', 'x', '\x1f', 'short'])
    assert.equal((await unpack(Buffer.from(text, 'latin1'))).toString('latin1'), text);
});

const BAD: readonly (readonly [string, () => Promise<Buffer>, RegExp])[] = [
  [
    'a gzip file cut off',
    async () => (await pack('gzip -c content')).subarray(0, -9),
    /^it ends within its compressed data$/,
  ],
  [
    'a gzip file without its last byte',
    async () => (await pack('gzip -c content')).subarray(0, -1),
    /^it ends within its compressed data$/,
  ],
  [
    'a gzip file with another checksum',
    async () => flip(await pack('gzip -c content'), -6),
    /^its compressed data is damaged$/,
  ],
  [
    'garbage behind a gzip file',
    () => pack('gzip -c content; echo garbage'),
    /^its compressed data is damaged$/,
  ],
  [
    'a zstd file cut off',
    async () => (await pack('zstd -qc content')).subarray(0, -100),
    /^it ends within its compressed data$/,
  ],
  [
    'a zstd file without its checksum',
    async () => (await pack('zstd -qc content')).subarray(0, -4),
    /^it ends within its compressed data$/,
  ],
  [
    'a zstd file with another checksum',
    async () => flip(await pack('zstd -qc content'), -1),
    /^its compressed data is damaged$/,
  ],
  [
    'a zstd file with another bit in what could not be packed',
    async () => flip(await pack('head -c 300000 /dev/urandom | zstd -qc'), -1000),
    /^its compressed data is damaged$/,
  ],
  [
    'a zstd file of another size',
    // A frame of one block, and its header says two bytes.
    () => Promise.resolve(zstdFrame('2002', rle(1, true))),
    /^its compressed data is damaged$/,
  ],
  [
    'a zstd file with a block that is larger than any',
    () => Promise.resolve(zstdFrame('0058', rle(128 * 1024 + 1, true))),
    /^its compressed data is damaged$/,
  ],
  [
    'garbage behind a zstd file',
    () => pack('zstd -qc content; echo garbage'),
    /^its compressed data is damaged$/,
  ],
  [
    'a zstd file that wants much memory',
    () => pack('zstd -q --ultra -22 --long=29 -c < content'),
    /^unpacking it takes more than 128 MiB of memory$/,
  ],
  [
    'xz',
    () => pack('xz -c content'),
    /^it is compressed by xz, and only gzip and zstd are unpacked$/,
  ],
  ['bzip2', () => Promise.resolve(Buffer.from('BZh91AY&SY')), /^it is compressed by bzip2/],
];

for (const [name, packed, expected] of BAD)
  void test(`refused: ${name}`, async () => {
    await assert.rejects(unpack(await packed()), (error: unknown) => {
      assert.ok(error instanceof CompressionError, String(error));
      assert.match(error.message, expected);
      return true;
    });
  });

void test('what goes wrong in the source is told as it is, and who stops early closes it', async () => {
  for (const command of ['cat content', 'gzip -c content', 'zstd -qc content']) {
    const packed = await pack(command);
    let isClosed: boolean;
    // eslint-disable-next-line @typescript-eslint/require-await -- a stream, all the same
    async function* source(fails: boolean): AsyncGenerator<Uint8Array, void> {
      try {
        yield packed.subarray(0, 1000);
        if (fails) throw new RangeError('the disk');
        yield packed.subarray(1000);
      } finally {
        isClosed = true;
      }
    }
    await assert.rejects(async () => {
      for await (const piece of decompress(source(true))) assert.ok(piece.length > 0);
    }, RangeError);
    isClosed = false;
    for await (const piece of decompress(source(false))) {
      assert.ok(piece.length > 0);
      break;
    }
    assert.ok(isClosed, command);
  }
});

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length + at] = (copy.at(at) ?? 0) ^ 0x10;
  return copy;
}

/** By hand (RFC 8878): descriptor and what follows it in hexadecimal digits, then blocks. */
function zstdFrame(header: string, ...blocks: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from(`28b52ffd${header}`, 'hex'), ...blocks]);
}

/** A block of one byte, repeated. */
function rle(times: number, isLast: boolean): Buffer {
  const block = Buffer.from('000000z');
  block.writeUIntLE((times << 3) | 2 | (isLast ? 1 : 0), 0, 3);
  return Buffer.concat([block.subarray(0, 3), block.subarray(6)]);
}

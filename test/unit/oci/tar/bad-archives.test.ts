import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TarError } from '../../../../src/oci/tar/tar-error.ts';
import { rounds } from '../../../rig/skip.ts';
import type { Member } from './blocks.ts';
import { chunked, END, GNU, member, pax, paxData, USTAR } from './blocks.ts';
import { readAll } from './read-all.ts';

/** Archives by hand: what is odd and yet right, what is wrong and how it is told, and what only must not hang. */

/** 256, as GNU writes numbers that octal digits have no room for. */
function binary(length: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(length);
  let rest = BigInt.asUintN(length * 8 - 1, value);
  for (let at = length - 1; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

const one = (given: Member): Buffer => Buffer.concat([member(given), END]);

void test('numbers: octal, padded in every way, base-256, and of either sign', async () => {
  const cases: readonly (readonly [Member, Partial<Record<'uid' | 'mtime' | 'mode', number>>])[] = [
    [{ uid: Buffer.from('      17') }, { uid: 15 }],
    [{ uid: Buffer.from('17 \0\0\0\0\0') }, { uid: 15 }],
    [{ uid: Buffer.alloc(8) }, { uid: 0 }],
    [{ uid: Buffer.from('77777777') }, { uid: 0o77777777 }],
    [{ uid: binary(8, 4_294_967_294n) }, { uid: 4_294_967_294 }],
    [{ mtime: binary(12, -1n) }, { mtime: -1 }],
    [{ mtime: binary(12, -(2n ** 40n)) }, { mtime: -(2 ** 40) }],
    [{ mtime: binary(12, 2n ** 40n) }, { mtime: 2 ** 40 }],
    [{ mode: '0100755' }, { mode: 0o755 }],
  ];
  for (const [given, expected] of cases) {
    const [entry] = await readAll(one(given));
    for (const [key, value] of Object.entries(expected))
      assert.equal(entry?.[key as 'uid'], value, JSON.stringify(given));
  }
});

void test('names and times of extended headers, the last word being right', async () => {
  const archive = Buffer.concat([
    pax(
      [
        ['path', 'global'],
        ['uid', '7'],
        ['comment', 'x'],
      ],
      'g',
    ),
    pax([
      ['path', Buffer.from([0xff, 0x0a, 0x3d, 0x00, 0x41])],
      ['mtime', '-1.5'],
    ]),
    member({ name: 'short' }),
    pax([
      ['hdrcharset', 'BINARY'],
      ['linkpath', 'far'],
    ]),
    member({ name: 'short', type: '2', link: 'near' }),
    pax([
      ['path', ''],
      ['uid', ''],
    ]),
    member({ name: 'own', uid: 3 }),
    member({ name: 'any' }),
    pax([
      ['path', 'file'],
      ['size', '4'],
      ['mtime', '12.123456789123'],
    ]),
    member({ name: 'short', content: 'text', size: 0 }),
    END,
  ]);
  const seen = (await readAll(archive)).map(({ name, uid, linkTarget, mtime, content }) => [
    ...[name, uid, linkTarget, mtime, content.toString()],
  ]);
  assert.deepEqual(seen, [
    ['\xff\x0a=\0A', 7, '', -1.5, ''],
    ['global', 7, 'far', 0, ''],
    ['own', 3, '', 0, ''],
    ['global', 7, '', 0, ''],
    ['file', 7, '', 12.123456789, 'text'],
  ]);
});

void test('old ways: V7 directories, prefixes, GNU headers with a prefix, signed checksums', async () => {
  const signed = (_: number, sum: number): string => `${sum.toString(8).padStart(6, '0')}\0 `;
  const archive = Buffer.concat([
    member({ name: 'dir/', type: '\0', magic: '' }),
    member({ name: 'name', prefix: 'some/where' }),
    member({ name: 'name', magic: GNU, prefix: 'go/before/1.9/some/where' }),
    member({ name: 'na\xefve', checksum: signed }),
    member({ name: 'list', type: 'D', magic: GNU, content: 'Yfile\0\0' }),
    member({ name: 'Label', type: 'V', magic: GNU }),
    member({ name: 'linked', type: '1', link: 'name', size: 500 }),
    END.subarray(512),
  ]);
  const seen = (await readAll(archive)).map(({ name, type }) => `${type} ${name}`);
  assert.deepEqual(seen, [
    'directory dir/',
    'file some/where/name',
    'file go/before/1.9/some/where/name',
    'file na\xefve',
    'directory list',
    'hard link linked',
  ]);
});

void test('ends: with two empty blocks, one, none, and anything behind them', async () => {
  const file = member({ content: 'x' });
  for (const end of [
    END,
    END.subarray(512),
    Buffer.alloc(0),
    Buffer.concat([END, Buffer.from('garbage')]),
  ])
    assert.equal((await readAll(Buffer.concat([file, end]))).length, 1);
  assert.deepEqual(await readAll(END), []);
  assert.deepEqual(await readAll(Buffer.alloc(0)), []);
});

void test('whatever the source makes of its chunks, the entries are the same', async () => {
  const archive = Buffer.concat([
    pax([
      ['path', 'p'.repeat(3000)],
      ['SCHILY.xattr.user.x', 'y'.repeat(2000)],
    ]),
    member({ content: Buffer.alloc(5000, 'abcdefg') }),
    member({ name: '././@LongLink', type: 'L', content: `${'l'.repeat(700)}\0`, magic: GNU }),
    member({ magic: GNU, content: 'short' }),
    pax([
      ['GNU.sparse.major', '1'],
      ['GNU.sparse.minor', '0'],
      ['GNU.sparse.realsize', '9000'],
      ['GNU.sparse.name', 'sparse'],
    ]),
    member({
      content: Buffer.concat([
        Buffer.from('2\n0\n3\n4000\n2\n').subarray(0),
        Buffer.alloc(512 - 13),
        Buffer.from('abcde'),
      ]),
    }),
    END,
  ]);
  const want = await readAll(archive, archive.length);
  assert.deepEqual(
    want.map(({ size }) => size),
    [5000, 5, 9000],
  );
  for (const size of [1, 7, 511, 512, 513, 1500, 4096])
    assert.deepEqual(await readAll(archive, size), want, `chunks of ${size}`);
});

const sparse = (more: readonly (readonly [string, string])[], content = 'abc'): Buffer =>
  Buffer.concat([pax([['GNU.sparse.size', '100'], ...more]), one({ name: 'holes', content })]);

const BAD: readonly (readonly [string, Buffer, RegExp, number, string?])[] = [
  ['text', Buffer.alloc(4096, 'no tar at all\n'), /^this is no tar$/, 0],
  ['a short file', Buffer.from('short'), /^the archive ends within a header$/, 0],
  [
    'a bad header',
    Buffer.concat([member({}), Buffer.alloc(512, 'x'), END]),
    /^the checksum of its header is wrong$/,
    512,
  ],
  [
    'a header cut off',
    Buffer.concat([member({}), member({}).subarray(0, 300)]),
    /^the archive ends within a header$/,
    512,
  ],
  [
    'content cut off',
    member({ name: 'long', content: Buffer.alloc(2000) }).subarray(0, 1000),
    /^the archive ends in it$/,
    1000,
    'long',
  ],
  [
    'padding cut off',
    member({ name: 'long', content: 'x' }).subarray(0, 600),
    /^the archive ends in it$/,
    600,
    'long',
  ],
  [
    'a size that lies',
    one({ name: 'huge', size: binary(12, 2n ** 50n) }),
    /^the archive ends in it$/,
    1536,
    'huge',
  ],
  [
    'a size beyond all',
    one({ name: 'huge', size: binary(12, 2n ** 80n) }),
    /^its size is no number, or too large$/,
    0,
    'huge',
  ],
  [
    'a negative size',
    one({ name: 'less', size: binary(12, -1n) }),
    /^its size is negative$/,
    0,
    'less',
  ],
  [
    'a size of letters',
    one({ name: 'odd', size: Buffer.from('12abc') }),
    /^its size is no number/,
    0,
    'odd',
  ],
  [
    'an unknown type',
    one({ name: 'new', type: 'Q' }),
    /^it is of the type "Q", which is not known$/,
    0,
    'new',
  ],
  [
    'another volume',
    one({ name: 'rest', type: 'M', magic: GNU }),
    /^it is of the type "M"/,
    0,
    'rest',
  ],
  [
    'an empty block between',
    Buffer.concat([member({}), Buffer.alloc(512), member({}), END]),
    /^there is an empty block between members$/,
    512,
  ],
  [
    'an end after a long name',
    Buffer.concat([member({ type: 'L', content: 'n\0', magic: GNU }), END]),
    /^the archive ends in it$/,
    1024,
    'n',
  ],
  ['an end after an extended header', pax([['path', 'x']]), /^the archive ends in it$/, 1024],
  [
    'a long name of gigabytes',
    one({ type: 'L', size: 0o77777777777, magic: GNU }),
    /^its header in front has 8589934591 bytes/,
    0,
    'name',
  ],
  [
    'an extended header of gigabytes',
    one({ type: 'x', size: 2 ** 21 }),
    /^its header in front has 2097152 bytes/,
    0,
    'name',
  ],
  [
    'a record without length',
    Buffer.concat([member({ type: 'x', content: 'path=x\n' }), one({})]),
    /^its extended header has a record without a length$/,
    512,
  ],
  [
    'a record that is too long',
    Buffer.concat([member({ type: 'x', content: '99 path=x\n' }), one({})]),
    /^its extended header has a record that goes beyond its end$/,
    512,
  ],
  [
    'a record that is too short',
    Buffer.concat([member({ type: 'x', content: '3 path=x\n' }), one({})]),
    /^its extended header has a record whose length is wrong$/,
    512,
  ],
  [
    'a record without a key',
    Buffer.concat([member({ type: 'x', content: '6 pat\n' }), one({})]),
    /^its extended header has a record without a key$/,
    512,
  ],
  [
    'a length beyond all',
    Buffer.concat([member({ type: 'x', content: `${'9'.repeat(400)} a=b\n` }), one({})]),
    /^its extended header has a record without a length$/,
    512,
  ],
  [
    'an owner of letters',
    Buffer.concat([pax([['uid', 'root']]), one({ name: 'f' })]),
    /^"uid" in its extended header is no number$/,
    1024,
    'f',
  ],
  [
    'a size of letters in an extended header',
    Buffer.concat([pax([['size', '1e3']]), one({ name: 'f' })]),
    /^"size" in its extended header is no number$/,
    1024,
    'f',
  ],
  [
    'a time of letters',
    Buffer.concat([pax([['mtime', 'now']]), one({ name: 'f' })]),
    /^"mtime" in its extended header is no time$/,
    1024,
    'f',
  ],
  [
    'an attribute without a name',
    Buffer.concat([pax([['SCHILY.xattr.', 'x']]), one({ name: 'f' })]),
    /^it has an extended attribute without a name$/,
    1024,
    'f',
  ],
  [
    'fragments out of order',
    sparse([['GNU.sparse.map', '10,1,5,2']]),
    /^its sparse map is out of order$/,
    1024,
    'holes',
  ],
  [
    'fragments that overlap',
    sparse([['GNU.sparse.map', '0,2,1,1']]),
    /^its sparse map is out of order$/,
    1024,
    'holes',
  ],
  [
    'fragments beyond the end',
    sparse([['GNU.sparse.map', '99,3']]),
    /^its sparse map goes beyond its size$/,
    1024,
    'holes',
  ],
  [
    'fragments of another count',
    sparse([['GNU.sparse.map', '0,2']]),
    /^its sparse map counts 2 bytes, and it has 3$/,
    1024,
    'holes',
  ],
  [
    'half a fragment',
    sparse([['GNU.sparse.map', '0,3,7']]),
    /^its sparse map has half a fragment$/,
    1024,
    'holes',
  ],
  [
    'a map of letters',
    sparse([['GNU.sparse.map', '0,c']]),
    /^its sparse map has what is no number$/,
    1024,
    'holes',
  ],
  [
    'a map without end',
    Buffer.concat([
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.realsize', '9'],
      ]),
      one({ name: 'holes', content: `200\n${'1\n'.repeat(254)}` }),
    ]),
    /^its sparse map goes beyond its content$/,
    1536,
    'holes',
  ],
  [
    'a map of another version',
    Buffer.concat([
      pax([
        ['GNU.sparse.major', '2'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.realsize', '9'],
      ]),
      one({ name: 'holes' }),
    ]),
    /^its sparse map is of an unknown version$/,
    1024,
    'holes',
  ],
  [
    'a count of billions',
    Buffer.concat([
      pax([
        ['GNU.sparse.major', '1'],
        ['GNU.sparse.minor', '0'],
        ['GNU.sparse.realsize', '9'],
      ]),
      one({ name: 'holes', content: '4000000000\n' + '0\n'.repeat(300) }),
    ]),
    /^its sparse map is too long$/,
    1536,
    'holes',
  ],
];

for (const [name, archive, detail, offset, entry] of BAD)
  void test(`refused: ${name}`, async () => {
    for (const chunk of [65536, 100])
      await assert.rejects(readAll(archive, chunk), (error: unknown) => {
        assert.ok(error instanceof TarError, String(error));
        assert.match(error.detail, detail);
        assert.equal(error.offset, offset);
        assert.equal(error.entry && Buffer.from(error.entry).toString('latin1'), entry);
        return true;
      });
  });

void test('a reader that gives up closes its source', async () => {
  let isClosed = false;
  async function* source(): AsyncGenerator<Uint8Array, void> {
    try {
      yield* chunked(Buffer.concat([member({}), Buffer.alloc(512, 'x'), END]), 512);
    } finally {
      isClosed = true;
    }
  }
  const { readTar } = await import('../../../../src/oci/tar/reader.ts');
  await assert.rejects(async () => {
    for await (const { name } of readTar(source())) assert.ok(name.length > 0);
  }, TarError);
  assert.ok(isClosed);
});

void test('damage of any kind ends in entries or a TarError, in little memory and time', async () => {
  const archive = Buffer.concat([
    pax([
      ['path', 'p'.repeat(200)],
      ['size', '5000'],
      ['SCHILY.acl.access', 'user::rw-,user:1:r--,group::r--,mask::r--,other::r--'],
    ]),
    member({ content: Buffer.alloc(5000, 'x') }),
    member({ name: '././@LongLink', type: 'L', content: `${'l'.repeat(700)}\0`, magic: GNU }),
    member({
      magic: GNU,
      type: 'S',
      at: { 386: '00000000000\x0000000000003\0', 482: Buffer.from([1]), 483: '00000001000\0' },
      content: Buffer.concat([Buffer.alloc(512), Buffer.from('abc')]),
      size: 3,
    }),
    pax([
      ['GNU.sparse.map', '0,3'],
      ['GNU.sparse.size', '100'],
    ]),
    member({ content: 'abc' }),
    paxData([]),
    member({ type: '2', link: 'x', magic: USTAR }),
    END,
  ]);
  const random = mulberry(20_241);
  for (let round = 0; round < rounds(400, 20_000); round++) {
    const damaged = Buffer.from(archive);
    for (let count = 1 + Math.floor(random() * 4); count > 0; count--) {
      const at = Math.floor(random() * damaged.length);
      damaged[at] = random() < 0.3 ? 0x30 + Math.floor(random() * 10) : Math.floor(random() * 256);
      // Else nearly everything would end at a checksum.
      const block = at - (at % 512);
      if (random() < 0.8) mendChecksum(damaged, block);
    }
    const cut =
      random() < 0.2 ? damaged.subarray(0, Math.floor(random() * damaged.length)) : damaged;
    await sizesOf(cut).catch((error: unknown) => {
      assert.ok(error instanceof TarError, String(error));
    });
  }
});

/** Reads as far as a file of a few megabytes goes: sparse ones may be of any size. */
async function sizesOf(archive: Buffer): Promise<void> {
  const { readTar } = await import('../../../../src/oci/tar/reader.ts');
  for await (const { content } of readTar(chunked(archive, 1000))) {
    if (content instanceof Uint8Array) continue;
    let length = 0;
    for await (const piece of content) if ((length += piece.length) > 4_000_000) break;
  }
}

function mendChecksum(bytes: Buffer, block: number): void {
  const header = bytes.subarray(block, block + 512);
  header.fill(' ', 148, 156);
  const sum = header.reduce((before, byte) => before + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

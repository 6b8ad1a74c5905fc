import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Crc64 } from '../../../src/data-root/crc64.ts';
import { TarSplit } from '../../../src/data-root/tar-split.ts';
import { LayerError } from '../../../src/oci/layer/layer-entry.ts';
import { sampleArchive } from './tar-split-sample.ts';

interface Line {
  readonly type: 1 | 2;
  readonly name?: string;
  readonly name_raw?: string;
  readonly size?: number;
  readonly payload: string | null;
  readonly position: number;
}

function linesOf(packed: Uint8Array): Line[] {
  const text = gunzipSync(packed).toString('utf8');
  assert.ok(text === '' || text.endsWith('\n'));
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

interface Member {
  readonly name: Buffer;
  /** Header, extended headers and whatever else is in front of the content. */
  readonly before: Buffer;
  readonly content: Buffer;
}

/** Of archives that are right, ours in the tests. */
function membersOf(archive: Buffer): { members: Member[]; rest: Buffer } {
  const members: Member[] = [];
  let [from, at] = [0, 0];
  let longName: Buffer | undefined;
  while (archive.subarray(at, at + 512).some((byte) => byte !== 0)) {
    const header = archive.subarray(at, at + 512);
    const text = (start: number, length: number): Buffer => {
      const field = header.subarray(start, start + length);
      const end = field.indexOf(0);
      return end < 0 ? field : field.subarray(0, end);
    };
    const size = parseInt(text(124, 12).toString('latin1'), 8);
    const content = archive.subarray(at + 512, at + 512 + size);
    at += 512;
    if (text(156, 1).toString() === 'x') {
      const path = /\d+ path=([^\n]*)\n/.exec(content.toString('latin1'));
      if (path !== null) longName = Buffer.from(path[1] ?? '', 'latin1');
      at += Math.ceil(size / 512) * 512;
      continue;
    }
    const prefix = text(345, 155);
    const short = Buffer.concat([prefix, Buffer.from(prefix.length > 0 ? '/' : ''), text(0, 100)]);
    members.push({ name: longName ?? short, before: archive.subarray(from, at), content });
    longName = undefined;
    from = at + size;
    at += Math.ceil(size / 512) * 512;
  }
  return { members, rest: archive.subarray(from) };
}

function pieces(bytes: Uint8Array, length: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
    bytes.subarray(i * length, (i + 1) * length),
  );
}

function split(archive: Buffer, pieceLength = 65_536): Buffer {
  const { members, rest } = membersOf(archive);
  const record = new TarSplit();
  for (const { name, before, content } of members) {
    for (const piece of pieces(before, pieceLength)) record.segment(piece);
    record.file(name, content.length);
    for (const piece of pieces(content, pieceLength)) record.payload(piece);
  }
  for (const piece of pieces(rest, pieceLength)) record.segment(piece);
  return record.finish();
}

/** The archive again, as an engine puts it together of the record and the files. */
function join(lines: readonly Line[], contents: readonly Buffer[]): Buffer {
  const files = [...contents];
  return Buffer.concat(
    lines.map((line) =>
      line.type === 2
        ? Buffer.from(line.payload ?? '', 'base64')
        : (files.shift() ?? Buffer.alloc(0)),
    ),
  );
}

describe('TarSplit', () => {
  it('says of every member what dockerd said', async () => {
    const archive = await sampleArchive();
    const theirs = gunzipSync(
      readFileSync(new URL('fixtures/tar-split.json.gz', import.meta.url)),
    ).toString('utf8');
    const ours = gunzipSync(split(archive)).toString('utf8');
    // Up to the end of the last member line by line; how the rest is cut into pieces is nobody's business.
    const upToRest = (text: string): string[] => text.split('\n').slice(0, 18);
    assert.deepEqual(upToRest(ours), upToRest(theirs));
    assert.match(ours, /"name_raw":"6V5eXl8="/);
    assert.match(ours, /\\u003cscript\\u003e\\u0026ümläut\\u2028/);
  });

  it('holds the archive, whatever pieces it came in', async () => {
    const archive = await sampleArchive();
    const contents = membersOf(archive).members.map(({ content }) => content);
    const first = split(archive);
    assert.ok(join(linesOf(first), contents).equals(archive));
    for (const length of [512, 1000, 4096])
      assert.deepEqual(split(archive, length), first, `pieces of ${length}`);
    assert.ok(join(linesOf(split(archive, 1)), contents).equals(archive));
    linesOf(first).forEach(({ position }, i) => {
      assert.equal(position, i);
    });
  });

  it('packs long records, and the same bytes each time', () => {
    const make = (): Buffer => {
      const record = new TarSplit();
      for (let i = 0; i < 5000; i++) {
        record.segment(Buffer.alloc(512, i % 7 === 0 ? `${i}` : 0));
        record.file(Buffer.from(`directory/file-${i}`), 3);
        record.payload(Buffer.from(`${i % 10}ab`));
      }
      return record.finish();
    };
    const packed = make();
    const lines = linesOf(packed);
    assert.equal(lines.length, 10_000);
    assert.equal(lines[9999]?.name, 'directory/file-4999');
    assert.ok(packed.length < 400_000, `${packed.length} bytes`);
    assert.deepEqual(make(), packed);
    assert.equal(packed.subarray(0, 10).toString('hex'), '1f8b0800000000000003');
  });

  it('writes an empty record of nothing', () => {
    assert.deepEqual(linesOf(new TarSplit().finish()), []);
  });

  it('refuses a name that is there twice, however it is written', () => {
    const record = new TarSplit();
    for (const name of ['a', 'd/', '/a', '../a', '/', '.', 'd/\xe9'])
      record.file(Buffer.from(name, 'latin1'), 0);
    for (const name of ['a', './a', 'd', 'd//', 'd/../a', 'x/../../a', '//', './', '', 'd/\xe9/'])
      assert.throws(
        () => {
          record.file(Buffer.from(name, 'latin1'), 0);
        },
        LayerError,
        name,
      );
    record.file(Buffer.from('d/\xe8', 'latin1'), 0);
  });

  it('takes no content without a member', () => {
    assert.throws(() => {
      new TarSplit().payload(Buffer.from('x'));
    }, /content of no member/);
  });
});

describe('Crc64', () => {
  const sum = (...parts: readonly Uint8Array[]): string => {
    const crc = new Crc64();
    for (const part of parts) crc.update(part);
    return crc.digest().toString('hex');
  };

  it('knows the check value of CRC-64/GO-ISO', () => {
    assert.equal(sum(Buffer.from('123456789')), 'b90956c775a41001');
    assert.equal(sum(), '0000000000000000');
  });

  it('is what the definition says, bit by bit, in pieces too', () => {
    const slow = (bytes: Uint8Array): string => {
      const all = 2n ** 64n - 1n;
      let crc = all;
      for (const byte of bytes) {
        crc ^= BigInt(byte);
        for (let bit = 0; bit < 8; bit++)
          crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0xd800000000000000n : crc >> 1n;
      }
      return (crc ^ all).toString(16).padStart(16, '0');
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(40), (bytes, at) => {
        assert.equal(sum(bytes), slow(bytes));
        assert.equal(sum(bytes.subarray(0, at), bytes.subarray(at)), slow(bytes));
      }),
    );
  });
});

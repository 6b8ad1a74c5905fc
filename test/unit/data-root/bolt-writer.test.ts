import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BoltBucket } from '../../../src/data-root/bolt.ts';
import { openBolt } from '../../../src/data-root/bolt.ts';
import type { BoltSettings, BoltTree, BoltTreeEntry } from '../../../src/data-root/bolt-writer.ts';
import { writeBolt } from '../../../src/data-root/bolt-writer.ts';
import { rounds } from '../../rig/skip.ts';

/** A bucket in a form in which two are compared: keys and values in latin1. */
interface Plain {
  readonly sequence: bigint;
  readonly entries: readonly (readonly [string, string | Plain])[];
}

function read(bytes: Uint8Array): Plain {
  const opened = openBolt(bytes);
  assert.ok(opened.ok, opened.ok ? '' : opened.failure.detail);
  return plainOfBucket(opened.value);
}

function plainOfBucket(bucket: BoltBucket): Plain {
  return {
    sequence: bucket.sequence,
    entries: bucket
      .entries()
      .map((entry) => [
        entry.key.toString('latin1'),
        entry.kind === 'value' ? entry.value.toString('latin1') : plainOfBucket(entry.bucket),
      ]),
  };
}

function plainOfTree(tree: BoltTree): Plain {
  const entries = tree.entries.map(([key, item]): [string, string | Plain] => [
    Buffer.from(key).toString('latin1'),
    typeof item === 'string' || item instanceof Uint8Array
      ? Buffer.from(item).toString('latin1')
      : plainOfTree(item),
  ]);
  // In latin1 a character is a byte, so this is the order of bytes.
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return { sequence: BigInt(tree.sequence ?? 0), entries };
}

function numbered(count: number, item: (i: number) => BoltTreeEntry[1]): BoltTreeEntry[] {
  return Array.from({ length: count }, (_, i) => [`key-${i}`, item(i)]);
}

const bytes = (min: number, max: number): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    { weight: 9, arbitrary: fc.uint8Array({ minLength: min, maxLength: Math.min(max, 60) }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 8 }), fc.integer({ min: 61, max }))
        .map(([pattern, length]) => Buffer.alloc(length, pattern)),
    },
  );

const { tree } = fc.letrec<{ tree: BoltTree; item: BoltTreeEntry[1] }>((tie) => ({
  tree: fc.record({
    sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    entries: fc.uniqueArray(fc.tuple(bytes(1, 9000), tie('item')), {
      maxLength: 40,
      selector: ([key]) => Buffer.from(key).toString('latin1'),
    }),
  }),
  item: fc.oneof({ maxDepth: 4 }, bytes(0, 30_000), tie('tree')),
}));

const settings = fc.record({
  pageSize: fc.constantFrom(1024, 4096, 65536),
  fill: fc.constantFrom(0.1, 0.5, 1),
});

describe('writeBolt', () => {
  it('writes what the reader gives back, at every page size and fill', () => {
    fc.assert(
      fc.property(tree, settings, (written, chosen) => {
        assert.deepEqual(read(writeBolt(written, chosen)), plainOfTree(written));
      }),
      { numRuns: rounds(150, 3000) },
    );
  });

  it('writes the same bytes in whatever order entries come', () => {
    const shuffle = (part: BoltTree): BoltTree => ({
      ...part,
      entries: [...part.entries]
        .reverse()
        .map(([key, item]) => [
          key,
          typeof item === 'string' || item instanceof Uint8Array ? item : shuffle(item),
        ]),
    });
    fc.assert(
      fc.property(tree, settings, (written, chosen) => {
        assert.deepEqual(writeBolt(shuffle(written), chosen), writeBolt(written, chosen));
      }),
      { numRuns: rounds(30, 500) },
    );
  });

  it('writes every count of entries from none to those of three levels of pages', () => {
    const chosen: BoltSettings = { pageSize: 1024, fill: 0.1 };
    for (const count of [...Array(30).keys(), 100, 999, 1000, 1001]) {
      const written = { entries: [['b', { entries: numbered(count, (i) => `${i}`) }]] } as const;
      assert.deepEqual(read(writeBolt(written, chosen)), plainOfTree(written), `${count}`);
    }
  });

  it('writes 20,000 buckets in a bucket, small and large', () => {
    const written: BoltTree = {
      entries: [
        [
          'v1',
          {
            sequence: 20_000,
            entries: numbered(20_000, (i) => ({
              sequence: i,
              entries: numbered(i % 1000 === 0 ? 200 : i % 3, (n) => `value ${n}`),
            })),
          },
        ],
      ],
    };
    const database = writeBolt(written);
    assert.ok(database.length < 6_000_000, `${database.length} bytes`);
    assert.deepEqual(read(database), plainOfTree(written));
  });

  it('writes the longest keys, and values of many pages', () => {
    const written: BoltTree = {
      entries: [
        ...[...Array(20).keys()].map((i): BoltTreeEntry => [Buffer.alloc(32768 - i, 0xff), `${i}`]),
        ['large', Buffer.alloc(5_000_000, 'x')],
        ['empty', ''],
        ['bucket', { entries: [] }],
      ],
    };
    assert.deepEqual(read(writeBolt(written)), plainOfTree(written));
  });

  it('keeps a bucket in its parent’s page up to a quarter of a page', () => {
    const pagesOf = (length: number): number =>
      writeBolt({ entries: [['b', { entries: [['k', Buffer.alloc(length)]] }]] }).length / 4096;
    // The header of a page, an element, the key and the value.
    assert.equal(pagesOf(1024 - 16 - 16 - 1), 4);
    assert.equal(pagesOf(1024 - 16 - 16), 5);
  });

  it('throws on keys that bbolt refuses', () => {
    assert.throws(() => writeBolt({ entries: [['', 'x']] }), /key of 0 bytes/);
    assert.throws(() => writeBolt({ entries: [[Buffer.alloc(32769), 'x']] }), /32769 bytes/);
    const twice: BoltTreeEntry[] = [
      ['a', 'x'],
      [Buffer.from('a'), { entries: [] }],
    ];
    assert.throws(() => writeBolt({ entries: twice }), /there twice/);
  });
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import type { BoltBucket } from '../../../src/data-root/bolt.ts';
import { fnv1a, openBolt } from '../../../src/data-root/bolt.ts';
import type { Tree } from './write-bolt.ts';
import { sealMeta, writeBolt } from './write-bolt.ts';

function fixture(name: string): Buffer {
  return gunzipSync(readFileSync(new URL(`fixtures/${name}.gz`, import.meta.url)));
}

function open(bytes: Uint8Array): BoltBucket {
  const opened = openBolt(bytes);
  assert.ok(opened.ok, opened.ok ? '' : opened.failure.detail);
  return opened.value;
}

function damageOf(bytes: Uint8Array): string {
  const opened = openBolt(bytes);
  assert.ok(!opened.ok, 'was opened');
  assert.equal(opened.failure.reason, 'bolt-corrupt');
  return opened.failure.detail;
}

function toTree(bucket: BoltBucket): Tree {
  return Object.fromEntries(
    bucket
      .entries()
      .map((entry) => [
        entry.key.toString('utf8'),
        entry.kind === 'value' ? entry.value.toString('latin1') : toTree(entry.bucket),
      ]),
  );
}

describe('databases that containerd wrote', () => {
  it('reads nested and inline buckets', () => {
    const v1 = open(fixture('meta.db')).bucket('v1');
    assert.ok(v1 !== undefined);
    assert.deepEqual(v1.get('version'), Buffer.from([8]));
    const image = v1.bucket('moby')?.bucket('images')?.bucket('docker.io/library/hello:1');
    assert.ok(image !== undefined);
    assert.equal(
      image.bucket('target')?.get('mediatype')?.toString(),
      'application/vnd.docker.distribution.manifest.v2+json',
    );
    assert.equal(image.get('target'), undefined);
    assert.equal(image.bucket('createdat'), undefined);
    assert.equal(image.get('nothing'), undefined);
    assert.equal(v1.bucket('nothing'), undefined);
  });

  it('reads branch pages', () => {
    const images = open(fixture('many-names.db')).bucket('v1')?.bucket('moby')?.bucket('images');
    const names = images?.entries().map((entry) => entry.key.toString());
    assert.deepEqual(
      names,
      Array.from({ length: 150 }, (_, i) => `example.org/many/image-${`${i}`.padStart(3, '0')}:1`),
    );
    assert.ok(images?.bucket('example.org/many/image-149:1')?.bucket('target'));
  });

  it('reads sequences', () => {
    const snapshots = open(fixture('metadata.db')).bucket('v1')?.bucket('snapshots');
    assert.ok((snapshots?.sequence ?? 0n) >= 5n);
  });

  it('finds a truncation anywhere', () => {
    const bytes = fixture('metadata.db');
    open(bytes);
    const used = Number(bytes.readBigUInt64LE(56)) * 4096;
    for (let length = 0; length < used; length += 997) damageOf(bytes.subarray(0, length));
  });

  it('never crashes nor hangs on changed bytes, and never invents a shape', () => {
    for (const name of ['meta.db', 'metadata.db', 'many-names.db']) {
      const bytes = fixture(name);
      fc.assert(
        fc.property(
          fc.array(
            fc.record({ at: fc.nat(bytes.length - 1), byte: fc.integer({ min: 0, max: 255 }) }),
            { minLength: 1, maxLength: 8 },
          ),
          (changes) => {
            const changed = Buffer.from(bytes);
            for (const { at, byte } of changes) changed[at] = byte;
            const opened = openBolt(changed);
            if (!opened.ok) assert.equal(opened.failure.reason, 'bolt-corrupt');
          },
        ),
        { numRuns: 150 },
      );
    }
  });

  it('never crashes nor hangs on changed page headers and tables', () => {
    const bytes = fixture('many-names.db');
    const pages = bytes.length / 4096;
    fc.assert(
      fc.property(
        fc.nat(pages - 3),
        fc.nat(200),
        fc.constantFrom(0n, 1n, 2n, 3n, 100n, 0xffffn, 0xffff_ffffn, 0xffff_ffff_ffff_ffffn),
        (page, at, value) => {
          const changed = Buffer.from(bytes);
          changed.writeBigUInt64LE(value, (page + 2) * 4096 + at);
          const opened = openBolt(changed);
          if (!opened.ok) assert.equal(opened.failure.reason, 'bolt-corrupt');
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('databases of the writer in the tests', () => {
  const text = fc.string({ maxLength: 30 });
  const { tree } = fc.letrec<{ tree: Tree; item: Tree | string }>((tie) => ({
    tree: fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), tie('item'), {
      maxKeys: 12,
      noNullPrototype: true,
    }),
    item: fc.oneof<[fc.Arbitrary<string>, fc.Arbitrary<Tree>]>({ maxDepth: 4 }, text, tie('tree')),
  }));

  it('gives back what was written, at every page size and fan-out', () => {
    fc.assert(
      fc.property(
        tree,
        fc.constantFrom(1024, 4096, 65536),
        fc.integer({ min: 2, max: 5 }),
        (written, pageSize, perPage) => {
          const read = open(writeBolt(written, { pageSize, perPage, sequence: 7n }));
          assert.equal(read.sequence, 7n);
          const asBytes = (part: Tree): Tree =>
            Object.fromEntries(
              Object.entries(part).map(([key, item]) => [
                key,
                typeof item === 'string'
                  ? Buffer.from(item).toString('latin1')
                  : asBytes(item as Tree),
              ]),
            );
          assert.deepEqual(toTree(read), asBytes(written));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('reads values that need overflow pages', () => {
    const big = Buffer.alloc(100_000, 'x');
    assert.ok(
      open(writeBolt({ a: 'b', big, z: 'y' }))
        .get('big')
        ?.equals(big),
    );
  });

  const many: Tree = Object.fromEntries(
    Array.from({ length: 30 }, (_, i) => [`key-${`${i}`.padStart(2, '0')}`, `${i}`]),
  );

  it('takes the valid meta page with the higher transaction number', () => {
    const bytes = writeBolt({ old: '1' });
    const other = Buffer.from(bytes);
    // Meta 1 becomes newer and points at an empty database of its own: the freelist's page made a leaf.
    const meta = other.subarray(4096, 8192);
    meta.writeBigUInt64LE(2n, 32);
    meta.writeBigUInt64LE(9n, 64);
    meta.writeBigUInt64LE(5n, 40);
    sealMeta(meta);
    assert.equal(open(other).sequence, 5n);
    meta.writeBigUInt64LE(0n, 72);
    assert.equal(open(other).sequence, 0n);
    const first = Buffer.from(bytes);
    first.fill(0, 0, 4096);
    assert.equal(open(first).get('old')?.toString(), '1');
    first.fill(0, 4096, 8192);
    assert.match(damageOf(first), /no valid meta page/);
  });

  it('ends on cycles, shared pages, disorder and pointers outside', () => {
    const bytes = writeBolt(many, { perPage: 4 });
    const root = Number(bytes.readBigUInt64LE(32));
    const damaged = (change: (copy: Buffer) => void): string => {
      const copy = Buffer.from(bytes);
      change(copy);
      return damageOf(copy);
    };
    const page = root * 4096;
    assert.match(
      damaged((copy) => copy.writeBigUInt64LE(BigInt(root), page + 24)),
      /used twice/,
    );
    assert.match(
      damaged((copy) => copy.writeBigUInt64LE(copy.readBigUInt64LE(page + 24), page + 40)),
      /used twice|out of order/,
    );
    assert.match(
      damaged((copy) => copy.writeBigUInt64LE(1_000_000n, page + 24)),
      /outside the database/,
    );
    assert.match(
      damaged((copy) => copy.writeUInt32LE(0xffff_ffff, page + 16)),
      /points outside/,
    );
    assert.match(
      damaged((copy) => copy.writeUInt32LE(5, page + 12)),
      /past the end/,
    );
    assert.match(
      damaged((copy) => copy.writeUInt16LE(0, page + 10)),
      /branch to nowhere/,
    );
    assert.match(
      damaged((copy) => copy.writeUInt16LE(0x20, page + 8)),
      /neither branch nor leaf/,
    );
    assert.match(
      damaged((copy) => copy.write('zzz', 2 * 4096 + copy.indexOf('key-01', 2 * 4096) - 2 * 4096)),
      /out of order/,
    );
    const freelist = Number(bytes.readBigUInt64LE(48)) * 4096;
    assert.match(
      damaged((copy) => {
        copy.writeUInt16LE(1, freelist + 10);
        copy.writeBigUInt64LE(BigInt(root), freelist + 16);
      }),
      /listed as free/,
    );
  });

  it('refuses buckets in each other without end', () => {
    const nest = (depth: number): Tree => (depth === 0 ? { a: 'b' } : { n: nest(depth - 1) });
    open(writeBolt(nest(40)));
    assert.match(damageOf(writeBolt(nest(100))), /more than 64 buckets/);
  });

  it('knows FNV-1a', () => {
    assert.equal(fnv1a(Buffer.from('')), 0xcbf29ce484222325n);
    assert.equal(fnv1a(Buffer.from('foobar')), 0x85944171f73967e8n);
  });

  it('refuses what is no database', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(100_000), Buffer.from('text'.repeat(9999))])
      assert.match(damageOf(bytes), /no valid meta page/);
  });
});

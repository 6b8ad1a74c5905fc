import fc from 'fast-check';
import type { Attributes, Content, Entry, Timestamp } from '../../../../src/ext4/entry.ts';
import type { ImageOptions } from '../../../../src/ext4/image-writer.ts';
import { latin1, type ExpectedTree } from './expected-tree.ts';

/** One thing to be done to a tree, whatever is in it: which directory and which other name it means are numbers. */
export interface Step {
  readonly kind: Entry['type'];
  readonly parent: number;
  readonly other: number;
  readonly name: Uint8Array;
  /** Takes the place of a name that there is. */
  readonly replaces: boolean;
  readonly attributes: Attributes;
  readonly content: Buffer;
  /** Lengths of the pieces in which the content comes; none for all at once. */
  readonly pieces: readonly number[];
  readonly target: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

const KINDS: readonly Entry['type'][] = [
  ...(['directory', 'directory', 'file', 'file', 'file', 'symlink', 'hard link'] as const),
  ...(['character device', 'block device', 'fifo', 'socket'] as const),
];
const SIZES = [0, 1, 2, 59, 60, 1023, 1024, 1025, 2047, 2048, 4095, 4096, 4097, 8192, 65_537];
const LINKS = [1, 2, 58, 59, 60, 61, 127, 128, 1022, 1023];

const name = fc
  .oneof(
    fc.uint8Array({ minLength: 1, maxLength: 12 }),
    fc
      .constantFrom('a', 'b', 'lost+found', '.wh.a', 'ä', '\xff\xfe')
      .map((text) => Buffer.from(text)),
    fc.integer({ min: 250, max: 255 }).map((length) => Buffer.alloc(length, 'n')),
  )
  .map((bytes) => bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x78 : byte)))
  .filter((bytes) => !['.', '..'].includes(latin1(bytes)));

function time(old: boolean): fc.Arbitrary<Timestamp> {
  const latest = old ? 2 ** 31 - 1 : 2 ** 34 - 2 ** 31 - 1;
  const seconds = fc
    .oneof(
      fc.constantFrom(0, -1, -(2 ** 31), 2 ** 31 - 1, latest),
      fc.constantFrom(...(old ? [1] : [2 ** 31, 5 * 2 ** 31 - 1, 6 * 2 ** 31])),
      fc.integer({ min: -(2 ** 31), max: latest }),
    )
    // Those between are refused, as e2fsck would change them.
    .filter((time) => time < 5 * 2 ** 31 || time >= 6 * 2 ** 31);
  const nanoseconds = old ? fc.constant(0) : fc.integer({ min: 0, max: 999_999_999 });
  return fc.record({ seconds, nanoseconds }, { noNullPrototype: true });
}

const xattrs = fc
  .array(
    fc.tuple(
      fc.constantFrom('user.', 'trusted.', 'security.', 'system.'),
      fc.oneof(
        fc.constantFrom('a', 'capability', 'overlay.opaque', 'ä\xff'),
        fc.integer({ min: 1, max: 60 }).map((length) => 'x'.repeat(length)),
      ),
      fc.oneof(
        fc.uint8Array({ maxLength: 20 }),
        fc.integer({ min: 0, max: 150 }).map((length) => new Uint8Array(length).fill(length)),
      ),
    ),
    // What no block of 1 KiB may hold is another test's subject.
    { maxLength: 3 },
  )
  .map((list) => new Map(list.map(([prefix, rest, value]) => [prefix + rest, value] as const)));

/** `system.posix_acl_access`, as getxattr gives it. */
const acl = fc
  .array(fc.tuple(fc.constantFrom(2, 8), fc.integer({ min: 0, max: 7 }), fc.nat()), {
    maxLength: 4,
  })
  .map((named) => {
    const all = [[1, 6, 0xffffffff], ...named, [4, 4, 0xffffffff], [0x10, 7, 0xffffffff]];
    const list = Buffer.alloc(4 + all.length * 8);
    list.writeUInt32LE(2, 0);
    all.forEach(([tag = 0, permissions = 0, id = 0], i) => {
      list.writeUInt16LE(tag, 4 + i * 8);
      list.writeUInt16LE(permissions, 6 + i * 8);
      list.writeUInt32LE(id, 8 + i * 8);
    });
    return list;
  });

function attributes(old: boolean): fc.Arbitrary<Attributes> {
  const id = fc.oneof(fc.constantFrom(0, 1000, 65535, 65536, 2 ** 32 - 1), fc.nat());
  return fc
    .record(
      {
        mode: fc.integer({ min: 0, max: 0o7777 }),
        uid: id,
        gid: id,
        mtime: time(old),
        atime: time(old),
        ctime: time(old),
        crtime: time(old),
        xattrs,
        acl,
      },
      { requiredKeys: ['mode', 'uid', 'gid', 'mtime'], noNullPrototype: true },
    )
    .map(({ acl: list, ...rest }) => {
      const { xattrs: more, ...plain } = rest;
      const all = new Map<string, Uint8Array>(more ?? []);
      if (list !== undefined) all.set('system.posix_acl_access', list);
      return { ...plain, ...(all.size === 0 ? {} : { xattrs: all }) };
    });
}

/** Runs of bytes, of which some are zeros longer than a block. */
const content = fc
  .array(
    fc.tuple(
      fc.oneof(fc.constantFrom(...SIZES), fc.integer({ min: 0, max: 20_000 })),
      fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 255 })),
    ),
    { maxLength: 6 },
  )
  .map((runs) => Buffer.concat(runs.map(([length, value]) => Buffer.alloc(length, value))));

export function arbitrarySteps(old: boolean): fc.Arbitrary<Step[]> {
  return fc.array(
    fc.record({
      kind: fc.constantFrom(...KINDS),
      parent: fc.nat(),
      other: fc.nat(),
      name,
      replaces: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
      attributes: attributes(old),
      content,
      pieces: fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 5 }),
      target: fc
        .oneof(fc.constantFrom(...LINKS), fc.integer({ min: 1, max: 1023 }))
        .map((length) => new Uint8Array(length).fill(0x74)),
      major: fc.constantFrom(0, 1, 8, 255, 256, 4095),
      minor: fc.constantFrom(0, 1, 255, 256, 2 ** 20 - 1),
    }),
    { maxLength: 60 },
  );
}

export const arbitraryOptions: fc.Arbitrary<Partial<ImageOptions>> = fc.record(
  {
    blockSize: fc.constantFrom<1024 | 2048 | 4096>(1024, 2048, 4096),
    inodeSize: fc.constantFrom<128 | 256 | 512 | 1024>(128, 256, 256, 512, 1024),
    features: fc.constantFrom('default', '5.15', '6.1', '6.12'),
    size: fc.constantFrom<number | 'auto'>('auto', 32 * 2 ** 20, 200_000_001),
    headroom: fc.oneof(
      fc.record({ bytes: fc.integer({ min: 0, max: 40_000_000 }) }, { noNullPrototype: true }),
      fc.record({ ratio: fc.constantFrom(0.1, 2) }, { noNullPrototype: true }),
    ),
    inodes: fc.integer({ min: 0, max: 5000 }),
    reserved: fc.constantFrom(0, 0.01, 0.05),
    journal: fc.constantFrom(0, 4 * 2 ** 20),
    growTo: fc.constantFrom(0, 10 ** 6, 2 ** 34),
    label: fc.constantFrom('data', 'sixteen bytes ok'),
  },
  { requiredKeys: [], noNullPrototype: true },
);

/** The entry that a step makes of a tree, or none where it makes no sense there. */
export function entryOf(step: Step, tree: ExpectedTree): readonly [Entry, Buffer?] | undefined {
  const paths = tree.paths();
  const directories = paths.filter((path) => tree.typeAt(path) === 'directory');
  const parent = directories[step.parent % directories.length] ?? '';
  const other = paths[step.other % paths.length] ?? '';
  const fresh = parent === '' ? latin1(step.name) : `${parent}/${latin1(step.name)}`;
  const path = step.replaces ? other : fresh;
  const taken = tree.typeAt(path);
  const isLost = path === 'lost+found' || path === '';
  if (taken === 'directory' && step.kind !== 'directory' && (isLost || !tree.isEmpty(path)))
    return undefined;
  const at = { path: Buffer.from(path, 'latin1') };
  switch (step.kind) {
    case 'hard link':
      return tree.typeAt(other) === 'directory' || other.startsWith(`${path}/`)
        ? undefined
        : [{ type: 'hard link', ...at, target: Buffer.from(other, 'latin1') }];
    case 'file':
      return [{ type: 'file', ...at, ...step.attributes, size: step.content.length }, step.content];
    case 'symlink':
      return [{ type: 'symlink', ...at, ...step.attributes, target: step.target }];
    case 'character device':
    case 'block device':
      return [{ type: step.kind, ...at, ...step.attributes, major: step.major, minor: step.minor }];
    case 'directory':
    case 'fifo':
    case 'socket':
      return [{ type: step.kind, ...at, ...step.attributes }];
  }
}

/** As it would come from a stream that uses its buffer again. */
export function inPieces(content: Buffer, pieces: readonly number[]): Content {
  if (pieces.length === 0) return content;
  return (async function* () {
    await Promise.resolve();
    let at = 0;
    for (let i = 0; at < content.length; i += 1) {
      const length = pieces[i % pieces.length] ?? 1;
      const piece = Buffer.from(content.subarray(at, at + length));
      yield piece;
      piece.fill(0xee);
      at += length;
    }
  })();
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTar } from '../../../../src/oci/tar/reader.ts';
import type { TarMember } from '../../../../src/oci/tar/writer.ts';
import { paddingAfter, TAR_END, tarHeader } from '../../../../src/oci/tar/writer.ts';
import { chunked } from './blocks.ts';

const plain = { mode: 0o644, uid: 0, gid: 0, mtime: { seconds: 0, nanoseconds: 0 } };
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What the reader finds in what the writer wrote. */
const MEMBERS: readonly TarMember[] = [
  { ...plain, type: 'directory', name: bytes('d'), mode: 0o2775 },
  { ...plain, type: 'file', name: bytes('d/f'), size: 700, uid: 1000, gid: 2_097_151 },
  { ...plain, type: 'file', name: bytes(`d/${'l'.repeat(98)}`), size: 0 },
  { ...plain, type: 'file', name: bytes(`d/${'l'.repeat(99)}`), size: 1 },
  { ...plain, type: 'file', name: bytes(`d/\xff${'\xfe'.repeat(200)}`), size: 512 },
  { ...plain, type: 'symlink', name: bytes('s'), linkTarget: bytes('t'.repeat(4000)) },
  { ...plain, type: 'hard link', name: bytes('h'), linkTarget: bytes('d/f') },
  { ...plain, type: 'character device', name: bytes('c'), major: 4095, minor: 1_048_575 },
  { ...plain, type: 'fifo', name: bytes('p'), uid: 4_294_967_294, gid: 2_097_152 },
  { ...plain, type: 'file', name: bytes('t'), mtime: { seconds: 1_700_000_000, nanoseconds: 500 } },
  { ...plain, type: 'file', name: bytes('u'), mtime: { seconds: -2, nanoseconds: 500_000_000 } },
  { ...plain, type: 'file', name: bytes('v'), mtime: { seconds: -1, nanoseconds: 250_000_000 } },
  { ...plain, type: 'file', name: bytes('w'), mtime: { seconds: -7, nanoseconds: 0 } },
  {
    ...{ ...plain, type: 'file', name: bytes('x') },
    xattrs: new Map([
      ['user.a=b%', bytes('\0\xff\n')],
      ['trusted.overlay.opaque', bytes('y')],
    ]),
  },
];

void test('what is written is read again', async () => {
  const pieces = MEMBERS.flatMap((member) => {
    const { size = 0 } = member;
    return [tarHeader(member), Buffer.alloc(size, 1), paddingAfter(size)];
  });
  const archive = Buffer.concat([...pieces, TAR_END]);
  assert.equal(archive.length % 512, 0);
  const found: object[] = [];
  for await (const member of readTar(chunked(archive, 1000))) {
    const { type, name, linkTarget, mode, uid, gid, mtime, major, minor, size, xattrs } = member;
    found.push({
      ...{ type, mode, uid, gid, mtime, major, minor, size },
      name: Buffer.from(name).toString('latin1').replace(/\/$/, ''),
      linkTarget: Buffer.from(linkTarget).toString('latin1'),
      xattrs: [...xattrs].sort(),
    });
  }
  assert.deepEqual(
    found,
    MEMBERS.map(({ name, linkTarget = bytes(''), major = 0, minor = 0, size = 0, ...rest }) => ({
      ...rest,
      ...{ major, minor, size },
      name: Buffer.from(name).toString('latin1'),
      linkTarget: Buffer.from(linkTarget).toString('latin1'),
      xattrs: [...(rest.xattrs ?? [])].sort(),
    })),
  );
});

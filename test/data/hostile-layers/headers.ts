import { END, pax, paxData } from '../../unit/oci/tar/blocks.ts';
import type { HostileCase } from './case.ts';
import {
  base256,
  directory,
  extended,
  file,
  hardLink,
  hostile,
  packed,
  plain,
  special,
  symlink,
  THEN,
} from './case.ts';

/** Layers of these bytes, with nothing added. */
function raw(name: string, ...parts: readonly Buffer[]): HostileCase {
  return packed(name, plain(Buffer.concat(parts)));
}

function spoilt(block: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(block);
  change(copy);
  return copy;
}

const block = (text: string): Buffer => Buffer.concat([Buffer.from(text)], 512);

/** Sizes that lie, and archives that end too early or too late. */
export const SIZES: readonly HostileCase[] = [
  hostile('size-too-small', [file('a', 'x'.repeat(1500), { size: 600 }), file('next')]),
  hostile('size-too-large', [file('a', 'x', { size: 1024 }), file('swallowed'), file('next')]),
  raw('size-past-the-end', file('a', 'x', { size: 5000 }), END),
  raw('size-past-the-end-by-much', file('a', 'x', { size: 8 ** 11 - 1 }), END),
  hostile('size-in-base-256', [file('a', 'content', { size: base256(12, 7n) }), file('next')]),
  raw('size-in-base-256-past-all', file('a', 'x', { size: base256(12, 2n ** 63n - 1n) }), END),
  hostile('size-in-base-256-negative', [file('a', 'x', { size: base256(12, -1n) }), file('next')]),
  hostile('size-in-octal-negative', [file('a', '', { size: Buffer.from('-0000000001') })]),
  hostile('size-that-is-no-number', [file('a', '', { size: Buffer.from('zzz') })]),
  hostile('size-of-spaces', [file('a', '', { size: Buffer.from(' '.repeat(12)) }), file('next')]),
  hostile('size-in-a-record', [extended({ size: '7' }), file('a', 'content', { size: 0 })]),
  hostile('size-in-a-record-smaller', [
    extended({ size: '3' }),
    file('a', 'content'),
    file('next'),
  ]),
  hostile('size-in-a-record-negative', [extended({ size: '-1' }), file('a', 'content')]),
  hostile('directory-with-content', [special('5', 'a/', 'content'), file('next')]),
  hostile('directory-with-a-size-alone', [
    directory('a/', { size: 512 }),
    file('swallowed'),
    file('next'),
  ]),
  hostile('symlink-with-a-size-alone', [
    symlink('a', 'b', { size: 512 }),
    file('swallowed'),
    file('next'),
  ]),
  hostile('hard-link-with-a-size-alone', [
    file('a', 'x'),
    hardLink('b', 'a', { size: 512 }),
    file('swallowed'),
    file('next'),
  ]),
  raw('no-bytes'),
  raw('end-alone', END),
  raw('one-zero-block', Buffer.alloc(512)),
  raw('no-end', file('a'), file('b')),
  raw('half-an-end', file('a'), Buffer.alloc(512)),
  raw('zero-block-between', file('a'), Buffer.alloc(512), file('b'), END),
  raw('members-after-the-end', file('a'), END, file('b'), END),
  raw('garbage-after-the-end', file('a'), END, Buffer.from('garbage'.repeat(200))),
  raw('garbage-alone', Buffer.from('garbage'.repeat(200))),
  raw('garbage-of-few-bytes', Buffer.from('garbage')),
  raw('garbage-between', file('a'), block('garbage'), file('b'), END),
  raw('cut-off-in-a-header', file('a'), file('b').subarray(0, 300)),
  raw('cut-off-in-content', file('a', 'x'.repeat(2000)).subarray(0, 1500)),
  raw('cut-off-in-padding', file('a', 'x'.repeat(700)).subarray(0, 512 + 710)),
  raw('cut-off-in-a-record', extended({ path: 'x'.repeat(600) }).subarray(0, 700)),
  hostile('checksum-wrong', [spoilt(file('a'), (copy) => copy.write('b', 0)), file('next')]),
  hostile('checksum-signed', [
    file('\xff\xfe', 'x', {
      checksum: (_, signed) => `${signed.toString(8).padStart(6, '0')}\0 `,
    }),
  ]),
];

/** Extended headers, times and owners. */
export const RECORDS: readonly HostileCase[] = [
  hostile('record-of-a-wrong-length', [special('x', 'x', '99 path=a\n'), file('b')]),
  hostile('record-without-a-line-end', [special('x', 'x', '9 path=ab'), file('b')]),
  hostile('record-without-equals', [special('x', 'x', '8 patha\n'), file('b')]),
  hostile('record-twice', [
    pax([
      ['path', 'first'],
      ['path', 'second'],
    ]),
    file('b'),
  ]),
  hostile('record-of-an-empty-path', [extended({ path: '' }), file('b')]),
  hostile('record-of-an-empty-size', [extended({ size: '' }), file('b')]),
  hostile('record-without-a-member', [file('a'), extended({ path: 'b' })]),
  hostile('record-before-a-record', [extended({ path: 'a' }), extended({ uid: '7' }), file('b')]),
  hostile('record-of-no-bytes', [special('x', 'x', ''), file('b')]),
  hostile('record-for-all', [
    pax(
      [
        ['path', 'global'],
        ['uid', '5'],
        ['comment', 'x'],
      ],
      'g',
    ),
    file('a'),
    file('b'),
  ]),
  hostile('record-in-another-character-set', [
    extended({ hdrcharset: 'BINARY', path: Buffer.from('\xe9', 'latin1') }),
    file('b'),
  ]),
  hostile('record-very-long', [extended({ comment: 'x'.repeat(1_100_000) }), file('b')]),
  hostile('sparse-1.0', [
    extended({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'sparse',
      'GNU.sparse.realsize': '10000',
    }),
    file('GNUSparseFile.0/sparse', Buffer.concat([block('1\n9000\n5\n'), Buffer.from('hello')])),
    file('next'),
  ]),
  hostile('sparse-0.1', [
    extended({
      'GNU.sparse.size': '10000',
      'GNU.sparse.numblocks': '1',
      'GNU.sparse.name': 'sparse',
      'GNU.sparse.map': '9000,5',
    }),
    file('x', 'hello'),
    file('next'),
  ]),
  hostile('sparse-1.0-past-its-size', [
    extended({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'sparse',
      'GNU.sparse.realsize': '100',
    }),
    file('x', Buffer.concat([block('1\n9000\n5\n'), Buffer.from('hello')])),
  ]),
  hostile('sparse-of-gnu', [
    special('S', 'sparse', 'hello', {
      magic: 'ustar  \0',
      at: { 386: '00000021450\0', 398: '00000000005\0', 483: '00000023420\0' },
    }),
    file('next'),
  ]),
  hostile('time-before-1970', [file('a', 'x', { mtime: base256(12, -86_400n) })]),
  hostile('time-before-1901', [file('a', 'x', { mtime: base256(12, -3_000_000_000n) })]),
  hostile('time-after-2446', [file('a', 'x', { mtime: base256(12, 20_000_000_000n) })]),
  hostile('time-after-everything', [file('a', 'x', { mtime: base256(12, 2n ** 62n) })]),
  hostile('time-zero', [file('a', 'x', { mtime: 0 }), directory('d/', { mtime: 0 })]),
  hostile('time-with-a-fraction', [
    extended({ mtime: `${THEN}.123456789` }),
    file('a'),
    extended({ mtime: '-1.5' }),
    file('b'),
    extended({ mtime: `${THEN}.1234567891234` }),
    directory('d/'),
    extended({ mtime: `${THEN}.25` }),
    symlink('s', 'a'),
  ]),
  hostile('time-that-is-none', [extended({ mtime: 'soon' }), file('a')]),
  hostile('time-of-access-alone', [
    extended({ atime: '1500000000', ctime: '1400000000' }),
    file('a'),
  ]),
  hostile('directory-time-before-its-files', [
    directory('d/', { mtime: 1_500_000_000 }),
    file('d/a'),
    directory('d/e/', { mtime: 1_400_000_000 }),
    symlink('d/e/s', 'x'),
  ]),
  hostile('owner-in-base-256', [
    file('a', 'x', { uid: base256(8, 4_294_967_294n), at: { 116: base256(8, 3_000_000_000n) } }),
  ]),
  hostile('owner-of-all-bits', [file('a', 'x', { uid: base256(8, 4_294_967_295n) })]),
  hostile('owner-of-33-bits', [extended({ uid: '4294967296', gid: '4294967297' }), file('a')]),
  hostile('owner-negative', [file('a', 'x', { uid: base256(8, -2n) })]),
  hostile('owner-by-name', [
    file('a', 'x', { uid: 5, gid: 6, at: { 265: 'daemon', 297: 'games' } }),
  ]),
];

/** `CAP_NET_RAW`, effective: revision 2. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
/** Read for user 1000 besides owner, group and others. */
const ACL = Buffer.from(
  '0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000400ffffffff',
  'hex',
);

function attributed(name: string, key: string, value: string | Buffer): HostileCase {
  return hostile(`attribute-${name}`, [
    extended({ [`SCHILY.xattr.${key}`]: value }),
    file('a', 'x', { mode: '0000755' }),
    file('next'),
  ]);
}

/** Extended attributes. */
export const ATTRIBUTES: readonly HostileCase[] = [
  attributed('security.capability', 'security.capability', CAPABILITY),
  attributed('security.capability-damaged', 'security.capability', 'damaged'),
  attributed('security.other', 'security.stowage', 'x'),
  attributed('user', 'user.name', 'value'),
  attributed('user-empty', 'user.name', ''),
  attributed('user-binary', 'user.name', Buffer.from([0, 1, 255, 10])),
  attributed('user-with-equals', 'user.a%3Db', 'value'),
  attributed('trusted', 'trusted.name', 'value'),
  attributed('trusted.overlay.redirect', 'trusted.overlay.redirect', '/etc'),
  attributed('acl', 'system.posix_acl_access', ACL),
  attributed('acl-damaged', 'system.posix_acl_access', 'damaged'),
  attributed('of-no-namespace', 'name', 'value'),
  attributed('of-an-unknown-namespace', 'foo.bar', 'value'),
  attributed('without-a-name', '', 'value'),
  attributed('with-a-namespace-alone', 'user.', 'value'),
  attributed('with-a-name-of-255-bytes', `user.${'n'.repeat(250)}`, 'value'),
  attributed('with-a-name-of-256-bytes', `user.${'n'.repeat(251)}`, 'value'),
  attributed('of-5000-bytes', 'user.large', 'v'.repeat(5000)),
  attributed('of-70000-bytes', 'user.large', 'v'.repeat(70_000)),
  hostile('attribute-of-libarchive', [
    extended({ 'LIBARCHIVE.xattr.user.name': Buffer.from('value').toString('base64') }),
    file('a'),
  ]),
  hostile('attribute-acl-of-star', [
    extended({ 'SCHILY.acl.access': 'user::rwx,user:root:r--:0,group::r--,mask::r--,other::r--' }),
    file('a'),
  ]),
  hostile('attributes-of-a-symlink', [
    extended({ 'SCHILY.xattr.user.name': 'value' }),
    symlink('a', 'b'),
  ]),
  hostile('attributes-of-a-fifo', [
    extended({ 'SCHILY.xattr.user.name': 'value' }),
    special('6', 'a'),
  ]),
  hostile('attributes-of-a-directory', [
    extended({ 'SCHILY.xattr.user.name': 'value' }),
    directory('a/', { mode: '0000700', uid: 5 }),
  ]),
  hostile(
    'attributes-of-an-inherited-directory',
    [
      extended({ 'SCHILY.xattr.user.name': 'value', 'SCHILY.xattr.security.stowage': 'x' }),
      directory('a/', { mode: '0000700', uid: 5 }),
    ],
    [file('a/x')],
  ),
  hostile('attribute-capability-then-a-hard-link', [
    extended({ 'SCHILY.xattr.security.capability': CAPABILITY }),
    file('a', 'x', { mode: '0000755' }),
    hardLink('b', 'a', { mode: '0000755' }),
  ]),
  hostile('attribute-capability-of-an-ordinary-user', [
    extended({ 'SCHILY.xattr.security.capability': CAPABILITY }),
    file('a', 'x', { mode: '0004755', uid: 1000, gid: 1000 }),
  ]),
  hostile('attributes-for-all', [pax([['SCHILY.xattr.user.name', 'value']], 'g'), file('a')]),
  hostile('attribute-twice', [
    special(
      'x',
      'x',
      paxData([
        ['SCHILY.xattr.user.name', 'first'],
        ['SCHILY.xattr.user.name', 'second'],
      ]).toString('latin1'),
    ),
    file('a'),
  ]),
];

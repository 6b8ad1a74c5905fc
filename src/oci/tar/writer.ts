import type { PaxRecord, TarTime } from './pax.ts';

import type { TarType } from './reader.ts';

/** A member to write. Names are bytes; a directory's need not end in a slash. */
export interface TarMember {
  readonly type: TarType;
  readonly name: Uint8Array;
  readonly linkTarget?: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly major?: number;
  readonly minor?: number;
  /** Bytes of content, of files. */
  readonly size?: number;
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
}

const BLOCK = 512;
const TYPES: Readonly<Record<TarType, string>> = {
  file: '0',
  'hard link': '1',
  symlink: '2',
  'character device': '3',
  'block device': '4',
  directory: '5',
  fifo: '6',
};
const LONGEST_NAME = 100;
/** Digits of octal fields: seven, and eleven for sizes and times. */
const MOST = { short: 8 ** 7 - 1, long: 8 ** 11 - 1 };
const SLASH = 0x2f;

/** Two blocks of zeros: what an archive ends with. */
export const TAR_END = Buffer.alloc(2 * BLOCK);

/** Zeros up to the next block behind `size` bytes of content. */
export function paddingAfter(size: number): Uint8Array {
  return TAR_END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}

/**
 * The header of a member, with a PAX one in front where ustar has no room (IEEE Std 1003.1, pax): long names, large
 * numbers, parts of seconds, and extended attributes as `SCHILY.xattr.`, as GNU tar and Go's reader take them. The same
 * member has the same bytes.
 */
export function tarHeader(member: TarMember): Buffer {
  const { type, uid, gid, mtime, size = 0, xattrs } = member;
  const name =
    type === 'directory' && member.name.at(-1) !== SLASH
      ? Buffer.concat([member.name, Buffer.from('/')])
      : Buffer.from(member.name);
  const target = Buffer.from(member.linkTarget ?? '');
  const records: PaxRecord[] = [];
  const note = (key: string, value: string | Uint8Array): void => {
    records.push([key, Buffer.from(value)]);
  };
  if (name.length > LONGEST_NAME) note('path', name);
  if (target.length > LONGEST_NAME) note('linkpath', target);
  if (uid > MOST.short) note('uid', String(uid));
  if (gid > MOST.short) note('gid', String(gid));
  if (size > MOST.long) note('size', String(size));
  const { seconds, nanoseconds } = mtime;
  const isPlain = nanoseconds === 0 && seconds >= 0 && seconds <= MOST.long;
  if (!isPlain) note('mtime', formatTime(mtime));
  const sorted = [...(xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, value] of sorted) note(`SCHILY.xattr.${escapeKey(key)}`, value);
  const whole = {
    ...{ type: TYPES[type], name, target, size, mode: member.mode },
    ...{ uid: within(uid, MOST.short), gid: within(gid, MOST.short) },
    mtime: isPlain ? seconds : 0,
    ...{ major: member.major ?? 0, minor: member.minor ?? 0 },
  };
  const block = headerBlock({ ...whole, size: within(size, MOST.long) });
  if (records.length === 0) return block;
  const data = Buffer.concat(records.map(formatRecord));
  const pax = headerBlock({
    ...{ type: 'x', name: Buffer.from('PaxHeader'), target: Buffer.alloc(0), mode: 0o644 },
    ...{ uid: 0, gid: 0, mtime: 0, major: 0, minor: 0, size: data.length },
  });
  return Buffer.concat([pax, data, paddingAfter(data.length), block]);
}

interface HeaderFields {
  readonly type: string;
  readonly name: Buffer;
  readonly target: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

function headerBlock(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  const number = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  fields.name.copy(block, 0, 0, LONGEST_NAME);
  number(fields.mode, 100, 7);
  number(fields.uid, 108, 7);
  number(fields.gid, 116, 7);
  number(fields.size, 124, 11);
  number(fields.mtime, 136, 11);
  block.write(fields.type, 156, 'latin1');
  fields.target.copy(block, 157, 0, LONGEST_NAME);
  block.write('ustar\x0000', 257, 'latin1');
  number(fields.major, 329, 7);
  number(fields.minor, 337, 7);
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** `<length> <key>=<value>\n`, the length's own digits included. */
function formatRecord([key, value]: PaxRecord): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length)
    length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** As GNU tar does: what would end a key. */
function escapeKey(key: string): string {
  return key.replaceAll('%', '%25').replaceAll('=', '%3D');
}

function formatTime({ seconds, nanoseconds }: TarTime): string {
  // Of -1.5 the seconds are -2 and the rest is to be added.
  const isNegative = seconds < 0 && nanoseconds > 0;
  const whole = isNegative ? seconds + 1 : seconds;
  const part = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds;
  const sign = isNegative && whole === 0 ? '-' : '';
  const fraction = String(part).padStart(9, '0').replace(/0+$/, '');
  return `${sign}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}

function within(value: number, most: number): number {
  return value > most ? 0 : value;
}

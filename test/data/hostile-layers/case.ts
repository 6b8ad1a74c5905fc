import { digestOf } from '../../rig/image.ts';
import type { Member } from '../../unit/oci/tar/blocks.ts';
import { END, member, pax } from '../../unit/oci/tar/blocks.ts';

/** An image whose layers nobody in his right mind would make, or few. */
export interface HostileCase {
  /** Words with hyphens: `hard-link-to-itself`. */
  readonly name: string;
  /** From the base up. */
  readonly layers: readonly HostileLayer[];
}

export interface HostileLayer {
  /** As it is in the store. */
  readonly blob: Buffer;
  readonly mediaType: string;
  /** As the config claims. */
  readonly diffId: string;
}

const TAR = 'application/vnd.oci.image.layer.v1.tar';

/** When everything was made where a case says nothing else: 2023-11-14T22:13:20Z. */
export const THEN = 1_700_000_000;

/** Layers that are plain archives of these members, with the blocks that end an archive. */
export function hostile(name: string, ...layers: readonly (readonly Buffer[])[]): HostileCase {
  return { name, layers: layers.map((members) => plain(archive(...members))) };
}

/** Layers as they are given. */
export function packed(name: string, ...layers: readonly HostileLayer[]): HostileCase {
  return { name, layers };
}

export function plain(tar: Buffer, diffId = digestOf(tar)): HostileLayer {
  return { blob: tar, mediaType: TAR, diffId };
}

export function compressed(
  format: 'gzip' | 'zstd',
  blob: Buffer,
  tar: Buffer,
  diffId = digestOf(tar),
): HostileLayer {
  return { blob, mediaType: `${TAR}+${format}`, diffId };
}

export function archive(...members: readonly Buffer[]): Buffer {
  return Buffer.concat([...members, END]);
}

type More = Omit<Member, 'name' | 'type' | 'link' | 'content'> & { readonly gid?: number };

function entry(given: Member & More): Buffer {
  const { gid, ...rest } = given;
  const group = gid === undefined ? {} : { 116: gid.toString(8).padStart(7, '0') };
  return member({ mtime: THEN, ...rest, at: { ...group, ...given.at } });
}

export function file(name: string, content: Buffer | string = name, more: More = {}): Buffer {
  return entry({ name, content, ...more });
}

export function directory(name: string, more: More = {}): Buffer {
  return entry({ name, type: '5', mode: '0000755', ...more });
}

export function symlink(name: string, link: string, more: More = {}): Buffer {
  return entry({ name, type: '2', mode: '0000777', link, ...more });
}

export function hardLink(name: string, link: string, more: More = {}): Buffer {
  return entry({ name, type: '1', link, ...more });
}

/** A member of any type, with or without content. */
export function special(type: string, name: string, content = '', more: More = {}): Buffer {
  return entry({ name, type, content, ...more });
}

export function device(type: '3' | '4', name: string, major: number, minor: number): Buffer {
  const octal = (value: number): string => value.toString(8).padStart(7, '0');
  return entry({ name, type, mode: '0000660', at: { 329: octal(major), 337: octal(minor) } });
}

export function whiteout(directoryName: string, hidden: string, more: More = {}): Buffer {
  return file(`${directoryName}.wh.${hidden}`, '', more);
}

/** Extended headers for the next member. */
export function extended(records: Readonly<Record<string, string | Buffer>>): Buffer {
  return pax(Object.entries(records));
}

/** GNU's way to say a name (`L`) or a link's target (`K`) of any length. */
export function gnuLong(type: 'L' | 'K', value: string): Buffer {
  return member({ name: '././@LongLink', type, magic: 'ustar  \0', content: `${value}\0` });
}

/** A number in base 256, as GNU writes what octal digits can't say. */
export function base256(length: number, value: bigint): Buffer {
  const bytes = Buffer.alloc(length);
  let rest = BigInt.asUintN(8 * length, value);
  for (let at = length - 1; at >= 0; at -= 1) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

/** What most cases with several layers have at the bottom. */
export const LOWER: readonly Buffer[] = [
  directory('etc/', { mode: '0000750', uid: 1, gid: 2, mtime: THEN - 100 }),
  file('etc/base', 'of the lower layer', { mode: '0000640', uid: 3, gid: 4 }),
  directory('usr/'),
  directory('usr/bin/', { mode: '0000711' }),
  file('usr/bin/tool', 'tool', { mode: '0000755' }),
  symlink('bin', 'usr/bin'),
  directory('deep/'),
  directory('deep/er/', { mode: '0001777', gid: 9 }),
  file('deep/er/file', 'deep'),
];

import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../rig/image.ts';
import type { HostileCase, HostileLayer } from './case.ts';
import { archive, compressed, directory, file, LOWER, packed, plain } from './case.ts';

/** How layers are compressed, what their configs say of them, and how many there are. */
export function packings(): HostileCase[] {
  return [...ofGzip(), ...ofZstd(), ...ofDiffIds(), ...ofCounts()];
}

/** A case of one layer, which no other case has: engines remember what a blob was unpacked to. */
function one(name: string, make: (tar: Buffer) => HostileLayer): HostileCase {
  return packed(name, make(tarOf(name)));
}

function tarOf(name: string): Buffer {
  return archive(file('a', `${name} `.repeat(200)), directory('d/'), file('d/b'));
}

function gzip(name: string, change: (packed: Buffer, tar: Buffer) => Buffer): HostileCase {
  return one(name, (tar) => compressed('gzip', change(gzipSync(tar), tar), tar));
}

function zstd(name: string, change: (packed: Buffer, tar: Buffer) => Buffer): HostileCase {
  return one(name, (tar) => compressed('zstd', change(zstdOf(tar), tar), tar));
}

function zstdOf(bytes: Buffer): Buffer {
  return execFileSync('zstd', ['-q', '-c', '-3', '--single-thread'], { input: bytes });
}

function spoilt(bytes: Buffer, fromEnd: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length - fromEnd;
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

const GARBAGE = Buffer.from('garbage'.repeat(99));
const BOMB = 64 * 1024 * 1024;

function bomb(name: string): Buffer {
  return archive(file(name, Buffer.alloc(BOMB)));
}

function ofGzip(): HostileCase[] {
  return [
    gzip('gzip', (blob) => blob),
    gzip('gzip-truncated', (blob) => blob.subarray(0, -20)),
    gzip('gzip-without-its-trailer', (blob) => blob.subarray(0, -8)),
    gzip('gzip-of-a-wrong-checksum', (blob) => spoilt(blob, 8)),
    gzip('gzip-of-a-wrong-length', (blob) => spoilt(blob, 1)),
    gzip('gzip-with-garbage-behind', (blob) => Buffer.concat([blob, GARBAGE])),
    gzip('gzip-with-zeros-behind', (blob) => Buffer.concat([blob, Buffer.alloc(512)])),
    gzip('gzip-of-two-members', (_, tar) =>
      Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]),
    ),
    gzip('gzip-of-an-empty-member-first', (blob) => Buffer.concat([gzipSync(''), blob])),
    one('gzip-twice', (tar) => compressed('gzip', gzipSync(gzipSync(tar)), gzipSync(tar))),
    one('gzip-called-plain', (tar) => plain(gzipSync(tar), digestOf(tar))),
    one('gzip-called-zstd', (tar) => compressed('zstd', gzipSync(tar), tar)),
    one('plain-called-gzip', (tar) => compressed('gzip', tar, tar)),
    packed(
      'gzip-of-nothing',
      plain(tarOf('gzip-of-nothing')),
      compressed('gzip', gzipSync(''), Buffer.alloc(0)),
    ),
    packed(
      'gzip-of-no-bytes',
      plain(tarOf('gzip-of-no-bytes')),
      compressed('gzip', Buffer.alloc(0), Buffer.alloc(0)),
    ),
    packed('gzip-bomb', compressed('gzip', gzipSync(bomb('gzip')), bomb('gzip'))),
    one('bzip2', (tar) => plain(Buffer.from(`BZh91AY&SY${'x'.repeat(600)}`), digestOf(tar))),
  ];
}

function ofZstd(): HostileCase[] {
  return [
    zstd('zstd', (blob) => blob),
    zstd('zstd-truncated', (blob) => blob.subarray(0, -20)),
    zstd('zstd-of-a-wrong-checksum', (blob) => spoilt(blob, 1)),
    zstd('zstd-with-garbage-behind', (blob) => Buffer.concat([blob, GARBAGE])),
    zstd('zstd-of-two-frames', (_, tar) =>
      Buffer.concat([zstdOf(tar.subarray(0, 700)), zstdOf(tar.subarray(700))]),
    ),
    zstd('zstd-after-a-skippable-frame', (blob) =>
      Buffer.concat([Buffer.from('502a4d1804000000abcdef01', 'hex'), blob]),
    ),
    one('zstd-called-gzip', (tar) => compressed('gzip', zstdOf(tar), tar)),
    one('zstd-called-plain', (tar) => plain(zstdOf(tar), digestOf(tar))),
    packed('zstd-bomb', compressed('zstd', zstdOf(bomb('zstd')), bomb('zstd'))),
  ];
}

function ofDiffIds(): HostileCase[] {
  const other = (name: string): string => digestOf(Buffer.from(`not ${name}`));
  return [
    one('diff-id-wrong', (tar) => compressed('gzip', gzipSync(tar), tar, other('gzip'))),
    one('diff-id-wrong-of-a-plain-layer', (tar) => plain(tar, other('plain'))),
    one('diff-id-of-the-compressed-layer', (tar) =>
      compressed('gzip', gzipSync(tar), tar, digestOf(gzipSync(tar))),
    ),
    packed(
      'diff-id-wrong-of-the-second-layer',
      plain(archive(...LOWER)),
      plain(tarOf('second'), other('second')),
    ),
    packed(
      'diff-ids-exchanged',
      plain(tarOf('exchanged 1'), digestOf(tarOf('exchanged 2'))),
      plain(tarOf('exchanged 2'), digestOf(tarOf('exchanged 1'))),
    ),
  ];
}

function ofCounts(): HostileCase[] {
  return [
    packed('layer-twice', plain(tarOf('twice')), plain(tarOf('twice'))),
    packed('layer-empty-on-top', plain(archive(...LOWER)), plain(archive())),
    packed('no-layers'),
    packed(
      'layers-128',
      ...Array.from({ length: 128 }, (_, i) => plain(archive(file(`file-${i}`, `${i}`)))),
    ),
  ];
}

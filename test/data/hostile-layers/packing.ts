import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { digestOf } from '../../rig/image.ts';
import type { HostileCase } from './case.ts';
import { archive, compressed, directory, file, LOWER, packed, plain } from './case.ts';

const TAR = archive(file('a', 'x'.repeat(3000)), directory('d/'), file('d/b'));
const GZIP = gzipSync(TAR);

function zstd(bytes: Buffer): Buffer {
  return execFileSync('zstd', ['-q', '-c', '-3', '--single-thread'], { input: bytes });
}

function spoilt(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const place = at < 0 ? copy.length + at : at;
  copy[place] = (copy[place] ?? 0) ^ 0xff;
  return copy;
}

/** How layers are compressed, what their configs say of them, and how many there are. */
export function packings(): HostileCase[] {
  const half = Math.floor(TAR.length / 2);
  const ZSTD = zstd(TAR);
  const BOMB = archive(file('zeros', Buffer.alloc(64 * 1024 * 1024)));
  const gzip = (blob: Buffer, diffId?: string): ReturnType<typeof compressed> =>
    compressed('gzip', blob, TAR, diffId);
  const frame = (blob: Buffer, diffId?: string): ReturnType<typeof compressed> =>
    compressed('zstd', blob, TAR, diffId);
  const other = digestOf(Buffer.from('something else'));
  return [
    packed('gzip', gzip(GZIP)),
    packed('gzip-truncated', gzip(GZIP.subarray(0, GZIP.length - 20))),
    packed('gzip-without-its-trailer', gzip(GZIP.subarray(0, GZIP.length - 8))),
    packed('gzip-of-a-wrong-checksum', gzip(spoilt(GZIP, -8))),
    packed('gzip-of-a-wrong-length', gzip(spoilt(GZIP, -1))),
    packed(
      'gzip-with-garbage-behind',
      gzip(Buffer.concat([GZIP, Buffer.from('garbage'.repeat(99))])),
    ),
    packed('gzip-with-zeros-behind', gzip(Buffer.concat([GZIP, Buffer.alloc(512)]))),
    packed(
      'gzip-of-two-members',
      gzip(Buffer.concat([gzipSync(TAR.subarray(0, half)), gzipSync(TAR.subarray(half))])),
    ),
    packed('gzip-of-an-empty-member-first', gzip(Buffer.concat([gzipSync(''), GZIP]))),
    packed('gzip-twice', gzip(gzipSync(GZIP), digestOf(GZIP))),
    packed('gzip-called-plain', plain(GZIP, digestOf(TAR))),
    packed('gzip-called-zstd', frame(GZIP)),
    packed('plain-called-gzip', gzip(TAR)),
    packed('gzip-of-nothing', compressed('gzip', gzipSync(''), Buffer.alloc(0))),
    packed('gzip-of-no-bytes', compressed('gzip', Buffer.alloc(0), Buffer.alloc(0))),
    packed('zstd', frame(ZSTD)),
    packed('zstd-truncated', frame(ZSTD.subarray(0, ZSTD.length - 20))),
    packed('zstd-of-a-wrong-checksum', frame(spoilt(ZSTD, -1))),
    packed('zstd-with-garbage-behind', frame(Buffer.concat([ZSTD, Buffer.from('garbage')]))),
    packed(
      'zstd-of-two-frames',
      frame(Buffer.concat([zstd(TAR.subarray(0, half)), zstd(TAR.subarray(half))])),
    ),
    packed(
      'zstd-after-a-skippable-frame',
      frame(Buffer.concat([Buffer.from('502a4d1804000000abcdef01', 'hex'), ZSTD])),
    ),
    packed('zstd-called-gzip', gzip(ZSTD)),
    packed('bzip2', plain(Buffer.from(`BZh91AY&SY${'x'.repeat(600)}`), digestOf(TAR))),
    packed('bomb-of-gzip', compressed('gzip', gzipSync(BOMB), BOMB)),
    packed('bomb-of-zstd', compressed('zstd', zstd(BOMB), BOMB)),
    packed('diff-id-wrong', gzip(GZIP, other)),
    packed('diff-id-wrong-of-a-plain-layer', plain(TAR, other)),
    packed('diff-id-wrong-of-the-second-layer', plain(archive(...LOWER)), gzip(GZIP, other)),
    packed('diff-id-of-the-compressed-layer', gzip(GZIP, digestOf(GZIP))),
    packed('layer-twice', gzip(GZIP), gzip(GZIP)),
    packed('layer-empty-on-top', plain(archive(...LOWER)), plain(archive())),
    packed('no-layers'),
    packed(
      'layers-128',
      ...Array.from({ length: 128 }, (_, i) => plain(archive(file(`file-${i}`, `${i}`)))),
    ),
  ];
}

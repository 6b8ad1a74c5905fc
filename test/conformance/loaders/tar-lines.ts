import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * Every member of an archive on a line, with all that its headers say, byte by byte: names need be no UTF-8, so no
 * library that makes strings of them will do. Reads what Go's archive/tar writes (ustar and PAX).
 */
export function tarLines(file: string, options: { readonly times: boolean }): string[] {
  const bytes = readFileSync(file);
  const lines: string[] = [];
  let extended: Record<string, string> = {};
  for (let at = 0; at + 512 <= bytes.length;) {
    const header = bytes.subarray(at, at + 512);
    at += 512;
    if (header.every((byte) => byte === 0)) continue;
    const size = number(header.subarray(124, 136));
    const content = bytes.subarray(at, at + size);
    at += Math.ceil(size / 512) * 512;
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === 'x') {
      extended = records(content);
      continue;
    }
    const prefix = text(header.subarray(345, 500));
    const given = text(header.subarray(0, 100));
    const { path, linkpath, mtime, ...more } = extended;
    extended = {};
    // As the engine that made the container left them, and not the image.
    const name = path ?? (prefix === '' ? given : `${prefix}/${given}`);
    const line = {
      name,
      type,
      mode: text(header.subarray(100, 108)),
      owner: `${number(header.subarray(108, 116))}:${number(header.subarray(116, 124))}`,
      link: linkpath ?? text(header.subarray(157, 257)),
      device: `${number(header.subarray(329, 337))}:${number(header.subarray(337, 345))}`,
      mtime:
        options.times && !OF_THE_ENGINE.test(name)
          ? (mtime ?? number(header.subarray(136, 148)))
          : '-',
      more: Object.entries(more)
        .filter(([key]) => key !== 'atime' && key !== 'ctime')
        .sort(([a], [b]) => (a < b ? -1 : 1)),
      content: `${size} ${createHash('sha256').update(content).digest('hex')}`,
    };
    lines.push(JSON.stringify(line));
  }
  return lines;
}

/** What it puts into every container, the directories that it does so in, and those that some layer does not tell of. */
const OF_THE_ENGINE =
  /^(?:\.dockerenv|(?:dev|etc|proc|sys|run|srv\/open|srv\/implied|srv\/implied\/deep)\/|(?:dev|proc|sys|run)\/.*|etc\/(?:hosts|hostname|resolv\.conf|mtab))$/;

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.subarray(0, end === -1 ? undefined : end).toString('latin1');
}

/** Octal, or base 256 where the first bit is set. */
function number(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(text(field).trim() || '0', 8);
  return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, (field[0] ?? 0) & 0x7f);
}

/** POSIX.1, pax, "Extended Header": `length key=value\n`, the length of all of it. */
function records(content: Buffer): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 0; at < content.length;) {
    const length = Number.parseInt(content.subarray(at, at + 20).toString('latin1'), 10);
    const record = content.subarray(at, at + length - 1).toString('latin1');
    const [, key = '', value = ''] = /^\d+ ([^=]+)=([^]*)$/.exec(record) ?? [];
    found[key] = value;
    at += length;
  }
  return found;
}

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import type { DescribedImage } from '../../../src/sbom/described-image.ts';
import { formatImageManifest } from '../../../src/sbom/image-manifest.ts';
import { makeImage } from '../../rig/image.ts';
import { pinOf } from './samples.ts';

const pin = pinOf('app', await makeImage({ platform: 'linux/amd64', layers: [{ a: 'b' }] }));
const HEADER =
  'target,name,reference,platform,index,manifest,config,licenses,source,revision,vendor,version';

function image(name: string, words: Readonly<Record<string, string>> = {}): DescribedImage {
  const labels = Object.entries(words).map(([word, text]) => [
    `org.opencontainers.image.${word}`,
    text,
  ]);
  return {
    ...{ name, pin, targets: ['linux/amd64'], created: undefined, distribution: undefined },
    ...{ packages: [], unread: [], labels: Object.fromEntries(labels) as Record<string, string> },
  };
}

/** By a reader that is not ours: Python's own. */
function parsed(text: string): string[][] {
  const script =
    'import csv,json,sys,io;print(json.dumps(list(csv.reader(io.StringIO(sys.stdin.buffer.read().decode(),newline=""),strict=True))))';
  return JSON.parse(
    execFileSync('/usr/bin/python3', ['-c', script], { input: text, encoding: 'utf8' }),
  ) as string[][];
}

void describe('formatImageManifest', () => {
  void it('has a line for each image of each target, sorted', () => {
    const both = { ...image('b'), targets: ['linux/arm64', 'linux/amd64 board'] };
    const [header, ...lines] = formatImageManifest([both, image('a')]).split('\r\n');
    assert.equal(header, HEADER);
    assert.equal(lines.at(-1), '');
    const { manifest, config } = pin;
    const rest = `${pin.reference},linux/amd64,,${manifest.digest},${config.digest},,,,,`;
    assert.deepEqual(lines.slice(0, -1), [
      `linux/amd64,a,${rest}`,
      `linux/amd64 board,b,${rest}`,
      `linux/arm64,b,${rest}`,
    ]);
  });

  void it('can be read back, whatever labels say', () => {
    const words = {
      licenses: 'MIT, "or" so',
      source: 'two\nlines\r\nand more',
      revision: '  blanks\t',
      vendor: 'Ümläute 日本 🚢',
      version: '"',
    };
    const rows = parsed(formatImageManifest([image('a', words)]));
    assert.deepEqual(rows[0], HEADER.split(','));
    assert.deepEqual(rows[1]?.slice(7), [
      ...['MIT, "or" so', 'two\nlines\r\nand more', 'blanks', 'Ümläute 日本 🚢', '"'],
    ]);
    assert.equal(rows.length, 2);
  });

  void it('holds no formula and no control characters', () => {
    for (const text of ['=1+1', '+1', '-1', '@SUM(A1)', '＝1', "=cmd|' /C calc'!A0"]) {
      const rows = parsed(formatImageManifest([image('a', { vendor: text })]));
      assert.equal(rows[1]?.[10], `'${text}`);
    }
    const rows = parsed(formatImageManifest([image('a', { vendor: 'a\0b\x1b[31mc\x7f' })]));
    assert.equal(rows[1]?.[10], 'a b [31mc ');
  });
});

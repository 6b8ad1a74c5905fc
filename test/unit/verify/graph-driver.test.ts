import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, it } from 'node:test';
import { chainIds } from '../../../src/data-root/containerd-store.ts';
import { overlay2Paths } from '../../../src/data-root/overlay2-store.ts';
import { overlay2Items, overlay2LayerRoot } from '../../../src/data-root/overlay2-writer.ts';
import { TarSplit } from '../../../src/data-root/tar-split.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { hexOf, parseDigest } from '../../../src/model/digest.ts';
import { readTar } from '../../../src/oci/tar/reader.ts';
import { verifyConsistency } from '../../../src/verify/verify.ts';
import type { Files, Layer } from '../../rig/image.ts';
import { makeImage, makeLayer } from '../../rig/image.ts';
import type { Added } from '../ext4/writer/write-image.ts';
import { must, writeImage } from '../ext4/writer/write-image.ts';
import { quiet, scratch } from '../inspect/samples.ts';
import { put, unpackTo } from '../inspect/unpacked-image.ts';

const BASE: Files = {
  'etc/': { type: 'directory', mode: 0o750 },
  'etc/passwd': 'root:x:0:0',
  'bin/tool': { content: 'tool'.repeat(2000), mode: 0o755 },
  'bin/also': { type: 'link', target: 'bin/tool', mode: 0o755 },
  link: { type: 'symlink', target: 'bin/tool' },
};
const TOP: Files = { 'etc/.wh.passwd': '', app: 'app', [`long/${'x'.repeat(120)}`]: 'long' };

interface Draft {
  readonly entries: Map<string, Added>;
  /** Paths on the partition, of the base and of the other. */
  readonly roots: readonly [string, string];
  readonly records: readonly [string, string];
}

/** The record of a layer whose blob is a plain tar. */
async function splitOf({ blob }: Layer): Promise<Buffer> {
  const split = new TarSplit();
  let done = 0;
  // eslint-disable-next-line @typescript-eslint/require-await -- it is a stream for who reads it
  const source = async function* () {
    yield blob;
  };
  for await (const { offset, name, size, content } of readTar(source())) {
    split.segment(blob.subarray(done, offset + 512));
    split.file(name, size);
    done = offset + 512 + size;
    for await (const piece of content instanceof Uint8Array ? [content] : content)
      split.payload(piece);
  }
  split.segment(blob.subarray(done));
  return split.finish();
}

async function draft(): Promise<Draft> {
  const layers = [
    await makeLayer(BASE, { gzip: false }),
    await makeLayer(TOP, { gzip: false }),
  ] as const;
  const image = await makeImage({ platform: 'linux/amd64', layers });
  const config = image.blobs.get(image.config.digest) ?? Buffer.of();
  const diffIds = layers.map(({ diffId }) => parseDigest(diffId) as Digest);
  const [base, top] = chainIds(diffIds) as [Digest, Digest];
  const entries = new Map<string, Added>();
  const items = overlay2Items('docker', {
    images: [{ config, names: ['example.org/one:1'] }],
    layers: [
      { chainId: base, diffId: diffIds[0] as Digest, size: 1, tarSplit: await splitOf(layers[0]) },
      {
        ...{ chainId: top, parent: base, diffId: diffIds[1] as Digest, size: 1 },
        tarSplit: await splitOf(layers[1]),
      },
    ],
  });
  for (const item of items)
    if (item.type === 'directory') put(entries, item.path, { type: 'directory', mode: item.mode });
    else if (item.type === 'symlink')
      put(entries, item.path, { type: 'symlink', target: item.target });
    else put(entries, item.path, { content: item.bytes, mode: item.mode });
  const roots = [overlay2LayerRoot('docker', base), overlay2LayerRoot('docker', top)] as const;
  unpackTo(entries, roots[0], BASE);
  unpackTo(entries, roots[1], TOP);
  const record = (chainId: Digest): string =>
    `${overlay2Paths('docker').layers}/${hexOf(chainId)}/tar-split.json.gz`;
  return { entries, roots, records: [record(base), record(top)] };
}

async function write({ entries }: Draft, dir: string, size?: number): Promise<string> {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
  const isLink = ([{ type }]: Added): boolean => type === 'hard link';
  const added = [...sorted.filter((one) => !isLink(one)), ...sorted.filter(isLink)];
  const image = `${dir}/data.ext4`;
  must(await writeImage(image, size === undefined ? {} : { size }, added));
  return image;
}

async function judge(spoil: (draft: Draft) => void): Promise<readonly string[]> {
  const { dir, remove } = scratch();
  try {
    const made = await draft();
    spoil(made);
    const image = await write(made, dir);
    const expected = { dataRoot: 'docker', contents: true };
    const verified = await verifyConsistency(image, expected, quiet());
    if (verified.ok) {
      // The base and its five members and bin; the root, etc, long, a whiteout and two files.
      assert.equal(verified.value.unpackedFiles, 7 + 6);
      return [];
    }
    assert.ok(verified.failure.reason === 'not-verified', JSON.stringify(verified.failure));
    return verified.failure.findings.map((finding) => finding.replace(/sha256:\w+/g, '…'));
  } finally {
    remove();
  }
}

/** Of missing files, with the header of a member of 8 GiB, or nobody would read on. */
function recordOf(sizes: readonly number[]): Buffer {
  const block = Buffer.alloc(512);
  block.write('x', 0);
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write('77777777777\0', 124);
  block.write('00000000000\0', 136);
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const header = block.toString('base64');
  const files = sizes.map((size, i) => ({ type: 1, name: `x${i}`, size }));
  const lines = [{ type: 2, payload: header }, ...files].map((one) => JSON.stringify(one));
  return gzipSync(`${lines.join('\n')}\n`);
}

const LAYER = 'image example.org/one:1: layer …';

void describe('verify of the unpacked layers of overlay2', () => {
  void it('finds a right image right', async () => {
    assert.deepEqual(await judge(() => undefined), []);
  });

  const cases: readonly (readonly [string, (draft: Draft) => void, readonly string[]])[] = [
    [
      'other bytes',
      ({ entries, roots }) => {
        put(entries, `${roots[1]}/app`, { content: 'apq' });
      },
      [`${LAYER}: app has other bytes`],
    ],
    [
      'a file that is longer',
      ({ entries, roots }) => {
        put(entries, `${roots[1]}/app`, { content: 'app and more' });
      },
      [`${LAYER}: app has 12 bytes instead of 3`],
    ],
    [
      'another mode and owner',
      ({ entries, roots }) => {
        put(entries, `${roots[1]}/app`, { content: 'app', mode: 0o600, uid: 4 });
      },
      [
        `${LAYER}: app belongs to 4:0 instead of 0:0`,
        `${LAYER}: app has mode 0600 instead of 0644`,
      ],
    ],
    [
      'a missing file',
      ({ entries, roots }) => {
        entries.delete(`${roots[1]}/app`);
      },
      [`${LAYER} is … when it is put together`, `${LAYER}: app is missing`],
    ],
    [
      'a whiteout that is missing and a file too many',
      ({ entries, roots }) => {
        entries.delete(`${roots[1]}/etc/passwd`);
        put(entries, `${roots[1]}/etc/extra`, { content: '' });
      },
      [`${LAYER}: etc/extra is unpacked, and not in the layer`, `${LAYER}: etc/passwd is missing`],
    ],
    [
      'a link to elsewhere',
      ({ entries, roots }) => {
        put(entries, `${roots[0]}/link`, { type: 'symlink', target: 'etc' });
      },
      [`${LAYER}: link leads to etc instead of bin/tool`],
    ],
    [
      'a record that is another',
      ({ entries, records }) => {
        const [, bytes] = entries.get(records[1]) ?? [];
        assert.ok(bytes instanceof Uint8Array);
        const lines = gunzipSync(bytes).toString().trimEnd().split('\n');
        put(entries, records[1], { content: gzipSync(`${lines.slice(0, -1).join('\n')}\n`) });
      },
      [`${LAYER} can't be unpacked: at byte 3076: the archive ends in it`],
    ],
    [
      'a record that is none',
      ({ entries, records }) => {
        put(entries, records[1], { content: gzipSync('nothing\n') });
      },
      [`${LAYER}: the record of its archive is damaged: it is not JSON`],
    ],
    [
      'a record of a file that no file system could hold',
      ({ entries, records }) => {
        put(entries, records[1], { content: recordOf([Number.MAX_SAFE_INTEGER]) });
      },
      [
        `${LAYER}: the record of its archive is damaged: ` +
          'more of its files is missing than the file system could hold',
      ],
    ],
    [
      'a record of many large files that are missing',
      ({ entries, records }) => {
        put(entries, records[1], { content: recordOf(Array<number>(10_000).fill(64 * 1024)) });
      },
      [
        `${LAYER}: the record of its archive is damaged: ` +
          'more of its files is missing than the file system could hold',
      ],
    ],
    [
      'a record that is cut off',
      ({ entries, records }) => {
        const [, bytes] = entries.get(records[0]) ?? [];
        assert.ok(bytes instanceof Uint8Array);
        put(entries, records[0], { content: bytes.subarray(0, 60) });
      },
      [`${LAYER}: the record of its archive is damaged: it ends within its compressed data`],
    ],
  ];
  for (const [name, spoil, expected] of cases)
    void it(`finds ${name}`, async () => {
      assert.deepEqual([...(await judge(spoil))].sort(), expected);
    });

  for (const isThere of [false, true])
    void it(`hears a signal while it reads ${isThere ? 'holes' : 'what is missing'}`, async () => {
      const { dir, remove } = scratch();
      try {
        const made = await draft();
        const size = 6 * 1024 ** 3;
        put(made.entries, made.records[1], { content: recordOf([size]) });
        const file = `${made.roots[1]}/x0`;
        if (isThere) put(made.entries, file, { content: 'x'.repeat(5000) });
        const image = await write(made, dir, 8 * 1024 ** 3);
        const resize = ['-w', '-R', `sif ${file} size ${size}`, image];
        if (isThere) execFileSync('debugfs', resize, { stdio: 'pipe' });
        const stop = new AbortController();
        const started = performance.now();
        let heard = Infinity;
        setTimeout(() => {
          heard = performance.now() - started;
          stop.abort('SIGTERM');
        }, 500);
        const context = { report: () => undefined, signal: stop.signal };
        const expected = { dataRoot: 'docker', contents: true };
        const verified = await verifyConsistency(image, expected, context);
        assert.ok(!verified.ok);
        assert.deepEqual(verified.failure, { reason: 'interrupted', signal: 'SIGTERM' });
        // All of it takes much longer.
        assert.ok(heard < 4000, `${heard}`);
      } finally {
        remove();
      }
    });
});

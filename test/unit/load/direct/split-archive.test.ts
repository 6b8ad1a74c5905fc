import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SplitArchive } from '../../../../src/load/direct/split-archive.ts';
import { TarReader } from '../../../../src/oci/tar/reader.ts';
import type { File } from '../../../rig/image.ts';
import { makeLayer, noise } from '../../../rig/image.ts';

/** In one buffer that is used again and again, as a thread gives them. */
async function* chunksOf(archive: Uint8Array, length: number): AsyncGenerator<Uint8Array, void> {
  const buffer = new Uint8Array(length);
  for (let at = 0; at < archive.length; at += length) {
    const chunk = archive.subarray(at, at + length);
    buffer.fill(0xaa);
    buffer.set(chunk);
    yield await Promise.resolve(buffer.subarray(0, chunk.length));
  }
}

interface Line {
  readonly type: 1 | 2;
  readonly name?: string;
  readonly size?: number;
  readonly payload: string | null;
}

async function split(chunks: AsyncIterable<Uint8Array>, readsContent: boolean) {
  const splitting = new SplitArchive();
  const reader = new TarReader(splitting.pass(chunks), { dialect: 'go' });
  for (let member = await reader.next(); member !== undefined; member = await reader.next()) {
    splitting.member(member);
    if (!readsContent || member.content instanceof Uint8Array) continue;
    for await (const piece of member.content) assert.ok(piece.length > 0);
  }
  return splitting.finish();
}

const FILES: Readonly<Record<string, File>> = {
  'a/': { type: 'directory' },
  'a/empty': '',
  [`a/${'long-'.repeat(40)}`]: 'a name that wants an extended header',
  'a/large': noise(1, 300_001),
  'a/link': { type: 'symlink', target: 'large' },
};

void test('however an archive is cut into chunks, the same comes of it, and all of it', async () => {
  const { blob } = await makeLayer(FILES, { gzip: false });
  const archive = Buffer.concat([blob, Buffer.alloc(200_000)]);
  const whole = await split(chunksOf(archive, archive.length), true);
  for (const length of [511, 512, 513, 1024, 4096, 65_536, 100_003])
    for (const readsContent of [true, false])
      assert.deepEqual(await split(chunksOf(archive, length), readsContent), whole);
  const lines = gunzipSync(whole)
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  const bytes = lines.reduce(
    (sum, { type, size = 0, payload }) =>
      sum + (type === 1 ? size : Buffer.from(payload ?? '', 'base64').length),
    0,
  );
  assert.equal(bytes, archive.length);
  assert.deepEqual(
    lines.filter(({ type }) => type === 1).map(({ size = 0 }) => size),
    [0, 0, 36, 300_001, 0],
  );
});

void test('what a layer costs does not grow with how many members a chunk has', async () => {
  const count = 12_000;
  const links = Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`${i}`, { type: 'symlink', target: 'x' } as const]),
  );
  const { blob } = await makeLayer(links, { gzip: false });
  const copied = await bytesCopied(() => split(chunksOf(blob, 1024 * 1024), true));
  // Each byte once into a segment and once into its line, besides what is packed.
  assert.ok(copied < blob.length * 4, `${copied} bytes copied of ${blob.length}`);
});

void test('what follows the end is not kept', async () => {
  const { blob } = await makeLayer({ one: 'one' }, { gzip: false });
  async function* chunks() {
    yield await Promise.resolve(blob);
    const zeros = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 24; i++) yield zeros;
  }
  // To gather it, a chunk at a time, is to copy 300 MiB.
  const copied = await bytesCopied(() => split(chunks(), true));
  assert.ok(copied < 24 * 1024 * 1024 * 4, `${copied} bytes copied`);
});

/** What `Buffer.concat` put together meanwhile. */
async function bytesCopied(work: () => Promise<unknown>): Promise<number> {
  const concat = Buffer.concat.bind(Buffer);
  let copied = 0;
  Buffer.concat = (list, ...rest) => {
    const made = concat(list, ...rest);
    copied += made.length;
    return made;
  };
  try {
    await work();
  } finally {
    Buffer.concat = concat;
  }
  return copied;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageFile } from '../../../../src/ext4/reader/image-file.ts';
import type { ImageReader } from '../../../../src/ext4/reader/image-reader.ts';
import { readImage } from '../../../../src/ext4/reader/open-image.ts';
import { Volume } from '../../../../src/ext4/reader/volume.ts';
import type { Failure } from '../../../../src/model/failure.ts';
import type { Result } from '../../../../src/model/result.ts';
import { rounds } from '../../../rig/skip.ts';
import type { BaseImage } from './base-images.ts';
import { makeBaseImages } from './base-images.ts';
import type { Target } from './mutations.ts';
import { mutate, Random, withoutChecksums } from './mutations.ts';

const CASES = rounds(400, 20_000);
/** Milliseconds for one image, most of which take ten, on a machine that has other things to do. */
const DEADLINE = 20_000;
/** Bytes of content that are read of one image: holes are as large as somebody says. */
const CONTENT = 64 * 2 ** 20;
/** Bytes beyond what there was, of a reader that keeps 8 MiB of blocks. */
const MEMORY = 200 * 2 ** 20;
const EXPECTED: readonly Failure['reason'][] = [
  'image-corrupt',
  'image-unsupported',
  'image-needs-recovery',
  'invalid-document',
  'partition-missing',
];

/** Fails the test for whatever is asked for outside of the file. */
function memoryFile(bytes: Buffer, length: number): ImageFile {
  return new ImageFile(
    'fuzzed',
    {
      read: (into, offset, count, position) => {
        assert.ok(
          position >= 0 && position + count <= length,
          `${count} at ${position} of ${length}`,
        );
        bytes.copy(into, offset, position, position + count);
        return Promise.resolve({ bytesRead: count });
      },
      close: () => Promise.resolve(),
    },
    0,
    length,
  );
}

async function open(image: BaseImage, bytes: Buffer, length: number): Promise<Result<ImageReader>> {
  return readImage(
    memoryFile(bytes, length),
    image.partition === undefined ? undefined : { partition: image.partition },
  );
}

/** Everything that can be asked of an image; the first failure, if there is one. */
async function readAll(reader: ImageReader, watch: () => void): Promise<Failure | undefined> {
  let failure: Failure | undefined;
  let left = CONTENT;
  const note = <T>(result: Result<T>): T | undefined => {
    watch();
    if (result.ok) return result.value;
    failure ??= result.failure;
    return undefined;
  };
  for (const path of PATHS)
    for (const links of ['follow', 'keep'] as const) {
      const found = note(await reader.lookUp(Buffer.from(path), links));
      if (found?.type === 'directory') for await (const listed of reader.list(found)) note(listed);
    }
  for await (const result of reader.walk()) {
    const walked = note(result);
    if (walked?.inode.type === 'symlink') note(await reader.readLink(walked.inode));
    if (walked?.inode.type !== 'file' || left <= 0) continue;
    let read = 0;
    for await (const piece of reader.readFile(walked.inode)) {
      const length = note(piece)?.length ?? 0;
      read += length;
      left -= length;
      if (left <= 0) break;
    }
    if (failure === undefined && left > 0) assert.equal(read, walked.inode.size);
  }
  return failure;
}

const PATHS = [
  'slow',
  'circle',
  'files/huge',
  'a/hard/',
  'many/77-of-a-long-name-of-a-long-name-of-a-long-name',
  'many',
  '/a/b/c/d/e',
  'inline/4',
];

/** The blocks that are metadata, as the reader itself asks for them; for a disk, its tables too. */
async function findMetadata(image: BaseImage): Promise<Omit<Target, 'bytes'>> {
  const asked = new Set<number>();
  // eslint-disable-next-line @typescript-eslint/unbound-method -- it is called with its volume
  const original = Volume.prototype.block;
  Volume.prototype.block = function (number, what) {
    asked.add(number);
    return original.call(this, number, what);
  };
  try {
    const reader = await open(image, image.bytes, image.bytes.length);
    assert.ok(reader.ok, JSON.stringify(reader));
    assert.equal(await readAll(reader.value, () => undefined), undefined, image.name);
    const { blockSize } = reader.value.facts;
    const start = image.partition === undefined ? 0 : 2 ** 19;
    const blocks = [...asked].map((number) => start + number * blockSize);
    if (start > 0) blocks.push(0, 512, 1024, image.bytes.length - 512);
    return { blocks: [...blocks, start + 1024], blockSize, start };
  } finally {
    Volume.prototype.block = original;
  }
}

test(`${CASES} mutated images end in what they hold or in a failure, in time and in bounds`, async (t) => {
  const images = await makeBaseImages(t);
  const targets: (Omit<Target, 'bytes'> & { readonly image: BaseImage })[] = [];
  for (const image of images) targets.push({ image, ...(await findMetadata(image)) });
  const before = memory();
  const seen = new Map<string, number>();
  let slowest = 0;
  let most = 0;
  for (let seed = 0; seed < CASES; seed += 1) {
    const random = new Random(seed);
    const { image, ...target } = random.of(targets);
    const bytes = Buffer.from(image.bytes);
    const { what, length } = mutate({ ...target, bytes }, random);
    if (random.below(4) > 0) withoutChecksums({ ...target, bytes });
    const name = `seed ${seed}: ${image.name}: ${what}`;
    const started = Date.now();
    let calls = 0;
    const watch = (): void => {
      calls += 1;
      if (calls % 256 !== 0) return;
      most = Math.max(most, memory() - before);
      assert.ok(Date.now() - started < DEADLINE, `${name}: not within ${DEADLINE} ms`);
    };
    let outcome = 'whole';
    try {
      const reader = await open(image, bytes, length);
      const failure = reader.ok ? await readAll(reader.value, watch) : reader.failure;
      outcome = failure?.reason ?? outcome;
    } catch (error) {
      throw new Error(name, { cause: error });
    }
    assert.ok(
      outcome === 'whole' || EXPECTED.some((reason) => reason === outcome),
      `${name}: ${outcome}`,
    );
    slowest = Math.max(slowest, Date.now() - started);
    most = Math.max(most, memory() - before);
    seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
  }
  t.diagnostic(
    `${JSON.stringify(Object.fromEntries(seen))}, slowest ${slowest} ms, at most ${Math.round(most / 2 ** 20)} MiB more`,
  );
  assert.ok(slowest < DEADLINE, `${slowest} ms`);
  assert.ok(most < MEMORY, `${most} bytes`);
  // Mutations that damage nothing, or everything at once, would test little.
  assert.ok((seen.get('image-corrupt') ?? 0) > CASES / 4);
  assert.ok((seen.get('whole') ?? 0) > CASES / 50);
});

/** What is in use, garbage included. */
function memory(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

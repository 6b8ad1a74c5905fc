import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { LayerJob } from '../../../../src/load/direct/layer-thread.ts';
import { BadBlob, LayerThread, WrongDiffId } from '../../../../src/load/direct/layer-thread.ts';
import { THREAD_PROGRAM } from '../../../../src/load/direct/thread-program.ts';
import { digestOf } from '../../../../src/model/digest.ts';
import { CompressionError } from '../../../../src/oci/compression-error.ts';
import { noise } from '../../../rig/image.ts';
import { temporaryTree } from '../../../rig/temporary-tree.ts';

/** More than a thread may be ahead, and no multiple of its buffers. */
const CONTENT = Buffer.from(noise(5, 9_000_001));

interface Given {
  readonly job: LayerJob;
  readonly blob: Buffer;
}

function jobFor(t: TestContext, blob: Buffer, more: Partial<LayerJob> = {}): Given {
  const path = join(temporaryTree(t), 'blob');
  writeFileSync(path, blob);
  const job = {
    ...{ path, digest: digestOf(blob), size: blob.length, diffId: digestOf(CONTENT) },
    ...{ copy: true, unpack: true, ...more },
  };
  return { job, blob };
}

/** All that comes, each chunk looked at before the next is asked for. */
async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const chunk of chunks) pieces.push(Buffer.from(chunk));
  return Buffer.concat(pieces);
}

async function withThread<T>(
  jobs: readonly LayerJob[],
  work: (thread: LayerThread) => Promise<T>,
): Promise<T> {
  const thread = new LayerThread(jobs);
  try {
    return await work(thread);
  } finally {
    await thread.end();
  }
}

void test('blobs and what they unpack to come in the order of the jobs', async (t) => {
  const packed = gzipSync(CONTENT);
  const twice = Buffer.concat([
    gzipSync(CONTENT.subarray(0, 4_000_000)),
    gzipSync(CONTENT.subarray(4_000_000)),
  ]);
  const given = [
    jobFor(t, packed),
    jobFor(t, CONTENT),
    jobFor(t, twice, { copy: false }),
    jobFor(t, packed, { unpack: false }),
    jobFor(t, Buffer.alloc(0), { diffId: digestOf('') }),
  ];
  await withThread(
    given.map(({ job }) => job),
    async (thread) => {
      for (const { job, blob } of given) {
        if (job.copy) assert.ok((await collect(thread.blob(job))).equals(blob));
        if (!job.unpack) continue;
        const content = await collect(thread.layer(job));
        assert.equal(digestOf(content), job.diffId);
      }
    },
  );
});

const PACKED = gzipSync(CONTENT.subarray(0, 3_000_000));

/** What is wrong with a job, and what the thread says of it. */
const FAULTS: Readonly<
  Record<string, readonly [Buffer, Partial<LayerJob>, (error: unknown) => boolean]>
> = {
  'a blob of other bytes': [
    PACKED,
    { digest: digestOf('other') },
    (error) => error instanceof BadBlob && error.problem === 'wrong digest',
  ],
  'a blob of other bytes that is not copied': [
    PACKED,
    { digest: digestOf('other'), copy: false },
    (error) => error instanceof BadBlob && error.problem === 'wrong digest',
  ],
  'a blob that is shorter than it should be': [
    PACKED,
    { size: PACKED.length + 1 },
    (error) => error instanceof BadBlob && error.problem === 'wrong size',
  ],
  'a blob that goes on': [
    PACKED,
    { size: PACKED.length - 1 },
    (error) => error instanceof BadBlob && error.problem === 'wrong size',
  ],
  'a blob that is not there': [
    PACKED,
    { path: '/nonexistent/blob' },
    (error) => error instanceof BadBlob && error.problem === 'missing',
  ],
  'a blob that unpacks to something else': [
    PACKED,
    {},
    (error) =>
      error instanceof WrongDiffId && error.actual === digestOf(CONTENT.subarray(0, 3_000_000)),
  ],
  'a blob that is cut off': [
    PACKED.subarray(0, 2_000_000),
    {},
    (error) => error instanceof CompressionError && /ends within/.test(error.message),
  ],
  'a blob that is damaged': [
    Buffer.concat([PACKED.subarray(0, 1_000_000), Buffer.alloc(1000), PACKED.subarray(1_001_000)]),
    {},
    (error) => error instanceof CompressionError && /damaged/.test(error.message),
  ],
};

for (const [name, [blob, more, isRight]] of Object.entries(FAULTS))
  void test(`${name} is told`, async (t) => {
    const { job } = jobFor(t, blob, more);
    await assert.rejects(
      withThread([job], async (thread) => {
        if (job.copy) await collect(thread.blob(job));
        await collect(thread.layer(job));
      }),
      isRight,
    );
  });

void test('who waits when it is called off hears of it', async (t) => {
  const { job } = jobFor(t, PACKED);
  await withThread([], async (thread) => {
    const waiting = collect(thread.blob(job));
    thread.fail(new Error('called off'));
    await assert.rejects(waiting, /called off/);
  });
});

void test('who is slow hears of it as well, and is given nothing more of what is at hand', async (t) => {
  const { job } = jobFor(t, CONTENT);
  await withThread([job], async (thread) => {
    const chunks = thread.blob(job);
    assert.equal((await chunks.next()).done, false);
    // By then the thread has filled all of its buffers.
    await pause(300);
    thread.fail(new Error('called off'));
    await assert.rejects(chunks.next(), /called off/);
  });
});

interface Said {
  readonly type: string;
  readonly code?: string;
  readonly hex?: string;
  readonly buffer?: number;
  readonly blob?: unknown;
}

/** What the program says last of a job, run after `stand`. */
async function endOf(t: TestContext, stand: string, job: LayerJob): Promise<Said> {
  const shared = Array.from({ length: 4 }, () => new SharedArrayBuffer(1024 * 1024));
  const worker = new Worker(stand + THREAD_PROGRAM, { eval: true, workerData: shared });
  t.after(() => worker.terminate());
  return new Promise<Said>((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (said: Said) => {
      if (said.type === 'data') worker.postMessage({ free: said.buffer });
      else if (said.type !== 'begin') resolve(said);
    });
    worker.postMessage(job);
  });
}

/** As in a Node without what is not documented. */
const WITHOUT_HANDLE = `{
  const zlib = require('node:zlib');
  const { createGunzip } = zlib;
  zlib.createGunzip = (...all) => {
    const stream = createGunzip(...all);
    stream._handle.writeSync = undefined;
    return stream;
  };
}`;

const member = gzipSync('member');
const GZIPS: Readonly<Record<string, Buffer>> = {
  'one member': PACKED,
  'many small members': Buffer.concat(Array.from({ length: 1000 }, () => member)),
  'an empty member': gzipSync(''),
  'exactly as much as a buffer holds': gzipSync(CONTENT.subarray(0, 1024 * 1024)),
  'much out of little': gzipSync(Buffer.alloc(50_000_000)),
  'zeros behind': Buffer.concat([PACKED, Buffer.alloc(512)]),
  'something else behind': Buffer.concat([PACKED, Buffer.from('something else')]),
  'the begin of another member behind': Buffer.concat([PACKED, member.subarray(0, 5)]),
  'a cut in the head': member.subarray(0, 7),
  'a cut in the middle': PACKED.subarray(0, 1_500_000),
  'a cut in the sum': PACKED.subarray(0, -3),
  'a wrong sum': Buffer.concat([PACKED.subarray(0, -8), Buffer.alloc(8)]),
  'a damaged middle': Buffer.concat([
    PACKED.subarray(0, 1_000_000),
    Buffer.alloc(1000),
    PACKED.subarray(1_001_000),
  ]),
};

for (const [name, blob] of Object.entries(GZIPS))
  void test(`gzip with ${name} comes out as a stream of Node's gives it`, async (t) => {
    const { job } = jobFor(t, blob, { copy: false });
    const quick = await endOf(t, '', job);
    assert.deepEqual(await endOf(t, WITHOUT_HANDLE, job), quick);
    let unpacked: Buffer | undefined;
    try {
      unpacked = gunzipSync(blob);
    } catch {
      assert.equal(quick.type, 'error');
    }
    if (unpacked !== undefined) assert.equal(`sha256:${quick.hex}`, digestOf(unpacked));
  });

for (const [name, blob] of [
  ['packed', PACKED],
  ['plain', CONTENT],
] as const)
  void test(`a ${name} blob that can't be read to its end is told`, async (t) => {
    const { job } = jobFor(t, blob, { copy: false });
    // A file system of another machine says so when the file is replaced there; once, and then it reads another.
    const stand = `{
      const fs = require('node:fs');
      const { readSync } = fs;
      let reads = 0;
      fs.readSync = (...all) => {
        reads += 1;
        if (reads === 5) throw Object.assign(new Error('stale'), { code: 'ESTALE' });
        return readSync(...all);
      };
    }`;
    const last = await endOf(t, stand, job);
    assert.deepEqual([last.type, last.code, last.blob], ['error', 'ESTALE', undefined]);
  });

import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Digest } from '../../model/digest.ts';
import { digestFromHex } from '../../model/digest.ts';
import type { BlobBad } from '../../model/failure.ts';
import { CompressionError } from '../../oci/compression-error.ts';
import { unzstd } from '../../oci/unzstd.ts';
import { THREAD_PROGRAM } from './thread-program.ts';

/** Bytes, and how many of them a thread may be ahead. */
const BUFFER = 1024 * 1024;
const BUFFERS = 6;
/** Megabytes: a thread keeps nothing, so what is collected often is little. */
const LIMITS = { maxYoungGenerationSizeMb: 2 };

/** A blob of the store that is to be read, unpacked or both. */
export interface LayerJob {
  readonly path: string;
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** What it unpacks to. */
  readonly diffId: Digest;
  readonly copy: boolean;
  readonly unpack: boolean;
}

/** A blob that is not what its name says. */
export class BadBlob extends Error {
  readonly problem: BlobBad['problem'];

  constructor(problem: BlobBad['problem']) {
    super(problem);
    this.problem = problem;
  }
}

/** A blob that does not unpack to what its image's config says. */
export class WrongDiffId extends Error {
  readonly actual: Digest;

  constructor(actual: Digest) {
    super(actual);
    this.actual = actual;
  }
}

interface BlobSeen {
  readonly hex: string;
  readonly size: number;
}

type Message =
  | { readonly type: 'begin'; readonly isPacked: boolean }
  /** The number of a buffer, and how much is in it. */
  | { readonly type: 'data'; readonly buffer: number; readonly length: number }
  | {
      readonly type: 'end';
      readonly hex: string;
      readonly size?: number;
      readonly isPacked?: boolean;
      readonly blob?: BlobSeen;
    }
  | {
      readonly type: 'error';
      readonly code: string;
      readonly message: string;
      readonly blob?: BlobSeen;
    };

/**
 * Reads, hashes and unpacks blobs in a thread of its own, a few buffers ahead of whoever takes what comes out. Jobs are
 * done in their order, and what each gives has to be taken in that order: the blob with `copy`, then the layer.
 */
export class LayerThread {
  readonly #worker: Worker;
  /** Shared: to hand memory over and back takes longer than to fill it. */
  readonly #buffers: readonly Uint8Array[];
  readonly #messages: Message[] = [];
  #waiting: { resolve: (message: Message) => void; reject: (error: unknown) => void } | undefined;
  #failed: Error | undefined;

  constructor(jobs: readonly LayerJob[]) {
    const shared = Array.from({ length: BUFFERS }, () => new SharedArrayBuffer(BUFFER));
    this.#buffers = shared.map((buffer) => new Uint8Array(buffer));
    this.#worker = new Worker(THREAD_PROGRAM, {
      ...{ eval: true, workerData: shared, resourceLimits: LIMITS },
    });
    this.#worker.on('message', (message: Message) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) this.#messages.push(message);
      else waiting.resolve(message);
    });
    this.#worker.on('error', (error) => {
      this.fail(error);
    });
    for (const { path, size, copy, unpack } of jobs)
      this.#worker.postMessage({ path, size, copy, unpack });
  }

  /** The blob's bytes; throws a `BadBlob` at their end where they are not the blob's. A chunk is good until the next. */
  async *blob(job: LayerJob): AsyncGenerator<Uint8Array, void> {
    const end = yield* this.#data();
    if (end.size !== job.size) throw new BadBlob('wrong size');
    if (digestFromHex(end.hex) !== job.digest) throw new BadBlob('wrong digest');
  }

  /**
   * The layer's bytes, unpacked; throws a `BadBlob`, a `CompressionError` or a `WrongDiffId` where they are not
   * what they should be, at their end at the latest.
   */
  async *layer(job: LayerJob): AsyncGenerator<Uint8Array, void> {
    const begin = await this.#next();
    if (begin.type === 'error') throw errorOf(begin, job);
    if (begin.type !== 'begin') throw new Error(`a thread says ${begin.type} out of turn`);
    let actual: Digest;
    if (begin.isPacked) {
      const hash = createHash('sha256');
      for await (const chunk of unzstd(this.#dataOf(job))) {
        hash.update(chunk);
        yield chunk;
      }
      actual = digestFromHex(hash.digest('hex'));
    } else {
      const end = yield* this.#data(job);
      checkSeen(end.blob, job);
      actual = digestFromHex(end.hex);
    }
    if (actual !== job.diffId) throw new WrongDiffId(actual);
  }

  /** Whoever waits for something gets the error instead, and whoever asks for more: what is at hand is given to nobody. */
  fail(error: Error): void {
    this.#failed ??= error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  async *#dataOf(job: LayerJob): AsyncGenerator<Uint8Array, void> {
    const end = yield* this.#data(job);
    checkSeen(end.blob, job);
  }

  async *#data(
    job?: LayerJob,
  ): AsyncGenerator<Uint8Array, Extract<Message, { readonly type: 'end' }>> {
    for (;;) {
      const message = await this.#next();
      switch (message.type) {
        case 'begin':
          throw new Error('a thread begins what it has begun');
        case 'end':
          return message;
        case 'error':
          throw errorOf(message, job);
        case 'data': {
          const { buffer, length } = message;
          const bytes = this.#buffers[buffer];
          if (bytes === undefined) throw new Error(`a thread has no buffer ${buffer}`);
          yield bytes.subarray(0, length);
          this.#worker.postMessage({ free: buffer });
        }
      }
    }
  }

  #next(): Promise<Message> {
    if (this.#failed !== undefined) return Promise.reject(this.#failed);
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}

function errorOf(
  { code, message, blob }: Extract<Message, { readonly type: 'error' }>,
  job: LayerJob | undefined,
): Error {
  if (job !== undefined) checkSeen(blob, job);
  if (code === 'ENOENT') return new BadBlob('missing');
  if (code === 'Z_BUF_ERROR') return new CompressionError('it ends within its compressed data');
  if (code.startsWith('Z') && code !== '')
    return new CompressionError('its compressed data is damaged');
  if (/^E[A-Z]+$/.test(code)) return new BadBlob('unreadable');
  return new Error(`a thread failed: ${code} ${message}`);
}

/** Throws a `BadBlob`: what is wrong with the blob says more than what came of it. */
function checkSeen(seen: BlobSeen | undefined, job: LayerJob): void {
  if (seen === undefined) return;
  if (seen.size !== job.size) throw new BadBlob('wrong size');
  if (digestFromHex(seen.hex) !== job.digest) throw new BadBlob('wrong digest');
}

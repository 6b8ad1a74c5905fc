import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';
import type { Placed } from '../ext4/reader/content.ts';

/** Plain JavaScript as text, as a thread starts from a file or from text, and the command line is one file. */
const PROGRAM = `
'use strict';
const { createHash } = require('node:crypto');
const { openSync, readSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');

const buffer = Buffer.allocUnsafeSlow(256 * 1024);
const zeros = Buffer.alloc(buffer.length);
let fd;

function hash(places) {
  fd ??= openSync(workerData, 'r');
  const hash = createHash('sha256');
  for (const { at, length } of places)
    for (let done = 0; done < length;) {
      const most = Math.min(buffer.length, length - done);
      if (at === undefined) {
        hash.update(zeros.subarray(0, most));
        done += most;
        continue;
      }
      const count = readSync(fd, buffer, 0, most, at + done);
      if (count === 0) throw new Error('the image ends');
      hash.update(buffer.subarray(0, count));
      done += count;
    }
  return hash.digest('hex');
}

parentPort.on('message', (places) => {
  let hex;
  try {
    hex = hash(places);
  } catch {
    // Who asks reads it again, and finds out why.
  }
  parentPort.postMessage(hex);
});
`;

/** Megabytes: it keeps nothing. */
const LIMITS = { maxYoungGenerationSizeMb: 2 };

/** As many as there are processors, but no more: they share one disk, and each takes some megabytes. */
const MOST = 2;

/** Hashes stretches of an image in threads, each a list of them at a time. */
export class HashThreads {
  readonly #threads: readonly HashThread[];

  constructor(image: string) {
    const count = Math.min(MOST, availableParallelism());
    this.#threads = Array.from({ length: count }, () => new HashThread(image));
  }

  /** Undefined where it could not be read, all threads are busy, or `end` came first. */
  async hash(places: readonly Placed[]): Promise<Digest | undefined> {
    const thread = this.#threads.find(({ isFree }) => isFree);
    const hex = await thread?.hash(places);
    return hex === undefined ? undefined : digestFromHex(hex);
  }

  /** Idempotent. */
  async end(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }
}

class HashThread {
  readonly #worker: Worker;
  #answer: ((hex: string | undefined) => void) | undefined;
  #hasEnded = false;

  constructor(image: string) {
    this.#worker = new Worker(PROGRAM, { eval: true, workerData: image, resourceLimits: LIMITS });
    this.#worker.on('message', (hex: string | undefined) => {
      this.#settle(hex);
    });
    this.#worker.on('error', () => {
      this.#hasEnded = true;
      this.#settle(undefined);
    });
  }

  get isFree(): boolean {
    return this.#answer === undefined && !this.#hasEnded;
  }

  hash(places: readonly Placed[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#worker.postMessage(places);
    });
  }

  async end(): Promise<void> {
    this.#hasEnded = true;
    this.#settle(undefined);
    await this.#worker.terminate();
  }

  #settle(hex: string | undefined): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(hex);
  }
}

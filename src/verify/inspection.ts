import type { Context } from '../model/event.ts';
import { interruption } from '../model/file-failure.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { ok } from '../model/result.ts';
import type { DirectoryEntry, ReadFailure } from '../ext4/reader/at-path.ts';
import { hashAt, inodeAt, linkAt, listAt, readAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Place } from '../ext4/partition.ts';
import { untilStopped } from '../trees/stopped.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import type { Digest } from '../model/digest.ts';
import { HashThreads } from './hash-threads.ts';

/** Bytes of a file that are hashed faster by somebody else, and of an image for which threads are started. */
const WORTH_A_THREAD = 1024 * 1024;
const WORTH_THREADS = 32 * 1024 * 1024;

interface Hashed {
  readonly size: number;
  readonly sha256: Digest;
}

/** The largest file that is read at once: a database of containerd's. */
const READ_LIMIT = 256 * 1024 * 1024;

export interface InspectionOptions {
  /** Where in the file the partition is. */
  readonly place?: Place | undefined;
  /** An engine has run on it. */
  readonly used?: boolean | undefined;
}

/**
 * One look at a data image: every check adds what it finds, none stops another. What keeps us from looking at
 * all (no permission, an unknown feature, a signal) is a failure instead; it ends the reading and is never a finding.
 */
export class Inspection {
  readonly image: string;
  readonly findings: string[] = [];
  /** What an engine has made since the image was built, where it may have. */
  readonly news: string[] = [];
  readonly #context: Context;
  readonly #options: InspectionOptions;
  #reader: Promise<Result<ImageReader>> | undefined;
  #threads: HashThreads | undefined;
  #failure: Failure | undefined;

  constructor(image: string, context: Context, options: InspectionOptions = {}) {
    this.image = image;
    this.#context = context;
    this.#options = options;
  }

  get failure(): Failure | undefined {
    return this.#failure;
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  find(finding: string): void {
    this.findings.push(finding);
  }

  /** Something that is there besides: news where the image was in use, else a finding. */
  findExtra(finding: string, news = finding): void {
    if (this.#options.used === true) this.news.push(news);
    else this.findings.push(finding);
  }

  /** Undefined where it could not be read; `owner` begins the finding that says so. Paths are absolute. */
  async list(path: string, owner: string): Promise<DirectoryEntry[] | undefined> {
    return this.#settle(owner, path, (reader) => listAt(reader, path));
  }

  async read(path: string, owner: string): Promise<Buffer | undefined> {
    return this.#settle(owner, path, (reader) => readAt(reader, path, READ_LIMIT));
  }

  /** Bytes of the file system; 0 where it can't be read. */
  async size(): Promise<number> {
    const facts = (await this.#open())?.facts;
    return facts === undefined ? 0 : facts.blocks * facts.blockSize;
  }

  /** Whether there is anything at that path; what can't be looked at is told of by who reads it. */
  async exists(path: string): Promise<boolean> {
    const reader = await this.#open();
    if (reader === undefined) return false;
    const found = await inodeAt(reader, path);
    return found.ok || found.failure.reason !== 'not-in-image';
  }

  /** Where a symbolic link leads. */
  async readLink(path: string, owner: string): Promise<string | undefined> {
    return this.#settle(owner, path, (reader) => linkAt(reader, path));
  }

  async hash(path: string, owner: string): Promise<Hashed | undefined> {
    return this.#settle(
      owner,
      path,
      async (reader) => (await this.#hashBeside(reader, path)) ?? hashAt(reader, path, this.signal),
    );
  }

  /** In a thread, where that is worth while. What is wrong is left for `hashAt` to find. */
  async #hashBeside(reader: ImageReader, path: string): Promise<Result<Hashed> | undefined> {
    if (this.#threads === undefined) return undefined;
    const file = await inodeAt(reader, path, 'file');
    if (!file.ok || file.value.size < WORTH_A_THREAD) return undefined;
    const places = await reader.placesOf(file.value);
    if (!places.ok || places.value === undefined) return undefined;
    const sha256 = await this.#threads.hash(places.value);
    return sha256 === undefined ? undefined : ok({ size: file.value.size, sha256 });
  }

  /** Early: they start while the metadata is read. */
  #startThreads({ facts }: ImageReader): void {
    if ((facts.blocks - facts.freeBlocks) * facts.blockSize < WORTH_THREADS) return;
    const threads = new HashThreads(this.image);
    this.#threads = threads;
    this.signal.addEventListener('abort', () => void threads.end(), { once: true });
  }

  /** Whatever else is to be read; undefined where that failed, which is a finding, or ends the reading. */
  async walk<T>(owner: string, work: (reader: ImageReader) => Promise<T>): Promise<T | undefined> {
    const reader = await this.#open();
    if (reader === undefined) return undefined;
    const result = await untilStopped(() => work(reader));
    if (result.ok) return result.value;
    this.#readFailed(owner, result.failure);
    return undefined;
  }

  /** A result of another tool on the image: what says that the image is bad is a finding, the rest a failure. */
  settle<T>(result: Result<T>): T | undefined {
    if (result.ok) return result.value;
    if (result.failure.reason === 'not-verified') this.findings.push(...result.failure.findings);
    else this.#failure ??= result.failure;
    return undefined;
  }

  /** Frees what was opened. Idempotent. */
  async close(): Promise<void> {
    await this.#threads?.end();
    const opened = await this.#reader;
    this.#reader = undefined;
    if (opened?.ok === true) await opened.value.close();
  }

  /** Undefined, with a failure or a finding made once, where the image can't be read at all. */
  async #open(): Promise<ImageReader | undefined> {
    if (this.#failure !== undefined) return undefined;
    const isFirst = this.#reader === undefined;
    this.#reader ??= openImage(this.image, this.#options.place);
    const opened = await this.#reader;
    if (isFirst && opened.ok) this.#startThreads(opened.value);
    if (opened.ok) return opened.value;
    if (isFirst) this.#readFailed('the file system', opened.failure);
    return undefined;
  }

  async #settle<T>(
    owner: string,
    path: string,
    read: (reader: ImageReader) => Promise<Result<T, ReadFailure>>,
  ): Promise<T | undefined> {
    const reader = await this.#open();
    if (reader === undefined) return undefined;
    if (this.signal.aborted) {
      this.#failure ??= interruption(this.signal);
      return undefined;
    }
    const result = await read(reader);
    if (result.ok) return result.value;
    const { failure } = result;
    if (failure.reason === 'not-in-image')
      this.find(
        failure.problem === 'missing'
          ? `${owner}: ${path} is missing`
          : `${owner}: ${path} is ${failure.problem}`,
      );
    else this.#readFailed(owner, failure);
    return undefined;
  }

  #readFailed(owner: string, failure: Failure): void {
    if (failure.reason === 'image-corrupt') this.find(`${owner}: ${failure.detail}`);
    else if (failure.reason === 'invalid-document')
      this.find(`${owner}: ${failure.problems.map((problem) => problem.detail).join(', ')}`);
    else if (failure.reason === 'image-needs-recovery')
      this.find(`${owner}: the journal must be replayed before it can be read`);
    else this.#failure ??= failure;
  }
}

/** Two at a time: hashing is bound by a core, reading by the disk. */
export async function eachOfTwo<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next())
      await work(next.value);
  };
  await Promise.all([worker(), worker()]);
}

/** Checks layers two at a time, as far as the image can be read, and sums up how many files each had to compare. */
export async function checkLayers<L extends { readonly owner: string }>(
  inspection: Inspection,
  layers: readonly L[],
  check: (reader: ImageReader, layer: L) => Promise<number>,
): Promise<number> {
  let files = 0;
  await eachOfTwo(layers, async (layer) => {
    if (inspection.failure !== undefined) return;
    const compared = await inspection.walk(layer.owner, (reader) => check(reader, layer));
    files += compared ?? 0;
  });
  return files;
}

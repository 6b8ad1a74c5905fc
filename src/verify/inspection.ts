import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import type { DirectoryEntry, ReadFailure } from '../tools/debugfs.ts';
import { hashFile, listDirectory, readFile, readLink, statPath } from '../tools/debugfs.ts';
import type { Digest } from '../model/digest.ts';

/**
 * One look at a data image: every check adds what it finds, none stops another. What keeps us from looking at
 * all (no debugfs, no permission, a signal) is a failure instead; it ends the reading and is never a finding.
 */
export class Inspection {
  readonly image: string;
  readonly findings: string[] = [];
  readonly #context: Context;
  #failure: Failure | undefined;

  constructor(image: string, context: Context) {
    this.image = image;
    this.#context = context;
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

  /** Undefined where it could not be read; `owner` begins the finding that says so. Paths are absolute. */
  async list(path: string, owner: string): Promise<DirectoryEntry[] | undefined> {
    return this.#settle(owner, path, () => listDirectory(this.image, path, this.signal));
  }

  async read(path: string, owner: string): Promise<Buffer | undefined> {
    return this.#settle(owner, path, () => readFile(this.image, path, this.signal));
  }

  /** Whether there is anything at that path; what can't be looked at is told of by who reads it. */
  async exists(path: string): Promise<boolean> {
    if (this.#failure !== undefined) return false;
    const status = await statPath(this.image, path, this.signal);
    return status.ok || status.failure.reason !== 'not-in-image';
  }

  /** Where a symbolic link leads. */
  async readLink(path: string, owner: string): Promise<string | undefined> {
    return this.#settle(owner, path, () => readLink(this.image, path, this.signal));
  }

  async hash(
    path: string,
    owner: string,
  ): Promise<{ readonly size: number; readonly sha256: Digest } | undefined> {
    return this.#settle(owner, path, () => hashFile(this.image, path, this.signal));
  }

  /** A result of another tool on the image: what says that the image is bad is a finding, the rest a failure. */
  settle<T>(result: Result<T>): T | undefined {
    if (result.ok) return result.value;
    if (result.failure.reason === 'not-verified') this.findings.push(...result.failure.findings);
    else this.#failure ??= result.failure;
    return undefined;
  }

  async #settle<T>(
    owner: string,
    path: string,
    read: () => Promise<Result<T, ReadFailure>>,
  ): Promise<T | undefined> {
    if (this.#failure !== undefined) return undefined;
    const result = await read();
    if (result.ok) return result.value;
    const failure = result.failure;
    if (failure.reason === 'not-in-image')
      this.find(
        failure.problem === 'missing'
          ? `${owner}: ${path} is missing`
          : `${owner}: ${path} is ${failure.problem}`,
      );
    else if (failure.reason === 'tool-failed')
      this.find(`${owner}: ${path} can't be read: ${failure.detail}`);
    else if (failure.reason === 'invalid-document')
      this.find(`${owner}: ${failure.problems.map((problem) => problem.detail).join(', ')}`);
    else this.#failure ??= failure;
    return undefined;
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

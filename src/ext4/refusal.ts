import type { Failure } from '../model/failure.ts';
import { fileFailure } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** What leaves the depths of the writer when it can't go on. It never leaves the library: `attempt` returns it. */
export class Refusal extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.reason);
    this.failure = failure;
  }
}

/** Why an entry can't be kept, where its path is not known. `detail` is a phrase with no full stop. */
export class EntryRefusal extends Error {
  readonly detail: string;

  constructor(detail: string) {
    super(detail);
    this.detail = detail;
  }
}

/** There is no room left in a file system whose size was given. Bytes, where they are known. */
export class NoRoom extends Error {
  readonly needed: number | undefined;

  constructor(needed?: number) {
    super('no room left');
    this.needed = needed;
  }
}

/** What the system refused, as a failure; anything else is thrown on. */
export async function attempt<T>(work: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await work());
  } catch (error) {
    if (error instanceof Refusal) return fail(error.failure);
    throw error;
  }
}

/** Errors of the file that is written, told from those of whoever gives the content. */
export async function writing<T>(image: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw refusalOf(error, image);
  }
}

/** Throws on what is no error of the system. */
export function refusalOf(error: unknown, image: string): Refusal {
  return new Refusal(fileFailure(error, image, 'writing the image'));
}

import type { Failure } from '../../model/failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';

/**
 * What leaves the recursions of the reader when an image can't be read on. It never leaves the library: everything
 * that is exported runs in `attempt` or `attemptEach`, which return it as a failure.
 */
export class Unreadable extends Error {
  readonly failureOf: (image: string) => Failure;

  constructor(failureOf: (image: string) => Failure) {
    super('an image that cannot be read');
    this.failureOf = failureOf;
  }
}

/** `detail` is a phrase with no full stop that says what is wrong and where. */
export function damaged(detail: string): Unreadable {
  return new Unreadable((image) => ({ reason: 'image-corrupt', image, detail }));
}

export function unsupported(feature: string): Unreadable {
  return new Unreadable((image) => ({ reason: 'image-unsupported', image, feature }));
}

/** What is sound and something else than what was asked for. */
export function notWhatItShouldBe(detail: string): Unreadable {
  return new Unreadable((image) => ({
    reason: 'invalid-document',
    kind: 'data image',
    file: image,
    problems: [{ detail }],
  }));
}

export async function attempt<T>(image: string, work: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await work());
  } catch (error) {
    if (error instanceof Unreadable) return fail(error.failureOf(image));
    throw error;
  }
}

/** Every item as a success; a failure, if there is one, is the last. */
export async function* attemptEach<T>(
  image: string,
  items: AsyncIterable<T>,
): AsyncGenerator<Result<T>, void, undefined> {
  try {
    for await (const item of items) yield ok(item);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    yield fail(error.failureOf(image));
  }
}

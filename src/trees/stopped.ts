import type { ReadFailure } from '../ext4/reader/at-path.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * What leaves the walks over content that can't be read on. It never leaves `inspect` and `diff`: what they export
 * runs in `untilStopped`, which returns it as a failure.
 */
export class Stopped extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`stopped: ${failure.reason}`);
    this.failure = failure;
  }
}

/** The value, or the failure thrown. */
export function need<T>(result: Result<T, ReadFailure>, image = ''): T {
  if (result.ok) return result.value;
  const { failure } = result;
  if (failure.reason !== 'not-in-image') throw new Stopped(failure);
  const detail =
    failure.problem === 'missing'
      ? `${failure.path} is missing`
      : `${failure.path} is ${failure.problem}`;
  throw new Stopped({ reason: 'image-corrupt', image, detail });
}

export async function untilStopped<T>(work: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await work());
  } catch (error) {
    if (error instanceof Stopped) return fail(error.failure);
    throw error;
  }
}

import pRetry from 'p-retry';
import type { Context } from '../model/event.ts';
import type { Failure, RegistryTemporary } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import { interruption } from '../model/file-failure.ts';

/** Milliseconds between the attempts: the first comes at once, so there is one attempt more than delays. */
export const RETRY_DELAYS: readonly number[] = [5_000, 15_000, 45_000];

/** What one attempt came to: done, failed for good, or failed in a way that may pass. */
export type AttemptResult<T> =
  | { readonly outcome: 'done'; readonly value: T }
  | { readonly outcome: 'failed'; readonly failure: Failure }
  /** `retryAfter` is what the other side asked for, in milliseconds. */
  | (Pick<RegistryTemporary, 'detail' | 'sources' | 'by'> & {
      readonly outcome: 'temporary';
      readonly retryAfter?: number | undefined;
    });

type TemporaryResult = Extract<AttemptResult<never>, { readonly outcome: 'temporary' }>;

/** Who asks for more is asked again after this much all the same: a build does not wait for an hour. */
const LONGEST_WAIT = 600_000;

class Temporary extends Error {
  readonly result: TemporaryResult;
  readonly retryAfter: number;
  constructor(result: TemporaryResult) {
    super(result.detail);
    this.result = result;
    this.retryAfter = Math.min(result.retryAfter ?? 0, LONGEST_WAIT);
  }
}

/** Resolves after so many milliseconds, or rejects when the signal is aborted. Tests give a clock of their own. */
export type Sleep = (milliseconds: number, signal: AbortSignal) => Promise<void>;

/**
 * Tries until it is done or failed for good, waiting `delays` in between, or longer where that is asked for; each failure is reported as
 * `attempt-failed`, and the last one becomes registry-temporary. Fails with interrupted when called off.
 */
export async function retry<T>(
  what: string,
  delays: readonly number[],
  context: Context,
  attempt: (number: number) => Promise<AttemptResult<T>>,
  sleep: Sleep = defaultSleep,
): Promise<Result<T>> {
  const attempts = delays.length + 1;
  const run = async (number: number): Promise<Result<T>> => {
    if (context.signal.aborted) return fail(interruption(context.signal));
    const result = await attempt(number);
    switch (result.outcome) {
      case 'done':
        return { ok: true, value: result.value };
      case 'failed':
        return fail(result.failure);
      case 'temporary':
        throw new Temporary(result);
    }
  };
  try {
    return await pRetry(run, {
      retries: delays.length,
      // The delays are ours, not p-retry's powers.
      minTimeout: 0,
      maxTimeout: 0,
      shouldRetry: ({ error }) => error instanceof Temporary,
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
        if (!(error instanceof Temporary) || retriesLeft === 0) return;
        const retryIn = Math.max(delays[attemptNumber - 1] ?? 0, error.retryAfter);
        const { detail } = error.result;
        context.report({
          type: 'attempt-failed',
          what,
          attempt: attemptNumber,
          attempts,
          retryIn,
          detail,
        });
        await sleep(retryIn, context.signal);
      },
    });
  } catch (error) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (!(error instanceof Temporary)) throw error;
    const { detail, sources, by } = error.result;
    return fail({
      ...{ reason: 'registry-temporary', what, attempts, detail },
      ...(sources === undefined ? {} : { sources }),
      ...(by === undefined ? {} : { by }),
    });
  }
}

async function defaultSleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(new Error('called off'));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, milliseconds);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

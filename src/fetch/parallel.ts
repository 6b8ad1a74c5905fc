import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * Runs `run` for each item, at most `jobs` at a time, in order of the items. The first failure calls off the
 * others and is the result; all have ended when it resolves.
 */
export async function inParallel<I, T>(
  items: readonly I[],
  jobs: number,
  context: Context,
  run: (item: I, context: Context) => Promise<Result<T>>,
): Promise<Result<readonly T[]>> {
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const values = new Array<T>(items.length);
  const queue = items.entries();
  let failure: Failure | undefined;
  const work = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (failure !== undefined) return;
      const result = await run(item, { ...context, signal });
      if (result.ok) values[index] = result.value;
      else {
        failure ??= result.failure;
        stop.abort(context.signal.aborted ? context.signal.reason : 'called off');
        return;
      }
    }
  };
  const workers = Math.max(1, Math.min(jobs, items.length));
  const ended = await Promise.allSettled(
    Array.from({ length: workers }, () =>
      work().catch((bug: unknown) => {
        stop.abort('called off');
        throw bug;
      }),
    ),
  );
  for (const worker of ended) if (worker.status === 'rejected') throw worker.reason;
  return failure === undefined ? ok(values) : fail(failure);
}

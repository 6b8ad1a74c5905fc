import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { AttemptResult } from '../../../src/fetch/retry.ts';
import { retry, RETRY_DELAYS } from '../../../src/fetch/retry.ts';
import type { Event } from '../../../src/model/event.ts';

const refusal = { reason: 'registry-refused', what: 'x', why: 'not-found', detail: '404' } as const;

async function run(
  answers: readonly AttemptResult<string>[],
  signal = new AbortController().signal,
): Promise<{ result: unknown; slept: number[]; events: Event[] }> {
  const slept: number[] = [];
  const events: Event[] = [];
  const context = { signal, report: (event: Event) => void events.push(event) };
  const attempt = (number: number): Promise<AttemptResult<string>> =>
    Promise.resolve(answers[number - 1] ?? { outcome: 'temporary', detail: `try ${number}` });
  const result = await retry('x', RETRY_DELAYS, context, attempt, (milliseconds) => {
    slept.push(milliseconds);
    return Promise.resolve();
  });
  return { result, slept, events };
}

it('waits 5, 15 and 45 s between four attempts, then gives up with the last failure', async () => {
  const { result, slept, events } = await run([]);
  assert.deepEqual(slept, [5_000, 15_000, 45_000]);
  assert.deepEqual(result, {
    ok: false,
    failure: { reason: 'registry-temporary', what: 'x', attempts: 4, detail: 'try 4' },
  });
  assert.deepEqual(events[0], {
    type: 'attempt-failed',
    what: 'x',
    attempt: 1,
    attempts: 4,
    retryIn: 5_000,
    detail: 'try 1',
  });
  assert.equal(events.length, 3);
});

it('does not wait after a refusal, nor after success', async () => {
  const refused = await run([{ outcome: 'failed', failure: refusal }]);
  assert.deepEqual([refused.result, refused.slept], [{ ok: false, failure: refusal }, []]);
  const done = await run([
    { outcome: 'temporary', detail: '503' },
    { outcome: 'done', value: 'content' },
  ]);
  assert.deepEqual([done.result, done.slept], [{ ok: true, value: 'content' }, [5_000]]);
});

it('ends at once when called off while it waits', async () => {
  const stop = new AbortController();
  const context = {
    signal: stop.signal,
    report: () => {
      setImmediate(() => {
        stop.abort('SIGINT');
      });
    },
  };
  const attempt = (): Promise<AttemptResult<string>> =>
    Promise.resolve({ outcome: 'temporary', detail: '503' });
  assert.deepEqual(await retry('x', [60_000], context, attempt), {
    ok: false,
    failure: { reason: 'interrupted', signal: 'SIGINT' },
  });
});

it('does not swallow a bug', async () => {
  const context = { signal: new AbortController().signal, report: () => undefined };
  await assert.rejects(
    retry('x', [1], context, () => Promise.reject(new RangeError('bug'))),
    RangeError,
  );
});

it('waits longer where that is asked for, never shorter, and not for ever', async () => {
  const { slept } = await run([
    { outcome: 'temporary', detail: '429', retryAfter: 30_000 },
    { outcome: 'temporary', detail: '429', retryAfter: 1_000 },
    { outcome: 'temporary', detail: '429', retryAfter: 86_400_000 },
  ]);
  assert.deepEqual(slept, [30_000, 15_000, 600_000]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadFailure } from '../../../../src/load/dind/load-failure.ts';
import type { Failure } from '../../../../src/model/failure.ts';

/** An engine whose end is seen when it is asked for the `noticed`th time. */
function engineThat({ noticed }: { noticed: number }) {
  let asked = 0;
  const death = (doing: string): Promise<Failure | undefined> => {
    asked++;
    const failure: Failure = { reason: 'engine-died', doing, detail: 'it was killed', log: [] };
    return Promise.resolve(asked >= noticed ? failure : undefined);
  };
  return { death, lastLog: () => Promise.resolve(['its last words']), asked: () => asked };
}

async function reasonOf(detail: string, noticed: number): Promise<string> {
  const { reason } = await loadFailure(
    'app',
    { reason: 'api-failed', detail },
    engineThat({ noticed }),
  );
  return reason;
}

test('the image is to blame where the engine lives on', async () => {
  assert.deepEqual(
    await loadFailure(
      'app',
      { reason: 'api-failed', detail: 'invalid tar header' },
      engineThat({ noticed: 9 }),
    ),
    { reason: 'load-incomplete', image: 'app', detail: 'invalid tar header' },
  );
});

test('whatever a dying engine answers is not the fault of the image', async () => {
  assert.equal(await reasonOf('the engine has 0 layers of app, not 3', 1), 'engine-died');
  // Its containerd is dead, and the container has not noticed.
  assert.equal(await reasonOf('the engine has 0 layers of app, not 3', 2), 'engine-died');
});

test('where nobody notices, the words of a call tell', async () => {
  // As dockerd 20.10, 26.1 and 28.5 answered when their containerd was killed.
  for (const detail of [
    'Unavailable: connection error: desc = "error reading server preface: connection reset by peer"',
    'rpc error: code = Unavailable desc = error reading from server: EOF',
    'failed to check image: error reading from server: connection reset by peer',
    'connection error: desc = "transport: Error while dialing: dial unix /run/x.sock: connect: connection refused"',
  ])
    assert.equal(await reasonOf(detail, 9), 'engine-died', detail);
});

test('a full partition is told as such, with no wait', async () => {
  const engine = engineThat({ noticed: 1 });
  const failure = await loadFailure(
    'app',
    { reason: 'api-failed', detail: 'write /a/b: no space left on device' },
    engine,
  );
  assert.equal(failure.reason, 'no-space');
  assert.equal(engine.asked(), 0);
});

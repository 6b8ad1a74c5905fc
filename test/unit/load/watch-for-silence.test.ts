import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { watchForSilence } from '../../../src/load/dind/watch-for-silence.ts';

function daemon(answers: (ping: number) => boolean) {
  let pings = 0;
  return {
    ping: () => Promise.resolve(answers(pings++)),
    get pings() {
      return pings;
    },
  };
}

test('a daemon that no longer answers is given up after so long, and not before', async () => {
  const silent = new AbortController();
  const start = Date.now();
  const watch = watchForSilence(
    daemon((ping) => ping < 3),
    100,
    silent,
    10,
  );
  await new Promise((resolve) => {
    silent.signal.addEventListener('abort', resolve);
  });
  assert.ok(Date.now() - start >= 100);
  await watch.end();
});

test('one that misses a ping now and then is not', async () => {
  const silent = new AbortController();
  const slow = daemon((ping) => ping % 3 === 0);
  const watch = watchForSilence(slow, 100, silent, 10);
  await sleep(400);
  assert.equal(silent.signal.aborted, false);
  await watch.end();
  const { pings } = slow;
  assert.ok(pings > 5);
  await sleep(50);
  assert.equal(slow.pings, pings, 'it is watched no longer');
});

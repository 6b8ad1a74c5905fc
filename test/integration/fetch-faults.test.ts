import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { fileOwner } from '../rig/owner.ts';
import { recorder } from './fetch-fixture.ts';
import { assertSound, failureOf, startFetchHome, valueOf, withServer } from './fetch-home.ts';

/** How often fetch attempts what, and how it ends, where a registry or a mirror fails. */
const owner = fileOwner();
const { newStore, pin, registry } = await startFetchHome(owner);

interface FaultCase {
  readonly name: string;
  readonly fault:
    | { readonly kind: 'status'; readonly status: number; readonly times?: number }
    | { readonly kind: 'truncate' | 'corrupt'; readonly times?: number };
  readonly attempts: number;
  readonly end: string;
}

/** One image, pinned, which is then said to be elsewhere. */
async function pinsAt(host: string): Promise<TargetPins> {
  const pins = valueOf(await pin(['b']));
  const b = pins.images['b'];
  assert(b !== undefined);
  const there = { ...b, reference: b.reference.replace(registry.host, host) };
  return { ...pins, images: { b: there } };
}

describe('fetch from what fails', () => {
  it('passes over a mirror that fails, and says so', async () => {
    await withServer(
      (_, response) => response.writeHead(503).end(),
      async (host) => {
        const pins = valueOf(await pin(['b']));
        const context = recorder();
        const options = { store: newStore(), mirrors: [`${host}/mirror`], retryDelays: [60_000] };
        valueOf(await fetchTarget(pins, {}, options, context));
        const said = context.events.filter((event) => event.type === 'mirror-failed');
        assert.equal(said.length, 1);
        assert.match(said[0]?.detail ?? '', /503/);
      },
    );
  });

  it('makes four attempts against a registry that always answers 503, and says 4 of them', async () => {
    await withServer(
      (_, response) => response.writeHead(503).end(),
      async (host) => {
        const pins = await pinsAt(host);
        const context = recorder();
        const slept: number[] = [];
        const sleep = (milliseconds: number): Promise<void> => {
          slept.push(milliseconds);
          return Promise.resolve();
        };
        const store = newStore();
        const failure = failureOf(await fetchTarget(pins, {}, { store, sleep }, context));
        assert(failure.reason === 'registry-temporary');
        assert.equal(failure.attempts, 4);
        assert.deepEqual(slept, [5_000, 15_000, 45_000]);
        assert.deepEqual(await readdir(join(store, 'staging')), []);
        assert.deepEqual(await readdir(join(store, 'locks')), []);
      },
    );
  });

  for (const { name, fault, attempts, end } of [
    { name: '503 twice', fault: { kind: 'status', status: 503, times: 2 }, attempts: 3, end: 'ok' },
    { name: 'a cut-off blob', fault: { kind: 'truncate', times: 1 }, attempts: 2, end: 'ok' },
    { name: 'a damaged blob, once', fault: { kind: 'corrupt', times: 1 }, attempts: 2, end: 'ok' },
    {
      name: 'a damaged blob, always',
      fault: { kind: 'corrupt' },
      attempts: 2,
      end: 'wrong-content',
    },
    { name: '401', fault: { kind: 'status', status: 401 }, attempts: 1, end: 'unauthorized' },
    { name: '403', fault: { kind: 'status', status: 403 }, attempts: 1, end: 'denied' },
    { name: '404', fault: { kind: 'status', status: 404 }, attempts: 1, end: 'not-found' },
  ] satisfies readonly FaultCase[])
    it(`attempts as often as it should: ${name}`, async () => {
      const pins = valueOf(await pin(['b']));
      const b = pins.images['b'];
      assert(b?.layers[1] !== undefined);
      const match = new RegExp(`/blobs/${b.layers[1].digest}`);
      const faults = [{ ...fault, match }];
      const proxy = await startFaultProxy(owner, { upstream: registry.url, faults });
      const context = recorder();
      const store = newStore();
      const there = await pinsAt(proxy.host);
      const result = await fetchTarget(there, {}, { store, retryDelays: [1, 1, 1] }, context);
      if (result.ok) assert.equal(end, 'ok');
      else {
        assert(result.failure.reason === 'registry-refused', JSON.stringify(result.failure));
        assert.equal(result.failure.why, end);
      }
      const failures = context.events.filter((event) => event.type === 'attempt-failed');
      assert.equal(failures.length + 1, attempts, JSON.stringify(failures));
      await assertSound(store);
    });

  it('ends a download that stalls', async () => {
    await withServer(
      () => undefined,
      async (host) => {
        const pins = await pinsAt(host);
        const options = { store: newStore(), stall: 700, retryDelays: [] };
        const failure = failureOf(await fetchTarget(pins, {}, options, recorder()));
        assert(failure.reason === 'registry-temporary');
        assert.match(failure.detail, /no byte/);
      },
    );
  });

  it('ends when called off, and leaves no staging', async () => {
    await withServer(
      () => undefined,
      async (host) => {
        const pins = await pinsAt(host);
        const stop = new AbortController();
        const context = recorder(stop.signal);
        const store = newStore();
        const running = fetchTarget(
          pins,
          {},
          { store },
          {
            ...context,
            report: (event) => {
              if (event.type === 'fetch-started')
                setTimeout(() => {
                  stop.abort('SIGINT');
                }, 100);
            },
          },
        );
        assert.deepEqual(failureOf(await running), { reason: 'interrupted', signal: 'SIGINT' });
        assert.deepEqual(await readdir(join(store, 'staging')), []);
        assert.deepEqual(await readdir(join(store, 'locks')), []);
      },
    );
  });
});

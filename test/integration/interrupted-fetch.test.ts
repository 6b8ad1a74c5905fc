import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { makeImage, noise, type Image } from '../rig/image.ts';
import { assertNothingLeft, machineState } from '../rig/machine-state.ts';
import { fileOwner } from '../rig/owner.ts';
import { machinePlatform } from '../rig/platform.ts';
import { waitFor } from '../rig/process.ts';
import { push } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

/** Ways for a download to end before its time: what came stays, nothing else does. */
const owner = fileOwner();
const registry = await startRegistry(owner);
const proxy = await startFaultProxy(owner, { upstream: registry.url });
const platform = machinePlatform();
const image = await makeImage({
  platform,
  layers: [{ small: 'here at once' }, { large: noise(31, 400_000) }],
});
await push(registry, 'sample/app:1', image);
const dind = await makeImage({ platform, layers: [{ dind: 'no engine is run here' }] });
await push(registry, 'sample/dind:1', dind);
const [small, large] = layersOf(image);

function layersOf({ layers }: Image): [string, string] {
  const [first, second] = layers;
  assert.ok(first !== undefined && second !== undefined);
  return [first.digest, second.digest];
}

/** A pinned bundle, and a download of which all has come but half of the large layer. */
async function stalled(t: TestContext) {
  const dir = temporaryTree(t);
  const bundle = join(dir, 'bundle.yaml');
  writeFileSync(
    bundle,
    `stowage: 1
engine: { dind: 'docker://${proxy.host}/sample/dind:1' }
images:
  app: { from: 'docker://${proxy.host}/sample/app:1' }
`,
  );
  const store = join(dir, 'store');
  const args = ['fetch', '-b', bundle, '-p', join(dir, 'pins.json'), '-s', store];
  proxy.setFaults([]);
  const pinned = await runStowage(t, ['pin', ...args.slice(1, 5), '--platform', platform]);
  assert.equal(pinned.code, 0, pinned.stderr);
  const before = await machineState({ stores: [store] });
  proxy.setFaults([{ match: new RegExp(large), kind: 'stall' }]);
  const running = startStowage(t, args);
  const blob = (digest: string): string => join(store, 'blobs', 'sha256', digest.slice(7));
  const staged = (): string[] => entries(join(store, 'staging'));
  await waitFor('the small layer is published and the large one stalls', 20_000, () => {
    const half = proxy.requests.some(
      (request) => request.path.includes(large) && request.bytes > 0,
    );
    return half && existsSync(blob(small)) && staged().length > 0 ? true : undefined;
  });
  return { args, store, running, before, blob, staged };
}

function entries(dir: string): string[] {
  return existsSync(dir) ? readdirSync(dir) : [];
}

/** The next fetch takes over at once, waits for nobody, and downloads nothing again. */
async function assertNextFetch(t: TestContext, args: readonly string[], store: string) {
  proxy.setFaults([]);
  proxy.forget();
  const started = Date.now();
  const next = await runStowage(t, args);
  assert.equal(next.code, 0, next.stderr);
  assert.ok(Date.now() - started < 15_000, 'it waited for a lock of the dead');
  assert.doesNotMatch(next.stderr, /waiting for/);
  const blobs = proxy.requests
    .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
    .map(({ path }) => path.slice(path.indexOf('sha256:')));
  // skopeo asks for the config after the layers, so that had not come.
  assert.deepEqual(blobs.sort(), [large, image.config.digest].sort());
  assert.deepEqual(entries(join(store, 'staging')), []);
  assert.deepEqual(entries(join(store, 'locks')), []);
  return next;
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  test(`${signal} during a download: nothing is left half-done, what came is kept`, async (t) => {
    const { args, store, running, before, blob } = await stalled(t);
    const killed = Date.now();
    running.kill(signal);
    const ended = await running.ended;
    assert.equal(ended.code, code, ended.stderr);
    assert.ok(Date.now() - killed < 10_000, 'it took its time');
    assert.ok(
      ended.stderr.endsWith(`stowage: ended by ${signal}; nothing was left half-done\n`),
      ended.stderr,
    );
    assert.deepEqual(entries(join(store, 'locks')), []);
    assert.ok(existsSync(blob(small)) && !existsSync(blob(large)));
    await assertNothingLeft(before, { stores: [store] });
    await assertNextFetch(t, args, store);
  });

test('what SIGKILL leaves of a download, the next fetch removes and takes over at once', async (t) => {
  const { args, store, running, blob, staged } = await stalled(t);
  running.kill('SIGKILL');
  await running.ended;
  assert.notDeepEqual(staged(), []);
  assert.notDeepEqual(entries(join(store, 'locks')), []);
  assert.ok(existsSync(blob(small)) && !existsSync(blob(large)));
  const next = await assertNextFetch(t, args, store);
  assert.match(next.stderr, /removed a staging that a killed \w+ left/);
  assert.ok(existsSync(blob(large)));
});

test('what was left of a download that was done is removed though nothing is fetched', async (t) => {
  const { args, store, running } = await stalled(t);
  running.kill('SIGKILL');
  await running.ended;
  const left = temporaryTree(t);
  const shelves = ['staging', 'locks'];
  for (const shelf of shelves)
    cpSync(join(store, shelf), join(left, shelf), { recursive: true, preserveTimestamps: true });
  await assertNextFetch(t, args, store);
  for (const shelf of shelves)
    cpSync(join(left, shelf), join(store, shelf), { recursive: true, preserveTimestamps: true });
  assert.notDeepEqual(entries(join(store, 'locks')), []);
  proxy.forget();
  const again = await runStowage(t, args);
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(proxy.requests, []);
  for (const shelf of shelves) assert.deepEqual(entries(join(store, shelf)), []);
});

test('who waits for a download that is killed takes it over', async (t) => {
  const { args, store, running } = await stalled(t);
  const waiting = startStowage(t, args);
  await waiting.said(/waiting for app.*pid \d+/);
  proxy.setFaults([]);
  proxy.forget();
  running.kill('SIGKILL');
  await running.ended;
  const ended = await waiting.ended;
  assert.equal(ended.code, 0, ended.stderr);
  assert.deepEqual(entries(join(store, 'locks')), []);
  assert.equal(proxy.requests.filter(({ path }) => path.includes(small)).length, 0);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExpectedEngine } from '../../../../src/load/dind/check-engine.ts';
import { confirmEngine } from '../../../../src/load/dind/check-engine.ts';
import { ok } from '../../../../src/model/result.ts';
import type { EngineApi, StorageDriver } from '../../../../src/tools/engine-api.ts';

/** An engine that says no more than what keeps its images. */
function apiOf(driver: StorageDriver): EngineApi {
  return { driver: () => Promise.resolve(ok(driver)) } as unknown as EngineApi;
}

const expected: ExpectedEngine = {
  reference: 'docker.io/library/docker:28.5.2-dind',
  version: '28.5.2',
  by: 'DOCKER_VERSION',
  store: 'containerd',
  unpack: true,
};

void test('an engine is taken only if it keeps images where it was told to', async () => {
  const cases: [ExpectedEngine['store'], StorageDriver, boolean][] = [
    ['containerd', { name: 'overlayfs', isSnapshotter: true }, true],
    ['overlay2', { name: 'overlay2', isSnapshotter: false }, true],
    // What 20.10 does when it is told to use containerd's store.
    ['containerd', { name: 'overlay2', isSnapshotter: false }, false],
    ['containerd', { name: 'native', isSnapshotter: true }, false],
    ['overlay2', { name: 'vfs', isSnapshotter: false }, false],
    ['overlay2', { name: 'overlayfs', isSnapshotter: true }, false],
  ];
  for (const [store, driver, right] of cases) {
    const confirmed = await confirmEngine(apiOf(driver), '28.5.2+dfsg4', { ...expected, store });
    assert.equal(confirmed.ok, right, `${store} ${driver.name}`);
    if (confirmed.ok || confirmed.failure.reason !== 'machine-lacks') continue;
    assert.match(confirmed.failure.what, new RegExp(`${store} store.* took ${driver.name}`));
  }
});

void test('an engine of another version is refused by name', async () => {
  const api = apiOf({ name: 'overlayfs', isSnapshotter: true });
  const confirmed = await confirmEngine(api, '28.5.1', expected);
  assert.deepEqual(confirmed.ok ? undefined : confirmed.failure, {
    reason: 'engine-mislabelled',
    reference: expected.reference,
    by: 'DOCKER_VERSION',
    expected: '28.5.2',
    actual: '28.5.1',
  });
});

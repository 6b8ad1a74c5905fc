import assert from 'node:assert/strict';
import { readdir, readFile, stat, truncate, utimes, writeFile, chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import { pinTarget } from '../../src/fetch/pin.ts';
import type { TargetPins } from '../../src/model/pins.ts';
import { parsePlatform } from '../../src/model/platform.ts';
import type { Wanted } from '../../src/plan/wanted.ts';
import { runCommand } from '../../src/tools/run-command.ts';
import { fileOwner } from '../rig/owner.ts';
import { blobGets, recorder, wantedOf } from './fetch-fixture.ts';
import {
  assertSound,
  failureOf,
  fetchInto,
  startFetchHome,
  valueOf,
  withServer,
} from './fetch-home.ts';

/** What pin and fetch do where all goes well, and what they refuse. */
const owner = fileOwner();
const { newStore, pin, registry } = await startFetchHome(owner);

describe('pin', () => {
  it('fixes an index, its manifest, its config and the dind image for both builders', async () => {
    const pins = valueOf(await pin(['a', 'b']));
    const a = pins.images['a'];
    assert(a?.index !== undefined);
    assert.equal(a.reference, `${registry.host}/home/a:1@${a.index}`);
    assert.equal(a.platform, 'linux/amd64');
    assert.notEqual(a.manifest.digest, a.index);
    assert.equal(a.layers.length, 2);
    // Docker's schema 2 is kept as it is.
    assert.equal(
      pins.images['b']?.manifest.mediaType,
      'application/vnd.docker.distribution.manifest.v2+json',
    );
    assert.equal(pins.images['b'].index, undefined);
    assert.deepEqual(Object.keys(pins.dind?.platforms ?? {}), ['linux/amd64', 'linux/arm64']);
    assert.equal(JSON.stringify(valueOf(await pin(['a', 'b']))), JSON.stringify(pins));
  });

  it('chooses the exact variant, whatever is listed first', async () => {
    const pins = valueOf(await pin(['arms'], { platform: 'linux/arm/v6' }));
    assert.equal(pins.images['arms']?.platform, 'linux/arm/v6');
  });

  it('refuses a platform that is not there, and lists what is, for an index and for a single image', async () => {
    const index = failureOf(await pin(['a'], { platform: 'linux/riscv64' }));
    assert(index.reason === 'platform-not-offered');
    assert.deepEqual(index.offered, ['linux/amd64', 'linux/arm64']);
    const single = failureOf(await pin(['b'], { platform: 'linux/arm64' }));
    assert(single.reason === 'platform-not-offered');
    assert.deepEqual(single.offered, ['linux/amd64']);
  });

  it('does not wait for a name that is not there', async () => {
    const failure = failureOf(await pin(['absent'], { access: { retryDelays: [60_000] } }));
    assert(failure.reason === 'registry-refused');
    assert.equal(failure.why, 'not-found');
  });

  it('reads everything from a mirror where the registry itself can not be reached', async () => {
    for (const mirror of [registry.host, `http://${registry.host}/`]) {
      const context = recorder();
      const wanted = wantedOf(registry, { a: 'unreachable.invalid/home/a:1' }, 'linux/amd64');
      const pinned = valueOf(
        await pinTarget(wanted, { mirrors: [mirror], retryDelays: [60_000] }, context),
      );
      assert.match(pinned.images['a']?.reference ?? '', /^unreachable\.invalid\/home\/a:1@sha256:/);
      const summary = await fetchInto(newStore(), pinned, {
        mirrors: [mirror],
        retryDelays: [60_000],
      });
      assert.equal(valueOf(summary).blobs.length, 4);
      assert.deepEqual(
        context.events.filter((event) => event.type === 'attempt-failed'),
        [],
      );
    }
  });
});

describe('fetch', () => {
  it('downloads each blob once, cold, and asks for nothing, warm', async () => {
    const pins = valueOf(await pin(['a', 'b', 'twice']));
    const store = newStore();
    const since = (await registry.requests()).length;
    const amd64 = valueOf(parsePlatform('linux/amd64'));
    const summary = valueOf(await fetchInto(store, pins, { dindPlatform: amd64 }));
    const cold = (await registry.requests()).slice(since);
    const gets = blobGets(cold);
    const base = pins.images['a']?.layers[0]?.digest ?? '';
    assert.equal(gets.get(base), 1, 'the shared base came more than once');
    assert.equal(new Set(summary.blobs).size, summary.blobs.length);
    assert.equal((await readdir(join(store, 'blobs', 'sha256'))).length, summary.blobs.length);
    await assertSound(store);
    for (const kind of ['staging', 'locks']) assert.deepEqual(await readdir(join(store, kind)), []);

    const context = recorder();
    const before = (await registry.requests()).length;
    const again = valueOf(
      await fetchTarget(pins, {}, { store, dindPlatform: amd64, offline: true }, context),
    );
    assert.equal(again.downloaded, 0);
    assert.equal((await registry.requests()).length, before);
    assert.deepEqual(
      context.events.map((event) => event.type),
      ['fetch-planned', 'fetched'],
    );
  });

  it('keeps layouts that skopeo reads, with the digest of the registry', async () => {
    const pins = valueOf(await pin(['a', 'b']));
    const store = newStore();
    valueOf(await fetchInto(store, pins));
    for (const name of ['a', 'b']) {
      const hex = pins.images[name]?.manifest.digest.slice(7) ?? '';
      const layout = join(
        store,
        'images',
        `${registry.host.replace(':', '_')}_home_${name}_1@sha256_${hex}`,
      );
      const inspected = await runCommand('skopeo', ['inspect', `oci:${layout}`]);
      assert(inspected.ok, JSON.stringify(inspected));
      assert.equal(
        (JSON.parse(inspected.value.stdout) as { Digest: string }).Digest,
        `sha256:${hex}`,
      );
    }
  });

  it('says offline what is missing and whose, and makes no store', async () => {
    const pins = valueOf(await pin(['a']));
    const store = newStore();
    const failure = failureOf(await fetchInto(store, pins, { offline: true }));
    assert(failure.reason === 'blob-bad');
    assert.equal(failure.problem, 'missing');
    assert.equal(failure.owner, 'a');
    await assert.rejects(stat(store));
  });

  it('finds a blob whose content changed, and fetches that one again', async () => {
    const pins = valueOf(await pin(['a']));
    const store = newStore();
    valueOf(await fetchInto(store, pins));
    const layer = pins.images['a']?.layers[1];
    assert(layer !== undefined);
    const path = join(store, 'blobs', 'sha256', layer.digest.slice(7));
    await chmod(path, 0o644);
    const content = await readFile(path);
    content[10] = (content[10] ?? 0) ^ 1;
    await writeFile(path, content);
    await utimes(path, new Date(0), new Date(0));
    assert.deepEqual(valueOf(await fetchInto(store, pins)).blobs, [layer.digest]);
    await chmod(path, 0o644);
    await truncate(path, 5);
    const offline = failureOf(await fetchInto(store, pins, { offline: true }));
    assert(offline.reason === 'blob-bad');
    assert.equal(offline.problem, 'wrong size');
    assert.deepEqual(valueOf(await fetchInto(store, pins)).blobs, [layer.digest]);
    await assertSound(store);
  });

  it('refuses an image that is not for the platform in the pins', async () => {
    const pins = valueOf(await pin(['b']));
    const b = pins.images['b'];
    assert(b !== undefined);
    const wrong = { ...pins, images: { b: { ...b, platform: 'linux/arm64' } } };
    const failure = failureOf(await fetchInto(newStore(), wrong));
    assert(failure.reason === 'platform-mismatch');
    assert.deepEqual([failure.expected, failure.actual], ['linux/arm64', 'linux/amd64']);
  });

  it('keeps files by URL and by content, verified', async () => {
    await withServer(
      (_, response) => response.end('profile'),
      async (host) => {
        const url = `http://${host}/profile.txt`;
        const wanted: Wanted = {
          ...wantedOf(registry, { b: `${registry.host}/home/b:1` }, 'linux/amd64'),
          files: {
            'x/profile': { mode: '0644', kind: 'url', url },
            'x/text': { mode: '0600', kind: 'content', content: Buffer.from('text') },
          },
        };
        const pins = valueOf(await pinTarget(wanted, { retryDelays: [] }, recorder()));
        assert.equal(pins.files['x/profile']?.url, url);
        const store = newStore();
        const options = { store, retryDelays: [] };
        assert.equal(valueOf(await fetchTarget(pins, wanted.files, options, recorder())).files, 2);
        const hex = pins.files['x/profile'].sha256.slice(7);
        assert.equal(await readFile(join(store, 'files', 'sha256', hex), 'utf8'), 'profile');
        assert.equal((await readdir(join(store, 'files', 'sha256'))).length, 2);
        // Changed at its address: not the pinned one, twice, so refused.
        const profile = { mode: '0644', url, size: 7, sha256: pins.images['b']?.config.digest };
        const moved = { ...pins, files: { 'x/profile': profile } } as TargetPins;
        const changed = failureOf(
          await fetchTarget(moved, {}, { store: newStore(), retryDelays: [1, 1, 1] }, recorder()),
        );
        assert(changed.reason === 'registry-refused');
        assert.equal(changed.why, 'wrong-content');
      },
    );
  });
});

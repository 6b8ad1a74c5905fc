import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { lastUse } from '../../../src/store/last-use.ts';
import { currentOwner, formatOwner } from '../../../src/store/owner.ts';
import type { PruneOptions, Pruned } from '../../../src/store/prune.ts';
import { prune } from '../../../src/store/prune.ts';
import type { Store } from '../../../src/store/store.ts';
import { checkContent } from '../../../src/store/store.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../../rig/image.ts';
import { addBlob, addImage, age, context, digest, directory, newStore } from './store-fixture.ts';

const root = await directory();
const base = await makeLayer({ base: noise(1, 5000) });
const one = await makeImage({ platform: 'linux/amd64', layers: [base, { one: noise(2, 1000) }] });
const two = await makeImage({ platform: 'linux/arm64', layers: [base, { two: noise(3, 1000) }] });
const stray = noise(9, 700);
let made = 0;

const HOUR = 3_600_000;
const DAY = 24;

/** Two images over one base, a file, and a blob that no image has: everything unused for 40 days. */
async function oldStore(): Promise<Store> {
  const store = await newStore(join(root, String(++made)));
  await addImage(store, 'home/one:1', one);
  await addImage(store, 'home/two:1', two);
  const loose = await addBlob(store, stray);
  const file = await addBlob(store, Buffer.from('profile'), 'files');
  await age(store, [...one.blobs.keys(), ...two.blobs.keys(), loose], 40 * DAY);
  await age(store, [file], 40 * DAY, 'files');
  return store;
}

async function run(store: Store, options: Partial<PruneOptions> = {}): Promise<Pruned> {
  const all: PruneOptions = {
    what: 'unused',
    keep: new Set(),
    cutoff: Date.now() - 30 * DAY * HOUR,
    dryRun: false,
  };
  const pruned = await prune(store, { ...all, ...options }, context);
  assert(pruned.ok, JSON.stringify(pruned));
  assert.deepEqual(
    (await readdir(join(store.directory, 'staging'))).filter((name) => name !== 'live'),
    [],
  );
  return pruned.value;
}

async function blobsIn(store: Store): Promise<Set<string>> {
  const names = await readdir(join(store.directory, 'blobs', 'sha256'));
  return new Set(names.map((name) => `sha256:${name}`));
}

describe('prune', () => {
  it('removes what was not used for long: images, their blobs, files, and blobs of no image', async () => {
    const store = await oldStore();
    const pruned = await run(store);
    assert.deepEqual(pruned.images.map(({ name }) => name).sort(), ['home/one:1', 'home/two:1']);
    assert.equal((await blobsIn(store)).size, 0);
    for (const name of ['images', 'files/sha256', 'verified/blobs', 'verified/files'])
      assert.deepEqual(await readdir(join(store.directory, name)), [], name);
    const blobs = new Set([...one.blobs, ...two.blobs].map(([, bytes]) => bytes));
    const sizes = [...blobs].reduce((sum, { length }) => sum + length, 0);
    assert.equal(pruned.bytes, sizes + stray.length + 'profile'.length);
  });

  it('keeps an image that was used lately, and every blob that it shares', async () => {
    const store = await oldStore();
    await age(store, [two.descriptor.digest], 1);
    const pruned = await run(store);
    assert.deepEqual(
      pruned.images.map(({ name }) => name),
      ['home/one:1'],
    );
    assert.deepEqual(await blobsIn(store), new Set(two.blobs.keys()));
  });

  it('keeps what pins name, however old, and says how much the rest is before it does anything', async () => {
    const store = await oldStore();
    const keep = new Set([...one.blobs.keys()].map(digest));
    const before = await blobsIn(store);
    const said = await run(store, { keep, dryRun: true });
    assert.deepEqual(await blobsIn(store), before);
    const done = await run(store, { keep });
    assert.equal(said.bytes, done.bytes);
    assert.deepEqual(said.blobs, done.blobs);
    assert.deepEqual(await blobsIn(store), new Set(one.blobs.keys()));
    assert.equal((await readdir(join(store.directory, 'images'))).length, 1);
  });

  it('takes only what no image has where nobody said which images are done with', async () => {
    const store = await oldStore();
    const pruned = await run(store, { what: 'unreferenced' });
    assert.deepEqual([pruned.images.length, pruned.files.length, pruned.blobs.length], [0, 0, 1]);
    assert.deepEqual(await blobsIn(store), new Set([...one.blobs.keys(), ...two.blobs.keys()]));
  });

  it('keeps the index of an image that stays, although no layout names it', async () => {
    const store = await oldStore();
    const index = makeIndex({ 'linux/amd64': one });
    const bytes = index.blobs.get(index.descriptor.digest);
    assert(bytes !== undefined);
    await age(store, [await addBlob(store, bytes)], 40 * DAY);
    await age(store, [one.descriptor.digest], 1);
    await run(store);
    assert.deepEqual(await blobsIn(store), new Set([...one.blobs.keys(), index.descriptor.digest]));
  });

  it('spares what a download under way may have found before it began', async () => {
    const store = await oldStore();
    const live = join(store.directory, 'staging', 'live');
    await mkdir(live);
    const owner = join(live, 'owner.json');
    await writeFile(owner, formatOwner(currentOwner()));
    const began = Date.now() / 1000 - 10 * 3600;
    await utimes(owner, began, began);
    // Looked at half an hour before that download began, so its use was perhaps not noted again.
    await age(store, two.blobs.keys(), 10.5);
    const pruned = await run(store, { cutoff: Date.now() });
    assert.deepEqual(
      pruned.images.map(({ name }) => name),
      ['home/one:1'],
    );
    assert.deepEqual(await blobsIn(store), new Set(two.blobs.keys()));
    await rm(live, { recursive: true });
    assert.equal((await run(store, { cutoff: Date.now() })).images.length, 1);
  });

  it('never takes what a check called good while it ran', async () => {
    for (let round = 0; round < 10; round++) {
      const store = await oldStore();
      const blob = { digest: digest(base.digest), size: base.blob.length };
      const [state] = await Promise.all([
        new Promise((resolve) => setTimeout(resolve, round)).then(() =>
          checkContent(store, 'blobs', blob),
        ),
        run(store),
      ]);
      const there = (await blobsIn(store)).has(base.digest);
      assert(state === 'missing' || there, `called ${state}, and gone`);
    }
  });
});

describe('the last use', () => {
  it('is noted by a check, once an hour, and by nothing else', async () => {
    const store = await oldStore();
    const content = { digest: digest(base.digest), size: base.blob.length };
    const use = (): Promise<number | undefined> => lastUse(store, 'blobs', content.digest);
    assert.equal(await checkContent(store, 'blobs', content), 'good');
    assert.ok(Date.now() - ((await use()) ?? 0) < 60_000);
    await age(store, [base.digest], 0.5);
    const noted = await use();
    assert.equal(await checkContent(store, 'blobs', content), 'good');
    assert.equal(await use(), noted);
    const { mtimeMs } = await stat(store.blobPath(content.digest));
    assert.ok(mtimeMs > 0);
  });

  it('of content without a record is when it came', async () => {
    const store = await oldStore();
    await rm(join(store.directory, 'verified', 'blobs'), { recursive: true });
    const used = await lastUse(store, 'blobs', digest(base.digest));
    assert.ok(used !== undefined && Date.now() - used < 60_000);
  });
});

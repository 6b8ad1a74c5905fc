import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { stampOf } from '../../../src/store/content.ts';
import { hashFiles } from '../../../src/store/hash-threads.ts';
import { currentOwner, formatOwner } from '../../../src/store/owner.ts';
import { tryLock } from '../../../src/store/store-lock.ts';
import type { Store } from '../../../src/store/store.ts';
import { checkContent, recordPath } from '../../../src/store/store.ts';
import type { StoreVerified } from '../../../src/store/verify-store.ts';
import { verifyStore } from '../../../src/store/verify-store.ts';
import { digestOf, makeImage, makeLayer, noise } from '../../rig/image.ts';
import { addBlob, addImage, context, digest, directory, newStore } from './store-fixture.ts';

const root = await directory();
const base = await makeLayer({ base: noise(1, 5000) });
const one = await makeImage({ platform: 'linux/amd64', layers: [base, { one: noise(2, 1000) }] });
const two = await makeImage({ platform: 'linux/arm64', layers: [base, { two: noise(3, 1000) }] });
const own = digest(one.layers[1]?.digest ?? '');
let made = 0;

async function filled(): Promise<Store> {
  const store = await newStore(join(root, String(++made)));
  await addImage(store, 'home/one:1', one);
  await addImage(store, 'home/two:1', two);
  await addBlob(store, Buffer.from('profile'), 'files');
  return store;
}

/** One bit, and the record as if neither size nor times had changed. */
async function rot(store: Store, name: string): Promise<void> {
  const path = store.blobPath(digest(name));
  const bytes = await readFile(path);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  await chmod(path, 0o644);
  await writeFile(path, bytes);
  const stamp = stampOf(await stat(path, { bigint: true }));
  await writeFile(recordPath(store, 'blobs', digest(name)), stamp);
}

async function verify(store: Store, repair = false): Promise<StoreVerified> {
  const verified = await verifyStore(store, { repair }, context);
  assert(verified.ok, JSON.stringify(verified));
  return verified.value;
}

describe('store verify', () => {
  it('hashes every byte of a good store, and writes nothing', async () => {
    const store = await filled();
    const before = await readdir(store.directory, { recursive: true });
    const { findings, bytes, images, files } = await verify(store);
    assert.deepEqual(findings, []);
    const contents = new Map([...one.blobs, ...two.blobs]);
    const total = [...contents.values()].reduce((sum, blob) => sum + blob.length, 0);
    assert.deepEqual([bytes, images, files], [total + 'profile'.length, 2, 1]);
    assert.deepEqual(await readdir(store.directory, { recursive: true }), before);
  });

  it('finds a bit that no size and no time tells of, and names every image that has it', async () => {
    const store = await filled();
    await rot(store, base.digest);
    const content = { digest: digest(base.digest), size: base.blob.length };
    assert.equal(await checkContent(store, 'blobs', content), 'good', 'the record tells nothing');
    const { findings } = await verify(store);
    assert.deepEqual(findings, [
      {
        what: 'blob',
        digest: base.digest,
        problem: 'wrong digest',
        images: ['home/one:1', 'home/two:1'],
        removed: false,
      },
    ]);
  });

  it('removes with --repair what is bad and the layouts that need it, and nothing else', async () => {
    const store = await filled();
    await rot(store, own);
    const { findings } = await verify(store, true);
    assert.deepEqual(
      findings.map(({ digest: bad, removed }) => [bad, removed]),
      [[own, true]],
    );
    assert.deepEqual((await verify(store)).findings, []);
    assert.equal((await readdir(join(store.directory, 'images'))).length, 1);
    const left = await readdir(join(store.directory, 'blobs', 'sha256'));
    assert.equal(left.length, new Set([...one.blobs.keys(), ...two.blobs.keys()]).size - 1);
    assert.deepEqual(await readdir(join(store.directory, 'staging')), []);
    await addImage(store, 'home/one:1', one);
    assert.deepEqual((await verify(store)).findings, []);
    assert.equal((await readdir(join(store.directory, 'images'))).length, 2);
  });

  it('finds a rotten manifest, a directory in the place of a blob, a rotten file', async () => {
    const store = await filled();
    await rot(store, one.descriptor.digest);
    const config = digest(two.config.digest);
    await rm(store.blobPath(config));
    await mkdir(store.blobPath(config));
    const file = digest(digestOf(Buffer.from('profile')));
    await chmod(store.filePath(file), 0o644);
    await writeFile(store.filePath(file), 'prof1le');
    const { findings } = await verify(store, true);
    assert.deepEqual(
      findings.map(({ what, problem, removed }) => `${what} ${problem} ${removed}`).sort(),
      ['blob unreadable true', 'blob wrong digest true', 'file wrong digest true'],
    );
    assert.deepEqual((await verify(store)).findings, []);
    assert.deepEqual(await readdir(join(store.directory, 'images')), []);
  });

  it('finds layouts that lack a blob or are half-written, and staging that nobody has', async () => {
    const store = await filled();
    await rm(store.blobPath(own));
    await rm(join(store.imagePath('home/two:1', digest(two.descriptor.digest)), 'index.json'));
    const dead = join(store.directory, 'staging', 'dead');
    await mkdir(dead);
    await writeFile(join(dead, 'owner.json'), formatOwner({ ...currentOwner(), start: '1' }));
    const { findings } = await verify(store);
    assert.deepEqual(
      findings.map(({ images, detail }) => `${images.join()}: ${detail}`).sort(),
      [`home_two_1: its layout is damaged or half-written`, `home/one:1: ${own} is missing`].sort(),
    );
    assert(findings.every(({ problem, removed }) => problem === 'incomplete' && !removed));
    assert((await verify(store, true)).findings.every(({ removed }) => removed));
    assert.deepEqual((await verify(store)).findings, []);
    assert.deepEqual(await readdir(join(store.directory, 'staging')), []);
  });

  it('leaves a bad blob to who has claimed it already', async () => {
    const store = await filled();
    await rot(store, own);
    const claim = await tryLock(join(store.directory, 'locks', own.slice('sha256:'.length)));
    assert(claim.ok && 'lock' in claim.value);
    const { findings } = await verify(store, true);
    assert.deepEqual(
      findings.filter(({ what }) => what === 'blob').map(({ removed }) => removed),
      [false],
    );
    assert((await readdir(join(store.directory, 'blobs', 'sha256'))).includes(own.slice(7)));
    await claim.value.lock.release();
  });

  it('is clean while good copies replace good copies under it', async () => {
    const store = await filled();
    const stop = new AbortController();
    const publishing = (async () => {
      while (!stop.signal.aborted) await addBlob(store, base.blob);
    })();
    for (let round = 0; round < 5; round++)
      assert.deepEqual((await verify(store, true)).findings, []);
    stop.abort();
    await publishing;
    assert.deepEqual((await verify(store)).findings, []);
  });
});

describe('hashing in threads', () => {
  it('gives the digest of every file, and the error of what can not be read', async () => {
    const path = join(root, 'file');
    await writeFile(path, 'a layer');
    const found = new Map<string, string>();
    await hashFiles(
      [path, join(root, 'absent')],
      (name) => name,
      (name, hash) => {
        found.set(name, 'hex' in hash ? hash.hex : hash.error);
        return Promise.resolve();
      },
      context.signal,
    );
    assert.match(found.get(path) ?? '', /^[0-9a-f]{64}$/);
    assert.equal(found.get(join(root, 'absent')), 'ENOENT');
  });

  it('ends at once when it is called off', async () => {
    const path = join(root, 'file');
    await writeFile(path, 'a layer');
    const stop = new AbortController();
    let count = 0;
    await hashFiles(
      Array.from({ length: 1000 }, () => path),
      (name) => name,
      () => {
        count += 1;
        if (count === 3) stop.abort();
        return Promise.resolve();
      },
      stop.signal,
    );
    assert.ok(count >= 3 && count < 20, String(count));
  });
});

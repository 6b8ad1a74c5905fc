import assert from 'node:assert/strict';
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { digestOf } from '../../../src/model/digest.ts';
import { hasImageLayout, writeImageLayout } from '../../../src/store/image-layout.ts';
import { publish } from '../../../src/store/publish.ts';
import type { Store } from '../../../src/store/store.ts';
import {
  checkContent,
  createStore,
  hasBlob,
  openStore,
  readBlob,
} from '../../../src/store/store.ts';

const root = await mkdtemp(join(tmpdir(), 'stowage-store-'));
let made = 0;
after(() => rm(root, { recursive: true, force: true }));

const CONTENT = Buffer.from('a layer');
const BLOB = { digest: digestOf(CONTENT), size: CONTENT.length, mediaType: 'x' };

async function newStore(): Promise<Store> {
  const store = await createStore(join(root, String(++made)));
  assert(store.ok);
  return store.value;
}

async function staged(store: Store, content: Buffer | string = CONTENT): Promise<string> {
  const path = join(store.directory, 'staging', `file-${++made}`);
  await writeFile(path, content);
  return path;
}

async function filled(): Promise<Store> {
  const store = await newStore();
  assert((await publish(store, 'blobs', await staged(store), BLOB)).ok);
  return store;
}

describe('a directory as a store', () => {
  it('is made once, by any number at the same time', async () => {
    const directory = join(root, 'together', 'deep');
    const all = await Promise.all(Array.from({ length: 16 }, () => createStore(directory)));
    assert(all.every((store) => store.ok));
    assert.equal(await readFile(join(directory, 'stowage-store.json'), 'utf8'), '{"format":1}\n');
    assert.deepEqual(
      (await readdir(directory)).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('is a store in which all is missing while it does not exist, and reading does not make it', async () => {
    const store = await openStore(join(root, 'absent'));
    assert(store.ok);
    assert.equal(await checkContent(store.value, 'blobs', BLOB), 'missing');
    await assert.rejects(stat(join(root, 'absent')));
  });

  for (const [what, prepare, detail] of [
    [
      'holds something else',
      (d: string) => writeFile(join(d, 'photo.jpg'), ''),
      /holds other things/,
    ],
    [
      'is of a newer format',
      (d: string) => writeFile(join(d, 'stowage-store.json'), '{"format":2}'),
      /format 2.*newer stowage/,
    ],
    [
      'has a mark nobody understands',
      (d: string) => writeFile(join(d, 'stowage-store.json'), '{'),
      /can't be understood/,
    ],
  ] as const)
    it(`is refused where it ${what}`, async () => {
      const directory = join(root, String(++made));
      await mkdir(directory);
      await prepare(directory);
      const before = await readdir(directory);
      for (const result of [await openStore(directory), await createStore(directory)]) {
        assert(!result.ok && result.failure.reason === 'store-invalid');
        assert.match(result.failure.detail, detail);
      }
      assert.deepEqual(await readdir(directory), before);
    });

  it('is refused where it is a file', async () => {
    const path = join(root, String(++made));
    await writeFile(path, '');
    for (const result of [await openStore(path), await createStore(path)])
      assert(!result.ok && result.failure.reason === 'store-invalid');
  });

  it('may be a fresh file system', async () => {
    const directory = join(root, String(++made));
    await mkdir(join(directory, 'lost+found'), { recursive: true });
    assert((await createStore(directory)).ok);
  });
});

describe('publish', () => {
  it('puts verified content in its place, read-only, and nothing else', async () => {
    const store = await filled();
    const path = store.blobPath(BLOB.digest);
    assert.equal((await stat(path)).mode & 0o7777, 0o444);
    assert.deepEqual(await readFile(path), CONTENT);
    assert(await hasBlob(store, BLOB));
    assert.deepEqual(await readdir(join(store.directory, 'staging')), []);
  });

  it('refuses other content, and leaves the store as it was', async () => {
    const store = await newStore();
    for (const content of ['b layer', 'a layer and more', '']) {
      const result = await publish(store, 'blobs', await staged(store, content), BLOB);
      assert(!result.ok && result.failure.reason === 'content-wrong');
      assert.equal(result.failure.actual.digest, digestOf(content));
    }
    assert.deepEqual(await readdir(join(store.directory, 'blobs', 'sha256')), []);
  });

  it('mends content that is bad', async () => {
    const store = await filled();
    await chmod(store.blobPath(BLOB.digest), 0o644);
    await writeFile(store.blobPath(BLOB.digest), 'rotten!');
    assert.equal(await checkContent(store, 'blobs', BLOB), 'wrong digest');
    assert((await publish(store, 'blobs', await staged(store), BLOB)).ok);
    assert(await hasBlob(store, BLOB));
  });

  it('leaves a store that is right when several publish the same', async () => {
    const store = await newStore();
    const all = await Promise.all(
      Array.from({ length: 8 }, async () => publish(store, 'blobs', await staged(store), BLOB)),
    );
    assert(all.every((result) => result.ok));
    assert(await hasBlob(store, BLOB));
    assert.deepEqual(await readFile(store.blobPath(BLOB.digest)), CONTENT);
  });
});

describe('the warm check', () => {
  it('does not read content whose size and times are as they were', async () => {
    const store = await filled();
    // A record that fits content which is not right shows that only the record was looked at.
    const path = store.blobPath(BLOB.digest);
    await chmod(path, 0o644);
    await writeFile(path, 'b layer');
    const { size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    const record = join(store.directory, 'verified', 'blobs', BLOB.digest.slice(7));
    await writeFile(record, `${size} ${mtimeNs} ${ctimeNs}\n`);
    assert.equal(await checkContent(store, 'blobs', BLOB), 'good');
    await utimes(path, 1, 1);
    assert.equal(await checkContent(store, 'blobs', BLOB), 'wrong digest');
  });

  it('hashes where the record is missing or of other times, and records again', async () => {
    const store = await filled();
    const record = join(store.directory, 'verified', 'blobs', BLOB.digest.slice(7));
    await rm(record);
    assert(await hasBlob(store, BLOB));
    const written = await readFile(record, 'utf8');
    await utimes(store.blobPath(BLOB.digest), 1, 1);
    assert(await hasBlob(store, BLOB));
    assert.notEqual(await readFile(record, 'utf8'), written);
  });

  it('works where no record can be written', async () => {
    const store = await filled();
    await rm(join(store.directory, 'verified'), { recursive: true });
    assert(await hasBlob(store, BLOB));
  });

  it('tells a wrong size, and a directory, from what is missing', async () => {
    const store = await filled();
    assert.equal(await checkContent(store, 'blobs', { ...BLOB, size: 3 }), 'wrong size');
    assert.equal(await checkContent(store, 'files', BLOB), 'missing');
    await mkdir(store.filePath(BLOB.digest));
    assert.equal(await checkContent(store, 'files', BLOB), 'wrong size');
  });
});

it('readBlob hashes what it reads, whatever the record says', async () => {
  const store = await filled();
  assert((await readBlob(store, BLOB, 'core')).ok);
  const path = store.blobPath(BLOB.digest);
  await chmod(path, 0o644);
  await writeFile(path, 'b layer');
  const result = await readBlob(store, BLOB, 'core');
  assert(!result.ok && result.failure.reason === 'blob-bad');
  assert.deepEqual([result.failure.problem, result.failure.owner], ['wrong digest', 'core']);
});

describe('the layout of an image', () => {
  const image = { name: 'ghcr.io/x/y:1', manifest: BLOB };

  it('appears whole, once, and reaches the blobs', async () => {
    const store = await filled();
    assert.equal(await hasImageLayout(store, image), false);
    const all = await Promise.all([1, 2, 3, 4].map(() => writeImageLayout(store, image)));
    assert(
      all.every((result) => result.ok),
      JSON.stringify(all),
    );
    const path = store.imagePath(image.name, BLOB.digest);
    assert.deepEqual((await readdir(path)).sort(), ['blobs', 'index.json', 'oci-layout']);
    assert.deepEqual(await readFile(join(path, 'blobs', 'sha256', BLOB.digest.slice(7))), CONTENT);
    assert(await hasImageLayout(store, image));
    assert.deepEqual(await readdir(join(store.directory, 'staging')), []);
  });

  it('replaces one that is damaged', async () => {
    const store = await filled();
    assert((await writeImageLayout(store, image)).ok);
    const index = join(store.imagePath(image.name, BLOB.digest), 'index.json');
    await rename(index, `${index}.old`);
    assert((await writeImageLayout(store, image)).ok);
    assert(await hasImageLayout(store, image));
  });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pack } from 'tar-stream';
import type { Failure } from '../../../src/model/failure.ts';
import { exportStore } from '../../../src/store/export-store.ts';
import { keepSignatures } from '../../../src/store/image-signatures.ts';
import { importStore } from '../../../src/store/import-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { verifyStore } from '../../../src/store/verify-store.ts';
import { makeImage, makeIndex, makeLayer, noise } from '../../rig/image.ts';
import { must } from '../../rig/process.ts';
import { addBlob, addImage, context, digest, directory, newStore } from './store-fixture.ts';

const root = await directory();
const base = await makeLayer({ base: noise(1, 3_000_000) });
const one = await makeImage({ platform: 'linux/amd64', layers: [base, { one: noise(2, 1000) }] });
const two = await makeImage({ platform: 'linux/arm64', format: 'docker', layers: [base] });
const index = makeIndex({ 'linux/amd64': one });
let made = 0;

async function filled(): Promise<Store> {
  const store = await newStore(join(root, String(++made)));
  await addImage(store, 'home/one:1', one);
  await addImage(store, 'home/two:1', two);
  await addBlob(store, index.blobs.get(index.descriptor.digest) ?? Buffer.of());
  await addBlob(store, Buffer.from('profile'), 'files');
  const { mediaType, size } = one.descriptor;
  const manifest = { mediaType, size, digest: digest(one.descriptor.digest) };
  const signature = { path: 'signature-1', content: Buffer.from([0, 1, 254, 255]) };
  assert((await keepSignatures(store, { name: 'home/one:1', manifest }, [signature])).ok);
  return store;
}

async function exported(store: Store): Promise<string> {
  const file = join(root, `${++made}.tar`);
  const result = await exportStore(store, undefined, file, { dryRun: false }, context);
  assert(result.ok, JSON.stringify(result));
  return file;
}

function take(store: string, file: string, dryRun = false): ReturnType<typeof importStore> {
  return importStore(store, file, { dryRun }, context);
}

async function contentOf(store: string): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for (const name of await readdir(store, { recursive: true }))
    if (!/^(verified|locks|staging)/.test(name) && !name.includes('/blobs/')) {
      const path = join(store, name);
      const isFile = (await stat(path)).isFile();
      content.set(name, isFile ? hash(await readFile(path)) : '');
    }
  return content;
}

function hash(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('export and import', () => {
  it('carry images, files, an index and signatures, byte for byte, and once only', async () => {
    const store = await filled();
    const file = await exported(store);
    const other = join(root, String(++made));
    const said = await take(other, file, true);
    assert(said.ok && said.value.contents > 0);
    await assert.rejects(stat(other), 'a dry run makes nothing');
    const first = await take(other, file);
    assert(first.ok, JSON.stringify(first));
    assert.deepEqual(first.value, said.value);
    assert.deepEqual(first.value.images, ['home/one:1', 'home/two:1']);
    assert.deepEqual(await contentOf(other), await contentOf(store.directory));
    assert.deepEqual(await readdir(join(other, 'staging')), []);
    const again = await take(other, file);
    assert(again.ok);
    assert.deepEqual([again.value.contents, again.value.bytes], [0, 0]);
    const verified = await verifyStore(await newStore(other), { repair: false }, context);
    assert(verified.ok && verified.value.findings.length === 0);
  });

  it('give the same bytes for the same content, whatever the order it came in', async () => {
    const file = await exported(await filled());
    const store = await newStore(join(root, String(++made)));
    await addBlob(store, Buffer.from('profile'), 'files');
    await addImage(store, 'home/two:1', two);
    assert((await take(store.directory, file)).ok);
    const again = await exported(store);
    assert.equal(hash(await readFile(file)), hash(await readFile(again)));
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('is an OCI archive to other tools', async () => {
    const file = await exported(await filled());
    const args = ['inspect', '--raw', `oci-archive:${file}:home/one:1`];
    const raw = await must('skopeo', ['--insecure-policy', ...args]);
    assert.equal(`sha256:${hash(Buffer.from(raw))}`, one.descriptor.digest);
  });

  it('refuses to export what is rotten, and leaves nothing', async () => {
    const store = await filled();
    const path = store.blobPath(digest(base.digest));
    await must('chmod', ['644', path]);
    const handle = await open(path, 'r+');
    await handle.write('x', 2000);
    await handle.close();
    const output = join(root, `${++made}.tar`);
    const result = await exportStore(store, undefined, output, { dryRun: false }, context);
    assert(!result.ok && result.failure.reason === 'blob-bad');
    assert.equal(result.failure.owner, 'home/one:1, home/two:1');
    assert.equal(result.failure.digest, base.digest);
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.includes(`${made}.tar`)),
      [],
    );
  });
});

describe('an import refuses', () => {
  const profile = hash(Buffer.from('profile'));
  const member = `files/sha256/${profile}`;
  const header = (contents: object = {}): string =>
    JSON.stringify({
      stowageExport: 1,
      images: [],
      blobs: [],
      files: [{ digest: `sha256:${profile}`, size: 7 }],
      ...contents,
    });
  const manifest = {
    digest: one.descriptor.digest,
    size: one.descriptor.size,
    mediaType: one.descriptor.mediaType,
  };

  for (const [what, entries, detail] of [
    ['a name that leads elsewhere', { 'x/../../evil': 'x' }, /leads elsewhere/],
    ['an absolute name', { '/etc/evil': 'x' }, /leads elsewhere/],
    ['a link', { [member]: { link: '/etc/passwd' } }, /has a link/],
    ['other content of the right size', { [member]: 'prof1le' }, /is not what its name says/],
    ['content of another size', { [member]: 'profiles' }, /of the wrong size/],
    ['what no export has', { [member]: 'profile', README: 'x' }, /which no export has/],
    ['the same twice', { [member]: 'profile', [`./${member}`]: 'profile' }, /twice/],
    ['what lacks a file', {}, /ends too early: it lacks files/],
    ['an export of a newer format', { first: header({ stowageExport: 2 }) }, /format 2.*newer/],
    ['a document that is none', { first: '{' }, /is no JSON document/],
    ['a document of another shape', { first: header({ blobs: [1] }) }, /can't be understood/],
    [
      'a name that leads out of the store',
      { first: header({ images: [{ name: '../../x y', manifest, signatures: [] }] }) },
      /can't be understood/,
    ],
    [
      'a signature that leads out of the store',
      {
        first: header({
          images: [{ name: 'x:1', manifest, signatures: [{ path: '../../../evil', content: '' }] }],
        }),
      },
      /can't be understood/,
    ],
    [
      'an image without its manifest',
      {
        first: header({ images: [{ name: 'home/one:1', manifest, signatures: [] }] }),
        [member]: 'profile',
      },
      /home\/one:1 is not whole in it: it lacks sha256/,
    ],
  ] as const)
    it(`${what}, with one message, and changes nothing`, async () => {
      const file = join(root, `${++made}.tar`);
      await writeTar(file, { 'stowage-export.json': header(), ...entries });
      const store = await newStore(join(root, String(++made)));
      const before = await contentOf(store.directory);
      const failure = await refused(store.directory, file);
      assert(failure.reason === 'archive-bad', JSON.stringify(failure));
      assert.match(failure.detail, detail);
      assert.deepEqual(await contentOf(store.directory), before);
      assert.deepEqual(await readdir(join(store.directory, 'staging')), []);
    });

  it('a file that was cut, wherever, and changes nothing', async () => {
    const whole = await exported(await filled());
    const { size } = await stat(whole);
    const bytes = await readFile(whole);
    for (const length of [0, 100, 512, 3000, size >> 1, size - 4096, 1024]) {
      const file = join(root, `${++made}.tar`);
      await writeFile(file, bytes);
      await truncate(file, length);
      const store = await newStore(join(root, String(++made)));
      const before = await contentOf(store.directory);
      const failure = await refused(store.directory, file);
      assert(failure.reason === 'archive-bad', `${length}: ${JSON.stringify(failure)}`);
      assert.deepEqual(await contentOf(store.directory), before);
    }
  });

  it('a file that is no tar, one that is not there, and makes no store', async () => {
    const store = join(root, String(++made));
    const file = join(root, `${++made}.txt`);
    await writeFile(file, 'x'.repeat(5000));
    assert.equal((await refused(store, file)).reason, 'archive-bad');
    assert.equal((await refused(store, `${file}.absent`)).reason, 'invalid-option');
    await assert.rejects(stat(store));
  });

  async function refused(store: string, file: string): Promise<Failure> {
    const result = await take(store, file);
    assert(!result.ok, 'it was taken');
    return result.failure;
  }
});

type Entry = string | { readonly link: string };

async function writeTar(file: string, entries: Readonly<Record<string, Entry>>): Promise<void> {
  const tar = pack();
  const { first, ...rest } = entries;
  for (const [name, entry] of Object.entries(rest)) {
    const content = name === 'stowage-export.json' && first !== undefined ? first : entry;
    if (typeof content === 'string') tar.entry({ name }, content);
    else tar.entry({ name, type: 'symlink', linkname: content.link });
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  await writeFile(file, Buffer.concat(chunks));
}

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { extract } from 'tar-stream';
import { digestOf, hexOf } from '../../../src/model/digest.ts';
import type { ArchiveImage } from '../../../src/oci/hybrid-archive.ts';
import { BlobMismatch, hybridArchive } from '../../../src/oci/hybrid-archive.ts';

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';

/** Blobs in a directory, and one image over them with `layers` as given. */
async function fixture(
  t: TestContext,
  layers: readonly string[],
): Promise<{ image: ArchiveImage; path: (digest: string) => string }> {
  const directory = await mkdtemp(join(tmpdir(), 'stowage-test-'));
  t.after(() => rm(directory, { recursive: true }));
  const put = async (content: string, mediaType: string) => {
    const digest = digestOf(content);
    await writeFile(join(directory, hexOf(digest)), content);
    return { digest, mediaType, size: Buffer.byteLength(content) };
  };
  const image: ArchiveImage = {
    manifest: await put('{"manifest":true}', MANIFEST_TYPE),
    config: await put('{"config":true}', 'application/vnd.docker.container.image.v1+json'),
    layers: await Promise.all(layers.map((layer) => put(layer, 'layer'))),
    names: ['docker.io/library/a:1', 'ghcr.io/x/y:latest'],
  };
  return { image, path: (digest) => join(directory, digest.slice('sha256:'.length)) };
}

async function read(stream: NodeJS.ReadableStream): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  const tar = extract();
  stream.on('error', (error: Error) => {
    tar.destroy(error);
  });
  stream.pipe(tar);
  for await (const entry of tar) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    assert.ok(!entries.has(entry.header.name), `${entry.header.name} is there once`);
    entries.set(entry.header.name, Buffer.concat(chunks).toString());
  }
  return entries;
}

test('an archive is an OCI layout and a docker archive over the same blobs', async (t) => {
  const { image, path } = await fixture(t, ['layer one', 'layer two', 'layer one']);
  const entries = await read(hybridArchive([image], path));

  for (const blob of [image.manifest, image.config, ...image.layers])
    assert.equal(digestOf(entries.get(`blobs/sha256/${hexOf(blob.digest)}`) ?? ''), blob.digest);
  const index = JSON.parse(entries.get('index.json') ?? '') as {
    manifests: { digest: string; mediaType: string; annotations: Record<string, string> }[];
  };
  assert.deepEqual(
    index.manifests.map((entry) => [
      entry.digest,
      entry.mediaType,
      entry.annotations['io.containerd.image.name'],
    ]),
    image.names.map((name) => [image.manifest.digest, MANIFEST_TYPE, name]),
  );
  const [listed] = JSON.parse(entries.get('manifest.json') ?? '') as [
    { Config: string; RepoTags: string[]; Layers: string[] },
  ];
  assert.equal(listed.Config, `blobs/sha256/${hexOf(image.config.digest)}`);
  assert.deepEqual(listed.RepoTags, image.names);
  // A layer that an image lists twice is applied twice, and stored once.
  assert.equal(listed.Layers.length, 3);
  assert.equal(entries.size, 3 + 2 + 2);
});

test('the same images give the same bytes', async (t) => {
  const { image, path } = await fixture(t, ['a', 'b']);
  const bytes = async (): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of hybridArchive([image], path)) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  };
  assert.ok((await bytes()).equals(await bytes()));
});

for (const [problem, spoil] of [
  ['wrong digest', (path: string) => writeFile(path, 'laxer')],
  ['wrong size', (path: string) => writeFile(path, 'layer and more')],
  ['wrong size', (path: string) => writeFile(path, 'lay')],
  ['missing', (path: string) => rm(path)],
] as const)
  test(`a blob with ${problem} destroys the archive and is named`, async (t) => {
    const { image, path } = await fixture(t, ['layer']);
    const [layer] = image.layers;
    assert.ok(layer);
    await spoil(path(layer.digest));
    await assert.rejects(
      read(hybridArchive([image], path)),
      (error: unknown) =>
        error instanceof BlobMismatch && error.problem === problem && error.digest === layer.digest,
    );
  });

test('blobs that the reader has are left out, and the end comes when it may', async (t) => {
  const { image, path } = await fixture(t, ['layer one', 'layer two']);
  const [one, two] = image.layers;
  assert.ok(one !== undefined && two !== undefined);
  let mayEnd: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (mayEnd = resolve));
  let ended = false;
  let allWritten: () => void = () => undefined;
  const written = new Promise<void>((resolve) => (allWritten = resolve));
  const archive = hybridArchive([image], path, {
    without: new Set([one.digest]),
    beforeEnd: () => {
      allWritten();
      return held;
    },
  });
  archive.once('end', () => (ended = true));
  const reading = read(archive);
  await written;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(ended, false);
  mayEnd();
  const entries = await reading;
  assert.equal(entries.get(`blobs/sha256/${hexOf(two.digest)}`), 'layer two');
  assert.equal(entries.has(`blobs/sha256/${hexOf(one.digest)}`), false);
});

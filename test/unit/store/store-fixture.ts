import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { parseDigest } from '../../../src/model/digest.ts';
import type { Digest } from '../../../src/model/digest.ts';
import { writeImageLayout } from '../../../src/store/image-layout.ts';
import { publish } from '../../../src/store/publish.ts';
import type { Store } from '../../../src/store/store.ts';
import { createStore, recordPath } from '../../../src/store/store.ts';
import type { Image } from '../../rig/image.ts';
import { digestOf } from '../../rig/image.ts';

/** A directory of the test file's own, gone at its end. */
export async function directory(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'stowage-store-'));
  after(() => rm(root, { recursive: true, force: true }));
  return root;
}

export async function newStore(path: string): Promise<Store> {
  const store = await createStore(path);
  if (!store.ok) throw new Error(JSON.stringify(store.failure));
  return store.value;
}

export function digest(text: string): Digest {
  const parsed = parseDigest(text);
  if (parsed === undefined) throw new Error(`no digest: ${text}`);
  return parsed;
}

export async function addBlob(
  store: Store,
  content: Uint8Array,
  shelf: 'blobs' | 'files' = 'blobs',
): Promise<Digest> {
  const name = digest(digestOf(content));
  const staged = join(store.directory, 'staging', `${shelf}-${name}`);
  await writeFile(staged, content);
  const published = await publish(store, shelf, staged, { digest: name, size: content.length });
  if (!published.ok) throw new Error(JSON.stringify(published.failure));
  return name;
}

/** An image as a fetch leaves it. */
export async function addImage(store: Store, name: string, image: Image): Promise<void> {
  for (const blob of image.blobs.values()) await addBlob(store, blob);
  const { mediaType, size } = image.descriptor;
  const manifest = { mediaType, size, digest: digest(image.descriptor.digest) };
  const written = await writeImageLayout(store, { name, manifest });
  if (!written.ok) throw new Error(JSON.stringify(written.failure));
}

/** As if the content had been used that many hours ago. */
export async function age(
  store: Store,
  digests: Iterable<string>,
  hours: number,
  shelf: 'blobs' | 'files' = 'blobs',
): Promise<void> {
  const then = Date.now() / 1000 - hours * 3600;
  for (const name of digests) await utimes(recordPath(store, shelf, digest(name)), then, then);
}

export const context = {
  report: (): void => undefined,
  signal: new AbortController().signal,
};

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { bundleItems } from '../../../../src/load/direct/bundle-files.ts';
import type { BuildRequest } from '../../../../src/load/loader.ts';
import { digestOf } from '../../../../src/model/digest.ts';
import { noise } from '../../../rig/image.ts';
import { givenImages } from './direct-image.ts';

void test('a large file is not read on once it is called off', async (t) => {
  const { store, pins } = await givenImages(t, {});
  const content = noise(3, 1_000_000);
  const sha256 = digestOf(content);
  writeFileSync(store.filePath(sha256), content);
  const request = {
    ...{ store, wanted: { files: {} } },
    pins: { ...pins, files: { 'opt/large': { sha256, size: content.length, mode: '0644' } } },
  } as unknown as BuildRequest;
  const calling = new AbortController();
  const mtime = { seconds: 0, nanoseconds: 0 };
  const items = [...bundleItems(request, new Set(), { mtime, signal: calling.signal })];
  const file = items.at(-1)?.content;
  assert.ok(file !== undefined && !(file instanceof Uint8Array));
  let read = 0;
  const reading = (async () => {
    for await (const chunk of file) {
      read += chunk.length;
      calling.abort(new Error('called off'));
    }
  })();
  await assert.rejects(reading, /called off/);
  assert.ok(read < content.length, `${read}`);
});

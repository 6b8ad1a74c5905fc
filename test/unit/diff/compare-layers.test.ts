import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareLayers } from '../../../src/diff/compare-subjects.ts';
import type { ContentImage, ContentLayer } from '../../../src/inspect/contents.ts';
import { digestOf } from '../../../src/model/digest.ts';

/** What an archive or containerd's store knows of a layer, what pins know, and what overlay2 knows. */
const full = (name: string): ContentLayer => ({ ...pinned(name), ...unpacked(name) });
const pinned = (name: string): ContentLayer => ({ digest: digestOf(`${name} packed`), packed: 5 });
const unpacked = (name: string): ContentLayer => ({ diffId: digestOf(name) });

const image = (...layers: ContentLayer[]): ContentImage => ({ names: [], layers, documents: 0 });
const base = 'base';

test('layers go by their diff IDs, and are told with their blobs', () => {
  assert.deepEqual(
    compareLayers(image(full(base), full('one')), image(full(base), unpacked('two'))),
    {
      ...{ by: 'diff ID', same: 1 },
      removed: [{ digest: digestOf('one'), blob: digestOf('one packed'), packed: 5 }],
      added: [{ digest: digestOf('two') }],
    },
  );
});

test('against pins they go by their blobs, whichever side is pins', () => {
  const [data, pins] = [image(full(base), full('one')), image(pinned(base), pinned('two'))];
  const one = { digest: digestOf('one packed'), packed: 5 };
  const two = { digest: digestOf('two packed'), packed: 5 };
  const common = { by: 'blob', same: 1 } as const;
  assert.deepEqual(compareLayers(data, pins), { ...common, removed: [one], added: [two] });
  assert.deepEqual(compareLayers(pins, data), { ...common, removed: [two], added: [one] });
});

test('a layer is not told as another where the two sides have no digest in common', () => {
  const overlay2 = image(unpacked(base), unpacked('one'));
  assert.deepEqual(compareLayers(overlay2, image(pinned(base), pinned('one'))), {
    ...{ by: 'nothing', same: 0 },
    ...{ removed: [], added: [] },
  });
});

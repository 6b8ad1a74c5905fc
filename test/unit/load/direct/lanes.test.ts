import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dealLayers, mergeLanes } from '../../../../src/load/direct/lanes.ts';
import type { PlannedLayer } from '../../../../src/load/direct/plan-content.ts';
import { digestOf } from '../../../../src/model/digest.ts';

const layer = (name: string, size: number): PlannedLayer => ({
  ...{ chainId: digestOf(name), diffId: digestOf(name), below: [], image: name },
  blob: { digest: digestOf(name), size, mediaType: '' },
});
const MB = 1_000_000;

void test('layers are dealt so that the lanes are about equally long, whatever order they come in', () => {
  const layers = [layer('a', 9 * MB), layer('b', 5 * MB), layer('c', 4 * MB), layer('d', 2 * MB)];
  const names = (dealt: readonly (readonly PlannedLayer[])[]): string[] =>
    dealt.map((lane) => lane.map(({ image }) => image).join(''));
  assert.deepEqual(names(dealLayers(layers)), ['ad', 'bc']);
  assert.deepEqual(names(dealLayers([...layers].reverse())), ['ad', 'bc']);
  const alike = ['x', 'y', 'z'].map((name) => layer(name, 7));
  assert.deepEqual(names(dealLayers(alike)), names(dealLayers([...alike].reverse())));
});

/** Each item after its own pause in turns of the event loop. */
async function* slow(name: string, sizes: readonly number[], turns: readonly number[]) {
  for (const [i, bytes] of sizes.entries()) {
    for (let turn = turns[i] ?? 0; turn > 0; turn--) await new Promise(setImmediate);
    yield { name: `${name}${i}`, bytes };
  }
}

void test('who has given the fewest bytes is next, however long it takes', async () => {
  const merge = async (turnsA: readonly number[], turnsB: readonly number[]): Promise<string> => {
    const merged: string[] = [];
    const lanes = [slow('a', [10, 1, 1, 1], turnsA), slow('b', [3, 3, 3, 3], turnsB)];
    for await (const { name } of mergeLanes(lanes)) merged.push(name);
    return merged.join(' ');
  };
  const expected = 'a0 b0 b1 b2 b3 a1 a2 a3';
  assert.equal(await merge([], []), expected);
  assert.equal(await merge([9, 0, 5], [0, 7]), expected);
  assert.equal(await merge([0, 3], [20, 1, 1, 9]), expected);
});

void test('lanes that are not read to their end are closed', async () => {
  const closed: string[] = [];
  async function* lane(name: string) {
    try {
      for (;;) {
        await Promise.resolve();
        yield { bytes: 1 };
      }
    } finally {
      closed.push(name);
    }
  }
  let taken = 0;
  for await (const item of mergeLanes([lane('a'), lane('b')])) {
    taken += item.bytes;
    if (taken === 5) break;
  }
  assert.deepEqual(closed, ['a', 'b']);
});

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, test } from 'node:test';
import { DIFFERENCES } from '../data/hostile-layers/differences.ts';
import { writeDirectly } from '../data/hostile-layers/direct.ts';
import { hostileLayers } from '../data/hostile-layers/index.ts';
import type { Listing } from '../data/hostile-layers/listing.ts';
import type { Outcome } from '../data/hostile-layers/outcome.ts';
import { identityOf, outcomeOf, readRecord, STORES } from '../data/hostile-layers/outcome.ts';
import { fileOwner } from '../rig/owner.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';

const cases = hostileLayers();
// Before any test: they are over when this is through.
const directory = temporaryTree(fileOwner());
const stores = await Promise.all(
  STORES.map(async (store) => {
    const record = readRecord(store);
    const own = join(directory, store);
    mkdirSync(own);
    const different = new Map(
      DIFFERENCES.filter((one) => one.store === undefined || one.store === store).flatMap(
        ({ cases: names, why }) => names.map((name) => [name, why]),
      ),
    );
    const outcomes = await writeDirectly(
      own,
      store,
      cases,
      ({ name }) => isAccepted(outcomeOf(record, name)) && !different.has(name),
    );
    return { store, record, different, outcomes };
  }),
);

function isAccepted(outcome: Outcome | undefined): boolean {
  return outcome !== undefined && 'layers' in outcome;
}

test('every case is recorded as it is, and none that is not', () => {
  assert.ok(cases.length >= 60);
  for (const { record } of stores)
    assert.deepEqual(
      Object.fromEntries(cases.map((hostile) => [hostile.name, identityOf(hostile)])),
      Object.fromEntries(Object.entries(record.cases).map(([name, { of }]) => [name, of])),
    );
});

test('no case is unpacked already when an engine comes to it', () => {
  const chains = cases.map(({ layers }) => layers.map(({ diffId }) => diffId).join());
  const twice = chains.filter((chain, i) => chain !== '' && chains.indexOf(chain) !== i);
  assert.deepEqual(twice, []);
});

for (const { store, record, different, outcomes } of stores)
  describe(`the direct loader does with hostile layers what the engine does with ${store}`, () => {
    for (const { name } of cases)
      it(name, () => {
        const [theirs, ours] = [outcomeOf(record, name), outcomes.get(name)];
        assert.ok(theirs !== undefined && ours !== undefined);
        const compare = (): void => {
          if ('refused' in theirs || 'refused' in ours) {
            assert.equal(accepted(ours), accepted(theirs), JSON.stringify(ours).slice(0, 500));
            return;
          }
          assert.deepEqual(
            ours.layers,
            theirs.layers.map((layer, i) => withTimes(layer, ours.layers[i])),
          );
        };
        const why = different.get(name);
        if (why === undefined) compare();
        else assert.throws(compare, assert.AssertionError, `does as the engine now, though ${why}`);
      });
  });

function accepted(outcome: Outcome): 'accepted' | 'refused' {
  return isAccepted(outcome) ? 'accepted' : 'refused';
}

/**
 * Directories without a member of their own have the time at which something was last put into them, with an engine.
 * Here it is that of the lower layer, as a data image does not tell when it was made.
 */
function withTimes(theirs: Listing, ours: Listing | undefined): Listing {
  return Object.fromEntries(
    Object.entries(theirs).map(([path, line]) => {
      const time = /^directory \d+ \d+:\d+ (@\S+)/.exec(ours?.[path] ?? '')?.[1];
      return [path, time === undefined ? line : line.replace('@now', time)];
    }),
  );
}

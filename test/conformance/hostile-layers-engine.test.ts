import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadIntoEngine } from '../data/hostile-layers/engine.ts';
import { hostileLayers } from '../data/hostile-layers/index.ts';
import { outcomeOf, readRecord, STORES } from '../data/hostile-layers/outcome.ts';
import { rounds, skip } from '../rig/skip.ts';

for (const store of STORES)
  test(`the real engine with ${store} does with hostile layers what is recorded of it`, async (t) => {
    const record = readRecord(store);
    const every = rounds(9, 1);
    const cases = hostileLayers().filter((_, i) => i % every === 0);
    const { version, outcomes } = await loadIntoEngine(t, store, cases);
    const released = (text: string): string => text.split('.').slice(0, 2).join('.');
    if (released(version) !== released(record.engine)) {
      skip(t, `Docker ${released(record.engine)}`);
      return;
    }
    cases.forEach(({ name }, i) => {
      assert.deepEqual(outcomes[i], outcomeOf(record, name), name);
    });
  });

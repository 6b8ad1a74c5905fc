/**
 * Asks a real engine what it makes of every hostile layer and writes down the answers, by which ours are judged:
 * `node --import tsx test/data/hostile-layers/record.ts [containerd|overlay2]`. It takes a few minutes.
 */
import { writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { programOwner } from '../../rig/owner.ts';
import { loadIntoEngine } from './engine.ts';
import { hostileLayers } from './index.ts';
import { recordFile, STORES, toRecord } from './outcome.ts';

const [, , only] = process.argv;
const cases = hostileLayers();
for (const store of STORES) {
  if (only !== undefined && store !== only) continue;
  const owner = programOwner();
  try {
    const { version, outcomes } = await loadIntoEngine(owner, store, cases, (line) => {
      process.stderr.write(`${store}: ${line}\n`);
    });
    const pairs = outcomes.flatMap((outcome, i) => {
      const hostile = cases[i];
      return hostile === undefined ? [] : [[hostile, outcome] as const];
    });
    const text = JSON.stringify(toRecord(version, pairs));
    const file = recordFile(store);
    const style = await resolveConfig(file, { editorconfig: true });
    writeFileSync(file, await format(text, { ...style, parser: 'json' }));
  } finally {
    await owner.end();
  }
}

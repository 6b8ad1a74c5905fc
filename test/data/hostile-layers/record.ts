/**
 * Asks a real engine what it makes of every hostile layer and writes down the answers, by which ours are judged:
 * `node --import tsx test/data/hostile-layers/record.ts`. It takes a few minutes.
 */
import { writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { programOwner } from '../../rig/owner.ts';
import { loadIntoEngine } from './engine.ts';
import { hostileLayers } from './index.ts';
import { RECORD_FILE, toRecord } from './outcome.ts';

const owner = programOwner();
try {
  const cases = hostileLayers();
  const { version, outcomes } = await loadIntoEngine(owner, cases, (line) => {
    process.stderr.write(`${line}\n`);
  });
  const pairs = outcomes.flatMap((outcome, i) => {
    const hostile = cases[i];
    return hostile === undefined ? [] : [[hostile, outcome] as const];
  });
  const text = JSON.stringify(toRecord(version, pairs));
  const style = await resolveConfig(RECORD_FILE, { editorconfig: true });
  writeFileSync(RECORD_FILE, await format(text, { ...style, parser: 'json' }));
} finally {
  await owner.end();
}

import { readFileSync } from 'node:fs';
import { fetchTarget } from '../../src/fetch/fetch-target.ts';
import type { TargetPins } from '../../src/model/pins.ts';

/** A process of its own that fetches what its arguments say, and prints its events, then its result. */
const [pinsFile = '', store = ''] = process.argv.slice(2);
const pins = JSON.parse(readFileSync(pinsFile, 'utf8')) as TargetPins;
const print = (value: unknown): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
const result = await fetchTarget(
  pins,
  {},
  { store, retryDelays: [50] },
  { report: print, signal: new AbortController().signal },
);
print(result);
process.exitCode = result.ok ? 0 : 1;

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkArguments } from '../../../src/cli/check-arguments.ts';

const OPTIONS = {
  frozen: { type: 'boolean' },
  jobs: { type: 'number' },
  log: { choices: ['plain', 'json'] },
  store: { type: 'string' },
  set: { type: 'array' },
  'retry-delays': { type: 'string' },
} as const;

void test('what yargs lets pass is refused, naming what was written', () => {
  const cases: [Readonly<Record<string, unknown>>, string[], string][] = [
    [{ log: ['plain', 'json'] }, [], '--log is given more than once'],
    [{ store: ['a', 'b'] }, [], '--store is given more than once'],
    [{ frozen: false }, ['--frozen=ja'], '--frozen "ja" can\'t be: it takes no value'],
    [{ jobs: NaN }, ['--jobs', 'many'], '--jobs "many" can\'t be: expected a number'],
    [{ jobs: 0 }, ['--jobs='], '--jobs "" can\'t be: expected a number'],
    [{ store: '' }, ['--store', ''], '--store has an empty value'],
    [{ set: ['a=b', ''] }, [], '--set has an empty value'],
    [{}, ['--', 'more'], 'Unknown argument: more'],
  ];
  for (const [args, argv, message] of cases)
    assert.throws(
      () => {
        checkArguments(OPTIONS, args, argv);
      },
      { message },
    );
});

void test('what means something passes', () => {
  const args = { frozen: true, jobs: 4, set: ['a='], 'retry-delays': '' };
  checkArguments(OPTIONS, args, ['fetch', '--frozen=true', '--jobs', '4', '--retry-delays', '']);
});

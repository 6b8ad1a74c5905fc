import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Event } from '../../../src/model/event.ts';
import { plainLogger, prettyLogger } from '../../../src/cli/loggers.ts';
import { visible } from '../../../src/cli/visible.ts';

const CASES: readonly (readonly [string, string, string])[] = [
  ['what people read', 'ein Ünïcode ✓\n\tline\n', 'ein Ünïcode ✓\n\tline\n'],
  ['an escape', 'x\u001b]0;title\u0007', 'x\\x1b]0;title\\x07'],
  ['one byte of eight bits', 'a\u009b2Jb', 'a\\x9b2Jb'],
  ['a return', 'good\rbad', 'good\\x0dbad'],
  ['deletion', 'a\u007f\u0000', 'a\\x7f\\x00'],
];

for (const [what, text, shown] of CASES)
  test(`${what} is shown as it should be`, () => {
    assert.equal(visible(text), shown);
  });

test('no logger passes on what a name tells the terminal', () => {
  const event: Event = { type: 'warning', about: 'image \u001b[2J', detail: 'clears the screen' };
  const written: string[] = [];
  const write = (text: string): void => {
    written.push(text);
  };
  const options = { debug: false, now: () => 0 };
  const screen = { columns: 80, rows: 24 };
  for (const logger of [plainLogger(write, options), prettyLogger(write, options, screen)]) {
    logger.report(event);
    logger.say('said \u001b[2J');
  }
  const all = written.join('');
  assert.match(all, /image \\x1b\[2J/);
  assert.match(all, /said \\x1b\[2J/);
  assert.ok(!all.includes('\u001b[2J'));
});

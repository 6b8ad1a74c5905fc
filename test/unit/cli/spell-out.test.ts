import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError } from '../../../src/cli/check-arguments.ts';
import { buildCommand } from '../../../src/cli/commands/build.ts';
import { globalOptions } from '../../../src/cli/options.ts';
import { spellOut } from '../../../src/cli/spell-out.ts';

const options = { ...globalOptions, ...buildCommand.options };
const spelt = (...argv: string[]): string => spellOut(argv, options).join(' ');

void test('options by their long names, with their values', () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['build', '-b', 'a', 'b', '-n'], 'build --bundle a b --dry-run'],
    [['build', '-ba.yaml', '-o=x'], 'build --bundle=a.yaml --output=x'],
    [['build', '-nb', 'a'], 'build --dry-run --bundle a'],
    [['build', '--features=-has_journal'], 'build --features=-has_journal'],
    [['build', '--no-unpack', '-'], 'build --no-unpack -'],
    [['build', '-n', '--', '-x'], 'build --dry-run -- -x'],
    [['build', '-nh', 'x', '--what'], 'build x --help'],
  ];
  for (const [argv, expected] of cases) assert.equal(spelt(...argv), expected);
});

void test('what can not be, and what to write instead', () => {
  const cases: readonly (readonly [readonly string[], string])[] = [
    [
      ['--features', '-has_journal'],
      '--features needs a value; if it is -has_journal, write --features=-has_journal',
    ],
    [['-o', '-h'], '-o needs a value; if it is -h, write --output=-h'],
    [['--output', '--json'], '--output needs a value; if it is --json, write --output=--json'],
    [['-o'], '-o needs a value'],
    [['-has_journal'], 'unknown option -has_journal'],
    [['--nonsense'], 'unknown option --nonsense'],
    [['--fozen'], 'unknown option --fozen'],
    [['--lable', 'x'], 'unknown option --lable; did you mean --label?'],
    [['--loader', 'nope'], '--loader "nope" can\'t be: expected dind or direct'],
    [['--loader=nope'], '--loader "nope" can\'t be: expected dind or direct'],
  ];
  for (const [argv, message] of cases)
    assert.throws(
      () => spellOut(argv, options),
      (error) => error instanceof UsageError && error.message === message,
      message,
    );
});

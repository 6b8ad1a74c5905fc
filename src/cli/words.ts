import { nearestName } from '../model/nearest-name.ts';
import { UsageError } from './check-arguments.ts';
import type { Command, CommandGroup } from './command.ts';
import { isGroup } from './command.ts';

/**
 * The words of a command line as yargs is to have them: `help` and `version` mean the options. Throws UsageError for a
 * verb that there is not, before its options are looked at.
 */
export function readWords(
  argv: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): readonly string[] {
  const [word, ...rest] = argv;
  if (word === 'help') return [...rest.filter((other) => !other.startsWith('-')), '--help'];
  if (word === 'version') return ['--version'];
  const named = checkWord(word, commands, '');
  if (named !== undefined && isGroup(named)) checkWord(rest[0], named.commands, `${named.name} `);
  return argv;
}

function checkWord<C extends { readonly name: string }>(
  word: string | undefined,
  commands: readonly C[],
  group: string,
): C | undefined {
  if (word === undefined || word.startsWith('-')) return undefined;
  const found = commands.find(({ name }) => name === word);
  if (found !== undefined) return found;
  const names = commands.map(({ name }) => name);
  const nearest = nearestName(word, names);
  const meant =
    nearest === undefined
      ? `: there are ${names.map((name) => `${group}${name}`).join(', ')}`
      : `; did you mean ${group}${nearest}?`;
  throw new UsageError(`unknown command ${group}${word}${meant}`);
}

import { nearestName } from '../model/nearest-name.ts';
import { UsageError } from './check-arguments.ts';
import type { Command, CommandGroup } from './command.ts';
import { isGroup } from './command.ts';

export interface Words {
  /** As yargs is to have them: `help` and `version` mean the options. */
  readonly argv: readonly string[];
  /** The verb, undefined where none or a group alone is named; with its full name. */
  readonly command: Command | undefined;
  readonly name: string;
}

/** Throws UsageError for a verb that there is not, before its options are looked at. */
export function readWords(
  given: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): Words {
  const argv = replaceWord(given);
  const [word, ...rest] = argv.slice(verbAt(argv));
  const named = checkWord(word, commands, '');
  if (named === undefined) return { argv, command: undefined, name: '' };
  if (!isGroup(named)) return { argv, command: named, name: named.name };
  // Options may stand between the two.
  const known = rest.find((other) => named.commands.some(({ name }) => name === other));
  const command = checkWord(known ?? rest[0], named.commands, `${named.name} `);
  return { argv, command, name: `${named.name} ${command?.name ?? ''}`.trim() };
}

/** Options that hold for every verb may stand in front of it. */
function verbAt(argv: readonly string[]): number {
  let at = 0;
  while (argv[at]?.startsWith('-') === true && argv[at] !== '--')
    at += argv[at] === '--log' ? 2 : 1;
  return at;
}

function replaceWord(given: readonly string[]): readonly string[] {
  const [word, ...rest] = given;
  if (word === 'help') return [...rest.filter((other) => !other.startsWith('-')), '--help'];
  return word === 'version' ? ['--version'] : given;
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

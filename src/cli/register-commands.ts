import type { Argv, Options } from 'yargs';
import type { Command, CommandGroup } from './command.ts';
import { isGroup } from './command.ts';
import { optionsFromEnvironment } from './environment.ts';
import { EXAMPLES } from './examples.ts';
import { globalOptions } from './options.ts';

/**
 * Tells yargs of every verb, and of the verbs of a group below it. `hidden` leaves the options out of help pages,
 * which nobody asked for then.
 */
export function registerCommands(
  parser: Argv,
  commands: readonly (Command | CommandGroup)[],
  hidden: boolean,
  run: (command: Command, args: unknown) => Promise<void>,
  group = '',
): Argv {
  return commands.reduce((before, command) => {
    if (isGroup(command))
      return before.command(command.name, command.describe, (builder) =>
        registerCommands(builder, command.commands, hidden, run, `${command.name} `).demandCommand(
          1,
          `which of ${command.commands.map(({ name }) => name).join(', ')}?`,
        ),
      );
    const positionals = [command.positional, command.second].filter((one) => one !== undefined);
    return before.command(
      [command.name, ...positionals.map(({ name }) => `<${name}>`)].join(' '),
      command.describe,
      (builder) => {
        const own = builder
          .options(hideAll(command.options, hidden))
          .config(optionsFromEnvironment(command.options))
          // Groups are shown in the order in which they are made.
          .group(Object.keys(command.options), 'Options:')
          .group([...Object.keys(globalOptions), 'help', 'version'], 'Always:');
        const example = EXAMPLES[`${group}${command.name}`];
        if (!hidden && example !== undefined) own.epilogue(`Example: ${example}`);
        // A lone `-` is a value like any other, which yargs doubts without a count.
        for (const { name, option } of positionals) own.positional(name, option).nargs(name, 1);
        return own;
      },
      async (args) => run(command, args),
    );
  }, parser);
}

export function hideAll(
  options: Readonly<Record<string, Options>>,
  hidden: boolean,
): Record<string, Options> {
  return Object.fromEntries(
    Object.entries(options).map(([name, option]) => [name, { ...option, hidden }]),
  );
}

import yargs from 'yargs';
import type { Failure } from '../model/failure.ts';
import { exitCodeOf } from '../model/failure.ts';
import { describeFailure } from '../report/describe-failure.ts';
import { checkArguments, UsageError } from './check-arguments.ts';
import { startLogger } from './choose-logger.ts';
import type { Command, CommandGroup, Outcome } from './command.ts';
import { environment, optionsFromEnvironment, surroundings } from './environment.ts';
import { globalOptions } from './options.ts';
import { hideAll, registerCommands } from './register-commands.ts';
import { readWords } from './words.ts';

/** The composition root: options in, one command run, an exit code out. */
declare const STOWAGE_VERSION: string;
const VERSION = typeof STOWAGE_VERSION === 'string' ? STOWAGE_VERSION : '0.0.0-source';

interface GlobalArguments {
  readonly log?: 'plain' | 'json' | 'pretty' | undefined;
  readonly json: boolean;
  readonly debug: boolean;
}

const writeError = (text: string): void => {
  process.stderr.write(text);
};

/**
 * Runs the verb that `argv` names, of `commands`, and resolves to the exit code of docs/exit-codes.md. Whatever is
 * thrown is a bug of ours: one message, and where it happened with --debug.
 */
export async function main(
  argv: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): Promise<number> {
  try {
    return await runVerb(argv, commands);
  } catch (error) {
    const debug = argv.includes('--debug') || environment['STOWAGE_DEBUG'] === '1';
    const { message, stack } = error as Error;
    writeError(
      `stowage: internal fault: ${debug ? (stack ?? message) : message}\n  hint: run again with --debug and report what it prints\n`,
    );
    return 1;
  }
}

async function runVerb(
  argv: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): Promise<number> {
  try {
    return await parseAndRun(argv, commands);
  } catch (error) {
    if (!(error instanceof UsageError) && (error as Error).name !== 'YError') throw error;
    writeError(
      `stowage: ${(error as Error).message}\n  hint: stowage --help, stowage COMMAND --help\n`,
    );
    return 2;
  }
}

async function parseAndRun(
  given: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): Promise<number> {
  let code = 0;
  const argv = readWords(given, commands);
  // yargs lays out the page of help whenever a command runs, which takes longer than a warm fetch: not of options
  // that are hidden.
  const hidden = !argv.includes('--help') && !argv.includes('-h');
  const parser = yargs([...argv])
    .scriptName('stowage')
    .usage('$0 COMMAND: container images into firmware')
    .version(VERSION)
    .options(hideAll(globalOptions, hidden))
    .config(optionsFromEnvironment(globalOptions))
    .alias('help', 'h')
    .strict()
    .demandCommand(1, 'which command?')
    .parserConfiguration({ 'camel-case-expansion': false, 'parse-positional-numbers': false })
    .wrap(hidden ? null : 100)
    .exitProcess(false)
    .fail((message: string | undefined, error: Error | undefined) => {
      throw error ?? new UsageError(message ?? 'unknown option');
    });
  registerCommands(parser, commands, hidden, async (command, args) => {
    code = await run(command, args as GlobalArguments, argv);
  });
  await parser.parseAsync();
  return code;
}

async function run(
  command: Command,
  args: GlobalArguments,
  argv: readonly string[],
): Promise<number> {
  checkArguments({ ...globalOptions, ...command.options }, args as never, argv);
  const machine = surroundings(VERSION);
  if (!machine.ok) return finish(machine.failure, args);
  const abort = new AbortController();
  const logger = startLogger(args);
  const onSignal = (signal: NodeJS.Signals): void => {
    if (abort.signal.aborted) logger.say('still cleaning up');
    abort.abort(signal === 'SIGINT' ? 'SIGINT' : 'SIGTERM');
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  try {
    const result = await command
      .run(args as never, { ...machine.value, report: logger.report, signal: abort.signal })
      .finally(logger.close);
    if (result.ok) return print(result.value, args);
    // Whatever a call was doing when the signal came, the signal is what ended it.
    const failure: Failure = abort.signal.aborted
      ? { reason: 'interrupted', signal: abort.signal.reason === 'SIGINT' ? 'SIGINT' : 'SIGTERM' }
      : result.failure;
    return finish(failure, args);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
  }
}

function print(outcome: Outcome, args: GlobalArguments): number {
  process.stdout.write(args.json ? `${JSON.stringify(outcome.json, null, 2)}\n` : outcome.text);
  return outcome.exitCode ?? 0;
}

function finish(failure: Failure, args: GlobalArguments): number {
  const { message, hint } = describeFailure(failure);
  const code = exitCodeOf(failure);
  if (args.json)
    process.stdout.write(
      `${JSON.stringify({ failure, message, hint, exitCode: code }, null, 2)}\n`,
    );
  if (args.log === 'json') writeError(`${JSON.stringify({ type: 'failed', failure, message })}\n`);
  else writeError(`stowage: ${message}\n${hint === undefined ? '' : `  hint: ${hint}\n`}`);
  return code;
}

import yargs from 'yargs';
import type { Failure } from '../model/failure.ts';
import { exitCodeOf } from '../model/exit-code.ts';
import { describeFailure } from '../report/describe-failure.ts';
import { checkArguments, UsageError } from './check-arguments.ts';
import { startLogger } from './choose-logger.ts';
import type { Command, CommandGroup, Outcome } from './command.ts';
import { environment, nameVariable, optionsFromEnvironment, surroundings } from './environment.ts';
import { locateInPins } from './locate-in-pins.ts';
import { globalOptions } from './options.ts';
import { hideAll, registerCommands } from './register-commands.ts';
import { spellOut } from './spell-out.ts';
import { visible } from './visible.ts';
import type { Words } from './words.ts';
import { readWords } from './words.ts';

/** The composition root: options in, one command run, an exit code out. */
declare const STOWAGE_VERSION: string;
const VERSION = typeof STOWAGE_VERSION === 'string' ? STOWAGE_VERSION : '0.0.0-source';

interface GlobalArguments {
  readonly log?: 'plain' | 'json' | 'pretty' | undefined;
  readonly json: boolean;
  readonly debug: boolean;
  /** Of those verbs that take it. */
  readonly pins?: string | undefined;
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
    const told = `internal fault: ${debug ? (stack ?? message) : message}`;
    const hint = 'run again with --debug and report what it prints';
    if (outputOf(argv).json) printJson({ reason: 'internal-fault' }, told, hint, 1);
    writeError(`stowage: ${told}\n  hint: ${hint}\n`);
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
    return finish({ reason: 'usage', detail: (error as Error).message }, outputOf(argv));
  }
}

/** How to tell what is wrong with a command line, as far as it can be read. */
function outputOf(argv: readonly string[]): Pick<GlobalArguments, 'json' | 'log'> {
  const end = argv.indexOf('--');
  const options = end === -1 ? argv : argv.slice(0, end);
  const last = options.findLast((option) => /^--(?:no-)?json(?:=|$)/.test(option));
  const variable = environment['STOWAGE_JSON']?.trim();
  const json =
    last === undefined
      ? variable === '1' || variable === 'true'
      : last === '--json' || last === '--json=true';
  const isLogJson = options.some(
    (option, at) => option === '--log=json' || (option === '--log' && options[at + 1] === 'json'),
  );
  return { json, log: isLogJson ? 'json' : undefined };
}

async function parseAndRun(
  given: readonly string[],
  commands: readonly (Command | CommandGroup)[],
): Promise<number> {
  let code = 0;
  const words = readWords(given, commands);
  const argv = spellOut(words.argv, { ...globalOptions, ...words.command?.options });
  // yargs lays out the page of help whenever a command runs, which takes longer than a warm fetch: not of options
  // that are hidden.
  const hidden = !argv.includes('--help');
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
      throw error ?? new UsageError(inOurWords(message ?? 'unknown option', words));
    });
  registerCommands(parser, commands, hidden, async (command, args) => {
    code = await run(command, args as GlobalArguments, argv);
  });
  await parser.parseAsync();
  return code;
}

function inOurWords(message: string, { command, name }: Words): string {
  const got = /^Not enough non-option arguments: got (\d+)/.exec(message)?.[1];
  if (got === undefined || command === undefined) return message;
  const places = [command.positional, command.second].flatMap((one) =>
    one === undefined ? [] : [one.name.toUpperCase()],
  );
  const missing = places.slice(Number(got)).join(' and ');
  return `${missing} is not given: stowage ${name} ${places.join(' ')} [options]`;
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
      : nameVariable(await inPins(result.failure, command, args), argv);
    return finish(failure, args);
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
  }
}

/** Pinning asks for what the bundle names, whatever is pinned. */
async function inPins(
  failure: Failure,
  { name }: Command,
  args: GlobalArguments,
): Promise<Failure> {
  const isAsked = name === 'pin' && failure.reason === 'registry-refused';
  return args.pins === undefined || isAsked ? failure : locateInPins(failure, args.pins);
}

function print(outcome: Outcome, args: GlobalArguments): number {
  process.stdout.write(
    args.json ? `${JSON.stringify(outcome.json, null, 2)}\n` : visible(outcome.text),
  );
  return outcome.exitCode ?? 0;
}

function finish(failure: Failure, args: Pick<GlobalArguments, 'json' | 'log'>): number {
  const { message, hint } = describeFailure(failure);
  const code = exitCodeOf(failure);
  if (args.json) printJson(failure, message, hint, code);
  if (args.log === 'json') writeError(`${JSON.stringify({ type: 'failed', failure, message })}\n`);
  else writeError(visible(`stowage: ${message}\n${hint === undefined ? '' : `  hint: ${hint}\n`}`));
  return code;
}

function printJson(
  failure: { readonly reason: string },
  message: string,
  hint: string | undefined,
  exitCode: number,
): void {
  process.stdout.write(`${JSON.stringify({ failure, message, hint, exitCode }, null, 2)}\n`);
}

import { endianness } from 'node:os';
import type { Options } from 'yargs';
import type { Failure } from '../model/failure.ts';
import { parsePlatform, formatPlatform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Surroundings } from './command.ts';
import { UsageError } from './check-arguments.ts';
import { oneOf } from './one-of.ts';

/** The one module that reads the environment. */
export const environment = process.env;

/**
 * Values for options from `STOWAGE_<NAME>`, `-` as `_`: lists are separated by white space, flags are `1` or
 * `true`, and off with `0` or `false`. An empty value is none. What is on the command line goes before. Throws
 * UsageError where a flag is anything else: a `STOWAGE_FROZEN=yes` that means no would be found in a release.
 */
export function optionsFromEnvironment(
  options: Readonly<Record<string, Options>>,
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const variable = variableOf(name);
    const text = environment[variable];
    if (text === undefined || text.trim() === '') continue;
    if (option.type === 'array') values[name] = text.trim().split(/\s+/);
    else if (option.type === 'boolean') values[name] = parseFlag(variable, text.trim());
    else if (option.type === 'number') values[name] = parseNumber(variable, text.trim());
    else values[name] = choice(variable, text.trim(), option) ?? text;
  }
  return values;
}

/**
 * A failure of an option's value that came from the environment, by its variable's name: nobody finds a `--size` in a CI
 * job that sets STOWAGE_SIZE. `argv` has options by their long names.
 */
export function nameVariable(failure: Failure, argv: readonly string[]): Failure {
  if (failure.reason !== 'invalid-option' && failure.reason !== 'unknown-platform') return failure;
  const option = failure.option ?? '--platform';
  if (argv.some((word) => word === option || word.startsWith(`${option}=`))) return failure;
  const variable = variableOf(option.replace(/^--/, ''));
  const isSet = option.startsWith('--') && nonEmpty(variable) !== undefined;
  return isSet ? { ...failure, option: variable } : failure;
}

function variableOf(option: string): string {
  return `STOWAGE_${option.replaceAll('-', '_').toUpperCase()}`;
}

function parseFlag(variable: string, text: string): boolean {
  if (text === '1' || text === 'true') return true;
  if (text === '0' || text === 'false') return false;
  throw new UsageError(
    `${variable} ${JSON.stringify(text)} can't be: expected 1, true, 0 or false`,
  );
}

/** Undefined where the option has no choices. */
function choice(variable: string, text: string, option: Options): string | undefined {
  if (option.choices === undefined) return undefined;
  const wrong = oneOf(option, text);
  if (wrong === undefined) return text;
  throw new UsageError(`${variable} ${JSON.stringify(text)} can't be: ${wrong}`);
}

function parseNumber(variable: string, text: string): number {
  const value = Number(text);
  if (!Number.isNaN(value)) return value;
  throw new UsageError(`${variable} ${JSON.stringify(text)} can't be: expected a number`);
}

/** What verbs need to know of the machine and the user's environment. */
export function surroundings(version: string): Result<Omit<Surroundings, 'report' | 'signal'>> {
  const epoch = nonEmpty('SOURCE_DATE_EPOCH');
  if (epoch !== undefined && !/^\d{1,10}$/.test(epoch))
    return fail({
      reason: 'invalid-option',
      option: 'SOURCE_DATE_EPOCH',
      value: epoch,
      expected: 'seconds since 1970',
    });
  const either = (name: string): string | undefined =>
    environment[name] ?? environment[name.toUpperCase()];
  return ok({
    proxies: {
      http_proxy: either('http_proxy'),
      https_proxy: either('https_proxy'),
      no_proxy: either('no_proxy'),
    },
    home: environment['HOME'],
    authfiles: defaultAuthfiles(),
    dockerHost: nonEmpty('DOCKER_HOST'),
    containerHost: nonEmpty('CONTAINER_HOST'),
    temporary: nonEmpty('TMPDIR'),
    epoch: epoch === undefined ? Math.floor(Date.now() / 1000) : Number(epoch),
    sourceDateEpoch: epoch === undefined ? undefined : Number(epoch),
    builderPlatform: builderPlatform(),
    version,
  });
}

/** Node's word in Go's; one that has none stays as it is, and no dind image will be pinned for it. */
function builderPlatform(): string {
  const arch = process.arch === 'ppc64' && endianness() === 'LE' ? 'ppc64le' : process.arch;
  const words: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };
  const parsed = parsePlatform(words[arch] ?? arch);
  return parsed.ok ? formatPlatform(parsed.value) : `linux/${arch}`;
}

/** containers-auth.json(5); Docker's own file comes last. */
function defaultAuthfiles(): readonly string[] {
  const named = nonEmpty('REGISTRY_AUTH_FILE');
  if (named !== undefined) return [named];
  const runtime = nonEmpty('XDG_RUNTIME_DIR');
  const home = nonEmpty('HOME');
  return [
    runtime === undefined
      ? `/run/containers/${process.getuid?.() ?? 0}/auth.json`
      : `${runtime}/containers/auth.json`,
    ...(home === undefined ? [] : [`${home}/.docker/config.json`]),
  ];
}

function nonEmpty(name: string): string | undefined {
  const value = environment[name];
  return value === '' ? undefined : value;
}

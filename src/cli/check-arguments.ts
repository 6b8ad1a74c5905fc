import type { Options } from 'yargs';

/** A command line that can't be: its message is for the user, with exit code 2. */
export class UsageError extends Error {}

/** Options for which an empty value means something. */
const MAY_BE_EMPTY: ReadonlySet<string> = new Set(['retry-delays']);

/** What yargs lets pass or turns into something else: throws UsageError. */
export function checkArguments(
  options: Readonly<Record<string, Options>>,
  args: Readonly<Record<string, unknown>>,
  argv: readonly string[],
): void {
  for (const [name, { type }] of Object.entries(options)) {
    const value = args[name];
    if (Array.isArray(value) && type !== 'array')
      throw new UsageError(`--${name} is given more than once`);
    if (type === 'boolean') checkFlag(name, argv);
    const given = lastGiven(name, argv);
    if (type === 'number' && given !== undefined && (given === '' || Number.isNaN(Number(given))))
      throw new UsageError(`--${name} ${JSON.stringify(given)} can't be: expected a number`);
    const empty = Array.isArray(value) ? value.includes('') : value === '';
    if (empty && !MAY_BE_EMPTY.has(name)) throw new UsageError(`--${name} has an empty value`);
  }
  // What follows `--` is beyond yargs' strictness.
  const end = argv.indexOf('--');
  const extra = end === -1 ? undefined : argv[end + 1];
  if (extra !== undefined) throw new UsageError(`Unknown argument: ${extra}`);
}

/** `--frozen=ja` would be false without a word. */
function checkFlag(name: string, argv: readonly string[]): void {
  const value = argv
    .find((argument) => argument.startsWith(`--${name}=`))
    ?.slice(`--${name}=`.length);
  if (value === undefined || value === 'true' || value === 'false') return;
  throw new UsageError(`--${name} ${JSON.stringify(value)} can't be: it takes no value`);
}

/** As it was written: yargs has turned it into NaN, or 0. */
function lastGiven(name: string, argv: readonly string[]): string | undefined {
  const index = argv.findLastIndex(
    (argument) => argument === `--${name}` || argument.startsWith(`--${name}=`),
  );
  const argument = argv[index];
  if (argument === undefined) return undefined;
  return argument === `--${name}` ? argv[index + 1] : argument.slice(`--${name}=`.length);
}

import type { Options } from 'yargs';
import { nearestName } from '../model/nearest-name.ts';
import { UsageError } from './check-arguments.ts';
import { oneOf } from './one-of.ts';

type Table = Readonly<Record<string, Options>>;

/** What yargs adds by itself. */
const OWN: Table = {
  help: { type: 'boolean', alias: 'h' },
  version: { type: 'boolean' },
};

/**
 * A command line with its options as yargs reads them without a guess: by their long names, and with their values. yargs
 * takes what begins with a dash for options whatever is in front of it, and `-has_journal` for several of which the
 * first asks for help. Throws UsageError for options that there are not, values that are missing and values that are
 * none of the choices, unless help is asked for.
 */
export function spellOut(argv: readonly string[], options: Table): readonly string[] {
  const speller = new Speller({ ...options, ...OWN });
  const end = argv.indexOf('--');
  const given = end === -1 ? argv : argv.slice(0, end);
  for (let at = 0; at < given.length;) at += speller.take(given[at] ?? '', given[at + 1]) ? 2 : 1;
  const { words, said, problem } = speller;
  if (said.includes('--help')) return [...words, '--help'];
  if (problem !== undefined) throw new UsageError(problem);
  return [...said, ...(end === -1 ? [] : argv.slice(end))];
}

class Speller {
  /** What is neither an option nor its value. */
  readonly words: string[] = [];
  readonly said: string[] = [];
  /** The first. */
  problem: string | undefined;
  readonly #options: Table;
  readonly #letters: ReadonlyMap<string, string>;

  constructor(options: Table) {
    this.#options = options;
    this.#letters = new Map(
      Object.entries(options).flatMap(([name, { alias }]) =>
        typeof alias === 'string' ? [[alias, name] as const] : [],
      ),
    );
  }

  /** Whether `next` is its value. */
  take(argument: string, next: string | undefined): boolean {
    if (/^--./.test(argument)) return this.#long(argument, next);
    if (/^-[a-z]/i.test(argument)) return this.#short(argument, next);
    this.words.push(argument);
    this.said.push(argument);
    return false;
  }

  #long(argument: string, next: string | undefined): boolean {
    const equals = argument.indexOf('=');
    const name = argument.slice(2, equals === -1 ? undefined : equals);
    if (Object.hasOwn(this.#options, name)) {
      const value = equals === -1 ? undefined : argument.slice(equals + 1);
      return this.#option(`--${name}`, name, value, next);
    }
    const isNegated = name.startsWith('no-') && this.#isFlag(name.slice(3));
    if (!isNegated) {
      const nearest = nearestName(name, Object.keys(this.#options));
      const meant = nearest === undefined ? '' : `; did you mean --${nearest}?`;
      this.problem ??= `unknown option --${name}${meant}`;
    }
    this.said.push(argument);
    return false;
  }

  /** Flags in a row, of which the last may be an option with its value. */
  #short(argument: string, next: string | undefined): boolean {
    const flags: string[] = [];
    for (let at = 1; at < argument.length; at += 1) {
      const letter = argument.charAt(at);
      const name = this.#letters.get(letter);
      if (name === undefined) break;
      const rest = argument.slice(at + 1);
      if (this.#isFlag(name) && !rest.startsWith('=')) {
        flags.push(`--${name}`);
        continue;
      }
      this.said.push(...flags);
      const value = rest.startsWith('=') ? rest.slice(1) : rest === '' ? undefined : rest;
      return this.#option(`-${letter}`, name, value, next);
    }
    if (flags.length === argument.length - 1) this.said.push(...flags);
    else this.problem ??= `unknown option ${argument}`;
    return false;
  }

  #option(
    written: string,
    name: string,
    attached: string | undefined,
    next: string | undefined,
  ): boolean {
    if (this.#isFlag(name)) {
      this.said.push(attached === undefined ? `--${name}` : `--${name}=${attached}`);
      return false;
    }
    const value = attached ?? next;
    if (value === undefined) this.problem ??= `${written} needs a value`;
    else if (attached === undefined && /^-./.test(value))
      this.problem ??= `${written} needs a value; if it is ${value}, write --${name}=${value}`;
    else {
      const wrong = oneOf(this.#options[name], value);
      if (wrong !== undefined)
        this.problem ??= `--${name} ${JSON.stringify(value)} can't be: ${wrong}`;
      this.said.push(...(attached === undefined ? [`--${name}`, value] : [`--${name}=${value}`]));
    }
    return attached === undefined;
  }

  #isFlag(name: string): boolean {
    return Object.hasOwn(this.#options, name) && this.#options[name]?.type === 'boolean';
  }
}

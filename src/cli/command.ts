import type { InferredOptionTypes, Options, PositionalOptions } from 'yargs';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';

/** What a verb is given besides its options: everything that comes from the environment. */
export interface Surroundings extends Context {
  /** From the environment: HTTP_PROXY and its kin, by lower-case name. */
  readonly proxies: Readonly<Record<'http_proxy' | 'https_proxy' | 'no_proxy', string | undefined>>;
  readonly home: string | undefined;
  /** Where skopeo looks for credentials by itself, in its order. */
  readonly authfiles: readonly string[];
  /** DOCKER_HOST. */
  readonly dockerHost: string | undefined;
  /** CONTAINER_HOST, Podman's word for it. */
  readonly containerHost: string | undefined;
  /** TMPDIR. */
  readonly temporary: string | undefined;
  /** SOURCE_DATE_EPOCH in seconds where it is set, else now. */
  readonly epoch: number;
  /** SOURCE_DATE_EPOCH in seconds; undefined where it is not set. */
  readonly sourceDateEpoch: number | undefined;
  /** This machine, as `formatPlatform` prints it: `linux/amd64`. */
  readonly builderPlatform: string;
  readonly version: string;
}

/** What a verb did: `text` for people, `json` for `--json`. */
export interface Outcome {
  readonly text: string;
  readonly json: unknown;
  /** Where what was asked for is an answer and no success: `doctor`, `diff`. */
  readonly exitCode?: number;
}

/** One verb of the command line. */
export interface Command {
  readonly name: string;
  readonly describe: string;
  readonly options: Readonly<Record<string, Options>>;
  readonly positional?: { readonly name: string; readonly option: PositionalOptions };
  /** Behind it. */
  readonly second?: { readonly name: string; readonly option: PositionalOptions };
  readonly run: (args: never, surroundings: Surroundings) => Promise<Result<Outcome>>;
}

/** Verbs under a common word: `store ls`. */
export interface CommandGroup {
  readonly name: string;
  readonly describe: string;
  readonly commands: readonly Command[];
}

export function isGroup(command: Command | CommandGroup): command is CommandGroup {
  return 'commands' in command;
}

/** Ties the type of `run`'s arguments to the options and the positionals' names. */
export function defineCommand<
  O extends Record<string, Options>,
  P extends string = never,
  S extends string = never,
>(command: {
  readonly name: string;
  readonly describe: string;
  readonly options: O;
  readonly positional?: { readonly name: P; readonly option: PositionalOptions };
  readonly second?: { readonly name: S; readonly option: PositionalOptions };
  readonly run: (
    args: InferredOptionTypes<O> &
      Readonly<Partial<Record<P | S, string>>> & { readonly 'dry-run': boolean },
    surroundings: Surroundings,
  ) => Promise<Result<Outcome>>;
}): Command {
  return command;
}

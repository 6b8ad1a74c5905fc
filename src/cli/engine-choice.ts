import type { EngineChoice } from '../tools/find-engine.ts';
import { isRoot } from '../tools/mount.ts';
import type { Surroundings } from './command.ts';

/** Which engine of this machine is meant: by the option, or by the variables that the engines' own commands read. */
export function engineChoice(
  args: { readonly engine?: string | undefined },
  { dockerHost, containerHost }: Surroundings,
): EngineChoice {
  return { given: args.engine, dockerHost, containerHost, isRoot: isRoot() };
}

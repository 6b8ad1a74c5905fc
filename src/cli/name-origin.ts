import type { Bundle, Position } from '../model/bundle.ts';
import type { EngineProblem, Failure, InvalidOption } from '../model/failure.ts';

type Arguments = Readonly<Record<string, unknown>>;

/** Options that overrule what the bundle has, by its key. */
const KEYS: Readonly<Record<string, string>> = {
  'partition.label': 'label',
  'partition.size': 'size',
  'partition.headroom': 'headroom',
  'partition.dataRoot': 'data-root',
  'partition.features': 'features',
  'partition.uuid': 'uuid',
  'engine.version': 'engine-version',
  'engine.store': 'engine-store',
  'engine.unpack': 'unpack',
  'engine.containerd': 'containerd',
};

/**
 * A failure about a value that either an option or a bundle gives, with the one that did: the option's name, or the
 * bundle's file and line. What neither gave, and every other failure, stays as it is.
 */
export function nameOrigin(failure: Failure, bundle: Bundle, args: Arguments): Failure {
  if (failure.reason === 'no-space') {
    const sizeAt = placeOf('partition.size', bundle, args);
    return failure.fits === undefined || sizeAt === undefined ? failure : { ...failure, sizeAt };
  }
  if (failure.reason === 'invalid-option') return optionOrigin(failure, bundle, args);
  if (failure.reason !== 'engine-unable') return failure;
  const problems = failure.problems.map((problem) => problemOrigin(problem, bundle, args));
  return { ...failure, problems };
}

/** Those who look at the values that are in force name them by an option, or by a key of the bundle. */
function optionOrigin(failure: InvalidOption, bundle: Bundle, args: Arguments): Failure {
  const key = Object.keys(KEYS).find(
    (name) => name === failure.option || `--${KEYS[name] ?? ''}` === failure.option,
  );
  if (key === undefined) return failure;
  const at = placeOf(key, bundle, args);
  if (at === undefined) return { ...failure, option: `--${KEYS[key] ?? ''}` };
  const { file, line, column } = at;
  const detail = `${JSON.stringify(failure.value)} can't be: expected ${failure.expected}`;
  const problems = [{ line, column, path: key, detail }];
  return { reason: 'invalid-document', kind: 'bundle', file, problems };
}

function problemOrigin(problem: EngineProblem, bundle: Bundle, args: Arguments): EngineProblem {
  const option = KEYS[problem.what];
  if (option === undefined) return problem;
  if (args[option] !== undefined) return { ...problem, what: `--${option}` };
  const at = bundle.writtenAt[problem.what];
  return at === undefined ? problem : { ...problem, at };
}

/** Undefined where an option overrules the bundle, or the bundle does not say it. */
function placeOf(key: string, bundle: Bundle, args: Arguments): Position | undefined {
  const option = KEYS[key];
  return option !== undefined && args[option] === undefined ? bundle.writtenAt[key] : undefined;
}

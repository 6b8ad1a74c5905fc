import type { Bundle } from '../model/bundle.ts';
import type { Failure } from '../model/failure.ts';
import type { Pins, TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Platform } from '../model/platform.ts';
import { formatPlatform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { effectiveSet, setProblem } from './evaluation.ts';

/** What was asked for; each part narrows, none is needed. */
export interface TargetChoice {
  readonly platform?: Platform | undefined;
  readonly machine?: string | undefined;
  readonly set: Readonly<Record<string, string>>;
}

/**
 * The one target of `pins` (read from `file`) that the choice leaves. A target pinned without a machine does for every
 * machine; a variable set to the bundle's default is what a target that does not set it has. Where several are left,
 * the one that is exactly what was asked for, with defaults for the rest, wins.
 */
export function selectTarget(
  pins: Pins,
  file: string,
  choice: TargetChoice,
  bundle: Bundle | undefined,
): Result<TargetPins> {
  const wrongSet = bundle === undefined ? undefined : setProblem(bundle, choice.set);
  if (wrongSet !== undefined) return fail<Failure>(wrongSet);
  const platform = choice.platform === undefined ? undefined : formatPlatform(choice.platform);
  const all = Object.values(pins.targets);
  const left = all.filter(
    ({ target }) =>
      (platform === undefined || target.platform === platform) &&
      (choice.machine === undefined ||
        target.machine === undefined ||
        target.machine === choice.machine) &&
      Object.entries(choice.set).every(
        // Without the bundle nobody knows its defaults: what a target does not set may be one.
        ([name, value]) =>
          (target.set[name] ?? (bundle === undefined ? value : bundle.vars[name])) === value,
      ),
  );
  const [first, ...others] = left;
  if (first === undefined) {
    const wanted = [
      ...(platform === undefined ? [] : [platform]),
      ...(choice.machine === undefined ? [] : [choice.machine]),
      ...Object.entries(choice.set).map(([name, value]) => `${name}=${value}`),
    ];
    return fail({
      reason: 'target-not-pinned',
      file,
      wanted: wanted.length === 0 ? 'any target' : wanted.join(' '),
      pinned: all.map(keyOf),
    });
  }
  if (others.length === 0) return ok(first);
  const exact = platform === undefined ? undefined : exactKeys(platform, choice, bundle);
  const best = left.find((candidate) => exact?.includes(keyOf(candidate)) === true);
  return best === undefined
    ? fail({ reason: 'target-ambiguous', file, pinned: left.map(keyOf) })
    : ok(best);
}

function keyOf({ target }: TargetPins): string {
  return targetKey(target);
}

/** What the chosen target is called: with its machine, or without where the bundle asks for none. */
function exactKeys(
  platform: string,
  { machine, set }: TargetChoice,
  bundle: Bundle | undefined,
): readonly string[] {
  const effective = bundle === undefined ? set : effectiveSet(bundle, set);
  const keys = [targetKey({ platform, set: effective })];
  return machine === undefined ? keys : [targetKey({ platform, machine, set: effective }), ...keys];
}

import type { Bundle } from '../model/bundle.ts';
import { recalledCatalog } from '../model/catalog-document.ts';
import type { TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import { parsePlatform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import type { EvaluateOptions } from './evaluate.ts';
import { catalogAddress, evaluate } from './evaluate.ts';
import { setProblem } from './evaluation.ts';
import type { Wanted } from './wanted.ts';

const ASKS_FOR_MACHINE = 'the bundle asks for {machine}, and the target has none';

/**
 * Evaluates a bundle for a pinned target with no network: the catalog's values are those that the pins (read from
 * `file`) remember. A bundle that asks for what they don't know is `pins-stale`. `options.machine` is used where the
 * pins have no machine; `set` and platform are the target's.
 */
export function evaluateFromPins(
  bundle: Bundle,
  pins: TargetPins,
  file: string,
  options: Omit<EvaluateOptions, 'platform' | 'set'> = {},
): Result<Wanted> {
  const stale = (difference: string): Result<never> =>
    fail({ reason: 'pins-stale', file, target: targetKey(pins.target), differences: [difference] });

  const platform = parsePlatform(pins.target.platform);
  if (!platform.ok) return platform;
  const wrongSet = setProblem(bundle, pins.target.set);
  if (wrongSet !== undefined) {
    return stale(`the target sets ${wrongSet.value}, and the bundle wants ${wrongSet.expected}`);
  }
  const target: EvaluateOptions = {
    ...options,
    platform: platform.value,
    machine: pins.target.machine ?? options.machine,
    set: pins.target.set,
  };
  const address = catalogAddress(bundle, target);
  if (!address.ok) return address;
  const catalog =
    address.value === undefined
      ? undefined
      : recalledCatalog(address.value, pins.catalog?.values ?? {});
  const wanted = evaluate(bundle, target, catalog);
  if (wanted.ok) {
    const { machine } = wanted.value.target;
    if (machine === pins.target.machine) return wanted;
    return stale(
      machine === undefined
        ? `the target is for the machine ${pins.target.machine ?? ''}, and the bundle asks for none`
        : ASKS_FOR_MACHINE,
    );
  }
  if (wanted.failure.reason === 'invalid-option' && wanted.failure.option === '--machine') {
    return pins.target.machine === undefined && options.machine === undefined
      ? stale(ASKS_FOR_MACHINE)
      : wanted;
  }
  if (wanted.failure.reason === 'invalid-document' && wanted.failure.kind === 'catalog') {
    const [problem] = wanted.failure.problems;
    return stale(
      `the catalog's ${problem?.path ?? 'value'}: ${problem?.detail ?? 'it is not pinned'}`,
    );
  }
  return wanted;
}

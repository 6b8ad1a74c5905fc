import type { Bundle, EngineStore } from '../model/bundle.ts';
import type { Platform } from '../model/platform.ts';
import { parsePlatform } from '../model/platform.ts';
import type { Pins, TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { contradictions, stale } from '../plan/compare-pins.ts';
import type { EvaluateOptions } from '../plan/evaluate.ts';
import { evaluateFromPins } from '../plan/evaluate-from-pins.ts';
import { selectTarget } from '../plan/select-target.ts';
import type { Wanted } from '../plan/wanted.ts';
import { parseSettings } from './inputs.ts';

/** The options that choose a target, and those that overrule the bundle. */
export interface TargetArguments {
  readonly platform?: string | undefined;
  readonly machine?: string | undefined;
  readonly set?: readonly string[] | undefined;
  readonly 'engine-version'?: string | undefined;
  readonly dind?: string | undefined;
  readonly 'engine-store'?: EngineStore | undefined;
  readonly unpack?: boolean | undefined;
  readonly containerd?: 'daemon' | 'own' | undefined;
  readonly loader?: 'dind' | 'direct' | undefined;
}

export interface Choice {
  readonly platform?: Platform;
  readonly machine?: string;
  readonly set: Readonly<Record<string, string>>;
}

/** A bundle with the pins of one of its targets. */
export interface PinnedTarget {
  readonly wanted: Wanted;
  readonly pins: TargetPins;
}

export function parseChoice(args: TargetArguments): Result<Choice> {
  const set = parseSettings(args.set);
  if (!set.ok) return set;
  const platform = args.platform === undefined ? undefined : parsePlatform(args.platform);
  if (platform?.ok === false) return platform;
  return ok({
    ...(platform === undefined ? {} : { platform: platform.value }),
    ...(args.machine === undefined ? {} : { machine: args.machine }),
    set: set.value,
  });
}

/** What the bundle's evaluation takes besides the target. */
export function overrides(
  args: TargetArguments,
): Omit<EvaluateOptions, 'platform' | 'machine' | 'set'> {
  return {
    ...(args['engine-version'] === undefined ? {} : { engineVersion: args['engine-version'] }),
    ...(args['engine-store'] === undefined ? {} : { engineStore: args['engine-store'] }),
    ...(args.unpack === undefined ? {} : { unpack: args.unpack }),
    ...(args.containerd === undefined ? {} : { containerd: args.containerd }),
    ...(args.dind === undefined ? {} : { dind: args.dind }),
    ...(args.loader === 'direct' ? { withoutDind: true } : {}),
  };
}

/** Chooses the target and looks, with no network, whether its pins are of this very bundle. */
export function pinnedTarget(
  bundle: Bundle,
  pins: Pins | undefined,
  file: string,
  args: TargetArguments,
): Result<PinnedTarget> {
  if (pins === undefined)
    return fail({ reason: 'no-pins', file, images: Object.keys(bundle.images) });
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const selected = selectTarget(pins, file, choice.value, bundle);
  if (!selected.ok) return selected;
  const wanted = evaluateFromPins(bundle, selected.value, file, {
    machine: args.machine,
    ...overrides(args),
  });
  if (!wanted.ok) return wanted;
  const differences = stale(wanted.value, selected.value);
  if (differences.length > 0) {
    const target = targetKey(selected.value.target);
    const found = contradictions(selected.value).filter(({ detail }) =>
      differences.includes(detail),
    );
    const edited = found.map((pin) => ({ ...pin, path: ['targets', target, ...pin.path] }));
    return fail({
      ...{ reason: 'pins-stale', file, target },
      differences: differences.filter((phrase) => !found.some(({ detail }) => detail === phrase)),
      ...(edited.length === 0 ? {} : { edited }),
    });
  }
  return ok({ wanted: wanted.value, pins: selected.value });
}

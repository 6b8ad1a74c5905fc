import { pinImage } from '../fetch/pin.ts';
import type { PinOptions } from '../fetch/pin.ts';
import { inParallel } from '../fetch/parallel.ts';
import type { Bundle } from '../model/bundle.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { stale } from '../plan/compare-pins.ts';
import { evaluateFromPins } from '../plan/evaluate-from-pins.ts';
import type { Wanted } from '../plan/wanted.ts';
import type { Surroundings } from './command.ts';
import { evaluateNow } from './resolve-target.ts';
import type { TargetArguments } from './target.ts';
import { overrides } from './target.ts';

/**
 * `pin --update`: the named images of a pinned target as they are now, and nothing else: no other image is asked for.
 * Of the catalog only the values that these images use move. Fails with invalid-option for a name that the bundle has
 * not, with pins-stale where the rest of the pins does not fit the bundle or another image uses a value that moved,
 * and as pinning does.
 */
export async function updatePins(
  bundle: Bundle,
  old: TargetPins,
  names: readonly string[],
  args: TargetArguments & { readonly pins: string },
  access: PinOptions & { readonly jobs: number },
  surroundings: Surroundings,
): Promise<Result<TargetPins>> {
  const unknown = names.find((name) => !Object.hasOwn(bundle.images, name));
  if (unknown !== undefined)
    return fail({
      reason: 'invalid-option',
      option: '--update',
      value: unknown,
      expected: `an image of the bundle: ${Object.keys(bundle.images).join(', ')}`,
    });
  const wanted = await evaluateMoved(bundle, old, names, args, access, surroundings);
  if (!wanted.ok) return wanted;
  const moved = await inParallel(
    Object.entries(wanted.value.images).filter(([name]) => names.includes(name)),
    access.jobs,
    surroundings,
    async ([name, image], inner): Promise<Result<readonly [string, ImagePin]>> => {
      const pin = await pinImage(name, image, wanted.value.platform, access, inner);
      return pin.ok ? ok([name, pin.value] as const) : pin;
    },
  );
  if (!moved.ok) return moved;
  const { catalog } = wanted.value;
  const pins: TargetPins = {
    ...old,
    ...(catalog === undefined ? {} : { catalog }),
    images: { ...old.images, ...Object.fromEntries(moved.value) },
  };
  const differences = stale(wanted.value, pins);
  return differences.length === 0
    ? ok(pins)
    : fail({ reason: 'pins-stale', file: args.pins, target: targetKey(old.target), differences });
}

/** What the bundle wants with today's catalog for the named images, and with the pinned one for the others. */
async function evaluateMoved(
  bundle: Bundle,
  old: TargetPins,
  names: readonly string[],
  args: TargetArguments & { readonly pins: string },
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<Wanted>> {
  const options = { machine: args.machine, ...overrides(args) };
  if (bundle.catalog === undefined) return evaluateFromPins(bundle, old, args.pins, options);
  const { platform, machine, set } = old.target;
  const target = {
    ...args,
    platform,
    machine: machine ?? args.machine,
    set: Object.entries(set).map(([name, value]) => `${name}=${value}`),
  };
  const named = Object.entries(bundle.images).filter(([name]) => names.includes(name));
  const these = { ...bundle, images: Object.fromEntries(named), extraFiles: {} };
  const now = await evaluateNow(these, target, access, surroundings);
  if (!now.ok) return now;
  const values = { ...old.catalog?.values, ...now.value.catalog?.values };
  const from = now.value.catalog?.from ?? '';
  return evaluateFromPins(bundle, { ...old, catalog: { from, values } }, args.pins, options);
}

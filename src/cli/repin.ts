import type { PinOptions } from '../fetch/pin.ts';
import { pinTarget } from '../fetch/pin.ts';
import type { Bundle } from '../model/bundle.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import { ok } from '../model/result.ts';
import { evaluateFromPins } from '../plan/evaluate-from-pins.ts';
import type { Wanted } from '../plan/wanted.ts';
import type { Surroundings } from './command.ts';
import { evaluateNow } from './resolve-target.ts';
import type { PinnedTarget, TargetArguments } from './target.ts';
import { overrides } from './target.ts';

/**
 * Pins a target of which the bundle has moved on: what still fits stays as it was pinned, also where a tag means
 * something newer by now, and only what is new or changed is asked for. Fails as pinning does.
 */
export async function repinTarget(
  bundle: Bundle,
  old: TargetPins,
  args: TargetArguments & { readonly pins: string },
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<PinnedTarget>> {
  const wanted = await evaluateKeeping(bundle, old, args, access, surroundings);
  if (!wanted.ok) return wanted;
  const pins = await pinTarget(wanted.value, { ...access, keep: old }, surroundings);
  return pins.ok ? ok({ wanted: wanted.value, pins: pins.value }) : pins;
}

/** With the catalog's values that are pinned; those that are not come from the catalog as it is now. */
async function evaluateKeeping(
  bundle: Bundle,
  old: TargetPins,
  args: TargetArguments & { readonly pins: string },
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<Wanted>> {
  const options = { machine: args.machine, ...overrides(args) };
  const before = evaluateFromPins(bundle, old, args.pins, options);
  if (before.ok && before.value.catalog?.from === old.catalog?.from) return before;
  const now = await evaluateNow(bundle, completed(bundle, args, old), access, surroundings);
  if (!now.ok || old.catalog === undefined) return now;
  const { catalog } = now.value;
  if (catalog?.from !== old.catalog.from) return now;
  const values = { ...catalog.values, ...old.catalog.values };
  const mixed = { ...old, target: now.value.target, catalog: { from: catalog.from, values } };
  const kept = evaluateFromPins(bundle, mixed, args.pins, options);
  return kept.ok ? kept : now;
}

/** What was chosen, and for the rest the target that is pinned, as far as the bundle still has its variables. */
export function completed<A extends TargetArguments>(bundle: Bundle, args: A, old: TargetPins): A {
  const { platform, machine, set } = old.target;
  const known = Object.entries(set).filter(([name]) => Object.hasOwn(bundle.vars, name));
  return {
    ...args,
    platform: args.platform ?? platform,
    machine: args.machine ?? machine,
    set: [...known.map(([name, value]) => `${name}=${value}`), ...(args.set ?? [])],
  };
}

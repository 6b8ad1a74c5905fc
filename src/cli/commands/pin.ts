import { checkIndexes } from '../../fetch/check-index.ts';
import { checkParts } from '../../fetch/check-parts.ts';
import type { PinOptions } from '../../fetch/pin.ts';
import type { Bundle } from '../../model/bundle.ts';
import type { Pins, TargetPins } from '../../model/pins.ts';
import { formatPins, targetKey } from '../../model/pins-document.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { moved } from '../../plan/compare-pins.ts';
import { selectTarget } from '../../plan/select-target.ts';
import type { Surroundings } from '../command.ts';
import { defineCommand } from '../command.ts';
import { readBundleFiles, readPinsFile, putTarget } from '../inputs.ts';
import {
  bundleOption,
  engineVersionOptions,
  loaderOption,
  networkOptions,
  pinsOption,
  targetOptions,
} from '../options.ts';
import { movesTable } from '../moves-table.ts';
import { completed } from '../repin.ts';
import { networkAccess, resolveTarget } from '../resolve-target.ts';
import type { TargetArguments } from '../target.ts';
import { parseChoice } from '../target.ts';
import { updatePins } from '../update-pins.ts';

export const pinCommand = defineCommand({
  name: 'pin',
  describe: 'fix every tag of the bundle to digests, for one target',
  options: {
    ...bundleOption,
    ...pinsOption,
    ...targetOptions,
    ...engineVersionOptions,
    ...loaderOption,
    check: {
      type: 'boolean',
      default: false,
      describe: 'write nothing; list what is newer than pinned, and exit with 8 if anything is',
    },
    update: {
      type: 'array',
      string: true,
      nargs: 1,
      requiresArg: true,
      describe: 'move this pinned image alone, and ask for no other; repeatable',
    },
    ...networkOptions,
  },
  async run(given, outer) {
    const bundle = await readBundleFiles(given.bundle.map(String));
    if (!bundle.ok) return bundle;
    const before = await readPinsFile(given.pins);
    if (!before.ok) return before;
    const target = chooseTarget(before.value, bundle.value, given);
    if (!target.ok) return target;
    const args = target.value;
    const surroundings = args.check || args['dry-run'] ? lookingOnly(outer) : outer;
    const access = networkAccess(args, surroundings);
    if (!access.ok) return access;
    const names = args.update?.map(String) ?? [];
    const chosen = chooseOld(before.value, bundle.value, names, args);
    if (!chosen.ok) return chosen;
    const updated =
      chosen.value === undefined
        ? await pinAll(bundle.value, args, access.value, surroundings)
        : await updatePins(bundle.value, chosen.value, names, args, access.value, surroundings);
    if (!updated.ok) return updated;

    const key = targetKey(updated.value.target);
    const old = before.value?.targets[key];
    if (args.check && old !== undefined) {
      const listed = await checkIndexes(old, updated.value, access.value, surroundings);
      if (!listed.ok) return listed;
      const compared = await checkParts(old, updated.value, access.value, surroundings);
      if (!compared.ok) return compared;
    }
    const changes = old === undefined ? [] : moved(old, updated.value);
    // Values of the catalog that no image shows are no move, and yet a change of the file.
    const differs = old === undefined || changes.length > 0;
    const table = old === undefined ? '' : changes.length > 0 ? movesTable(changes) : '';
    if (args.check) {
      const says =
        old === undefined
          ? `${key} is not pinned yet: everything is new`
          : differs
            ? `${key}: ${changes.length} newer than pinned`
            : `${key}: nothing is newer`;
      return ok({
        text: `${args.pins}: ${says}\n${table}`,
        json: { target: key, newer: differs, moved: changes },
        exitCode: differs ? NEWER : 0,
      });
    }
    const dry = args['dry-run'];
    const written = dry
      ? ok(old === undefined || !sameText(old, updated.value))
      : await putTarget(args.pins, updated.value, surroundings);
    if (!written.ok) return written;
    if (!dry)
      surroundings.report({ type: 'pins-written', file: args.pins, changed: written.value });
    const what = describeChange(old !== undefined, changes.length, written.value, dry);
    return ok({
      text: `${args.pins}: ${key}: ${what}\n${table}`,
      json: { target: key, changed: written.value, moved: changes, pins: updated.value },
    });
  },
});

/** With what is pinned where no platform is given: pins with one target need none. */
function chooseTarget<
  A extends TargetArguments & {
    readonly pins: string;
    readonly update?: readonly unknown[] | undefined;
  },
>(pins: Pins | undefined, bundle: Bundle, args: A): Result<A> {
  const isKnown = args.platform !== undefined || (args.update ?? []).length > 0;
  if (isKnown || pins === undefined || Object.keys(pins.targets).length === 0) return ok(args);
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const selected = selectTarget(pins, args.pins, choice.value, bundle);
  return selected.ok ? ok(completed(bundle, args, selected.value)) : selected;
}

/** Nothing is written, so nothing is pinned. */
function lookingOnly(surroundings: Surroundings): Surroundings {
  const { report } = surroundings;
  return {
    ...surroundings,
    report: (event) => {
      report(event.type === 'pinned' ? { ...event, dry: true } : event);
    },
  };
}

function describeChange(pinned: boolean, changes: number, written: boolean, dry: boolean): string {
  const would = dry ? 'would be ' : '';
  if (!pinned) return `${would}pinned for the first time`;
  if (changes > 0) return dry ? `${changes} would change` : `${changes} changed`;
  return written ? `${would}written anew, the same digests` : 'unchanged';
}

function sameText(a: TargetPins, b: TargetPins): boolean {
  const text = (target: TargetPins): string => formatPins({ targets: { same: target } });
  return text(a) === text(b);
}

/** docs/exit-codes.md. */
const NEWER = 8;

/** The pins that `--update` starts from; undefined where everything is to be pinned. */
function chooseOld(
  pins: Pins | undefined,
  bundle: Bundle,
  names: readonly string[],
  args: TargetArguments & { readonly pins: string },
): Result<TargetPins | undefined> {
  if (names.length === 0) return ok(undefined);
  if (pins === undefined) return fail({ reason: 'no-pins', file: args.pins, updating: true });
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const selected = selectTarget(pins, args.pins, choice.value, bundle);
  return selected.ok || selected.failure.reason !== 'target-not-pinned'
    ? selected
    : fail({ ...selected.failure, updating: true });
}

async function pinAll(
  bundle: Bundle,
  args: TargetArguments,
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<TargetPins>> {
  const resolved = await resolveTarget(bundle, args, access, surroundings);
  return resolved.ok ? ok(resolved.value.pins) : resolved;
}

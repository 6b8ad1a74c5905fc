import type { TargetPins } from '../../model/pins.ts';
import { parsePlatform } from '../../model/platform.ts';
import type { Bundle } from '../../model/bundle.ts';
import type { Pins } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import { fetchTarget } from '../../fetch/fetch-target.ts';
import type { PinOptions } from '../../fetch/pin.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import type { Surroundings } from '../command.ts';
import { defineCommand } from '../command.ts';
import { readBundleFiles, readPinsFile, putTarget } from '../inputs.ts';
import {
  bundleOption,
  engineVersionOptions,
  loaderOption,
  networkOptions,
  pinsOption,
  storeOption,
  targetOptions,
} from '../options.ts';
import { networkAccess, resolveTarget } from '../resolve-target.ts';
import type { PinnedTarget, TargetArguments } from '../target.ts';
import { pinnedTarget } from '../target.ts';

export const fetchCommand = defineCommand({
  name: 'fetch',
  describe: 'download what is pinned into the store; what is not pinned is pinned first',
  options: {
    ...bundleOption,
    ...pinsOption,
    ...storeOption,
    ...targetOptions,
    ...engineVersionOptions,
    ...loaderOption,
    frozen: {
      type: 'boolean',
      default: false,
      describe: 'missing or stale pins are an error',
    },
    offline: {
      type: 'boolean',
      default: false,
      describe: 'use no network: only check that all is there',
    },
    ...networkOptions,
  },
  async run(args, surroundings) {
    const bundle = await readBundleFiles(args.bundle.map(String));
    if (!bundle.ok) return bundle;
    const before = await readPinsFile(args.pins);
    if (!before.ok) return before;
    const access = networkAccess(args, surroundings);
    if (!access.ok) return access;
    const builder = parsePlatform(surroundings.builderPlatform);
    if (!builder.ok) return builder;
    const dry = args['dry-run'];
    const pinned = pinnedTarget(bundle.value, before.value, args.pins, args);
    const frozen = args.frozen || args.offline || dry;
    if (!pinned.ok && !frozen && pinned.failure.reason === 'pins-stale')
      for (const detail of pinned.failure.differences)
        surroundings.report({ type: 'warning', about: args.pins, detail });
    const target =
      pinned.ok || frozen || !mayPin(pinned.failure.reason)
        ? pinned
        : await pinNow(
            bundle.value,
            before.value,
            args,
            { ...access.value, store: args.store },
            surroundings,
          );
    if (!target.ok) return target;
    const fetched = await fetchTarget(
      target.value.pins,
      target.value.wanted.files,
      {
        ...access.value,
        store: args.store,
        locations: target.value.wanted,
        // A dry run only looks, and what it lacks is its answer.
        offline: args.offline || dry,
        dindPlatform: builder.value,
      },
      surroundings,
    );
    if (!fetched.ok) return fetched;
    const { images, files, downloaded } = fetched.value;
    return ok({
      text: `${args.store}: ${images} images and ${files} files, ${formatBytes(downloaded)} downloaded\n`,
      json: fetched.value,
    });
  },
});

/** Failures of the pins that pinning mends. */
function mayPin(reason: string): boolean {
  return reason === 'no-pins' || reason === 'pins-stale' || reason === 'target-not-pinned';
}

async function pinNow(
  bundle: Bundle,
  before: Pins | undefined,
  args: TargetArguments & { readonly pins: string },
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<PinnedTarget>> {
  const only = Object.values(before?.targets ?? {});
  const stale = only.length === 1 ? only[0] : undefined;
  const resolved = await resolveTarget(bundle, completed(args, stale), access, surroundings);
  if (!resolved.ok) return resolved;
  const written = await putTarget(args.pins, resolved.value.pins, surroundings);
  if (!written.ok) return written;
  surroundings.report({ type: 'pins-written', file: args.pins, changed: written.value });
  return resolved;
}

/** With pins of one target and no choice made, that target is meant. */
function completed(args: TargetArguments, only: TargetPins | undefined): TargetArguments {
  if (only === undefined || args.platform !== undefined) return args;
  const { platform, machine, set } = only.target;
  return {
    ...args,
    platform,
    machine: args.machine ?? machine,
    set: [...Object.entries(set).map(([name, value]) => `${name}=${value}`), ...(args.set ?? [])],
  };
}

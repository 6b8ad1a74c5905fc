import { fetchTarget, planFetch } from '../../fetch/fetch-target.ts';
import type { FetchPlan } from '../../fetch/fetch-target.ts';
import type { PinOptions } from '../../fetch/pin.ts';
import type { Bundle } from '../../model/bundle.ts';
import type { Failure, PinsStale } from '../../model/failure.ts';
import type { Pins } from '../../model/pins.ts';
import { targetKey } from '../../model/pins-document.ts';
import { parsePlatform } from '../../model/platform.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { moved } from '../../plan/compare-pins.ts';
import { DIND } from '../../plan/fetch-plan.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import type { Outcome, Surroundings } from '../command.ts';
import { defineCommand } from '../command.ts';
import { readBundleFiles, readPinsFile, putTarget } from '../inputs.ts';
import { movesTable } from '../moves-table.ts';
import {
  bundleOption,
  engineVersionOptions,
  loaderOption,
  networkOptions,
  pinsOption,
  storeOption,
  targetOptions,
} from '../options.ts';
import { repinTarget } from '../repin.ts';
import { networkAccess, resolveTarget } from '../resolve-target.ts';
import type { PinnedTarget, TargetArguments } from '../target.ts';
import { pinnedTarget } from '../target.ts';
import { countOf } from '../../report/count-of.ts';

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
    if (!pinned.ok && (args.frozen || args.offline || !mayPin(pinned.failure.reason)))
      return pinned;
    if (!pinned.ok && dry) return ok(describeUnpinned(pinned.failure, args, bundle.value));
    const target = pinned.ok
      ? ok({ ...pinned.value, moved: undefined })
      : await pinNow(
          bundle.value,
          before.value,
          pinned.failure,
          args,
          { ...access.value, store: args.store },
          surroundings,
        );
    if (!target.ok) return target;
    const options = {
      ...access.value,
      store: args.store,
      locations: target.value.wanted,
      offline: args.offline,
      dindPlatform: args.loader === 'dind' ? builder.value : undefined,
    };
    if (dry) {
      const plan = await planFetch(target.value.pins, options, surroundings);
      if (!plan.ok) return plan;
      // That is what it would end with.
      const { first } = plan.value;
      if (args.offline && first !== undefined) return fail(first);
      return ok(describePlan(plan.value, args.store, args.loader));
    }
    const fetched = await fetchTarget(
      target.value.pins,
      target.value.wanted.files,
      options,
      surroundings,
    );
    if (!fetched.ok) return fetched;
    const { images, files, downloaded } = fetched.value;
    const { moved } = target.value;
    return ok({
      text: `${moved?.text ?? ''}${args.store}: ${countOf(images, 'image')} and ${countOf(files, 'file')}${withDind(args.loader)}${moved?.note ?? ''}, ${formatBytes(downloaded)} downloaded\n`,
      json: { ...fetched.value, ...(moved === undefined ? {} : { moved: moved.changes }) },
    });
  },
});

/** Failures of the pins that pinning mends. */
function mayPin(reason: string): boolean {
  return reason === 'no-pins' || reason === 'pins-stale' || reason === 'target-not-pinned';
}

/** What became of the pins: lines for people, and what the result's own line says of it. */
interface Moved {
  readonly text: string;
  readonly note: string;
  readonly changes: readonly string[];
}

/** Of stale pins what still fits stays as it is; a target that is not pinned is pinned whole. */
async function pinNow(
  bundle: Bundle,
  before: Pins | undefined,
  why: Failure,
  args: TargetArguments & { readonly pins: string },
  access: PinOptions,
  surroundings: Surroundings,
): Promise<Result<PinnedTarget & { readonly moved: Moved }>> {
  const old = why.reason === 'pins-stale' ? before?.targets[why.target] : undefined;
  if (why.reason === 'pins-stale')
    for (const detail of differencesOf(why))
      surroundings.report({ type: 'warning', about: `${args.pins} is stale`, detail });
  const resolved =
    old === undefined
      ? await resolveTarget(bundle, args, access, surroundings)
      : await repinTarget(bundle, old, args, access, surroundings);
  if (!resolved.ok) return resolved;
  const { pins } = resolved.value;
  const written = await putTarget(args.pins, pins, surroundings);
  if (!written.ok) return written;
  surroundings.report({ type: 'pins-written', file: args.pins, changed: written.value });
  const key = targetKey(pins.target);
  const changes = old === undefined ? [] : moved(old, pins);
  const text =
    old === undefined
      ? ''
      : `${args.pins}: ${key}: what was stale is pinned anew, the rest stays\n${changes.length === 0 ? '' : movesTable(changes)}`;
  const note = old === undefined ? `, pinned now in ${args.pins}` : '';
  return ok({ ...resolved.value, moved: { text, note, changes } });
}

function differencesOf({ differences, edited = [] }: PinsStale): readonly string[] {
  return [...edited.map(({ detail }) => detail), ...differences];
}

/** What is fetched besides the bundle's own images. */
function withDind(loader: string): string {
  return loader === 'dind' ? `, the ${DIND} image among them` : '';
}

/** A dry run resolves nothing: it can name what would be pinned, and not yet what that comes to. */
function describeUnpinned(
  why: Failure,
  { pins: file, loader }: { readonly pins: string; readonly loader: string },
  bundle: Bundle,
): Outcome {
  const differences = why.reason === 'pins-stale' ? differencesOf(why) : [];
  const images = Object.keys(bundle.images);
  const files = Object.keys(bundle.extraFiles);
  const lines =
    why.reason === 'pins-stale'
      ? [
          `${file}: ${why.target}: would be pinned anew where it is stale:`,
          ...differences.map((difference) => `  ${difference}`),
        ]
      : [
          `${file}: ${why.reason === 'no-pins' ? 'does not exist' : 'has no pins for this target'}; would be pinned first:`,
          `  images: ${listed(images)}${loader === 'dind' ? ', and the dind image' : ''}`,
          `  files:  ${listed(files)}`,
        ];
  return {
    text: [...lines, 'what that downloads is known once it is pinned', ''].join('\n'),
    json: { pinned: false, why: why.reason, differences, images, files },
  };
}

function describePlan(plan: FetchPlan, store: string, loader: string): Outcome {
  const { images, files, missingImages, missingFiles, bytes } = plan;
  const all = `${countOf(images, 'image')} and ${countOf(files, 'file')}${withDind(loader)}`;
  const text =
    plan.first === undefined
      ? `${store}: all of ${all} are there, nothing would be downloaded\n`
      : [
          `${store}: of ${all}, ${formatBytes(bytes)} would be downloaded:`,
          `  images: ${listed(missingImages)}`,
          `  files:  ${listed(missingFiles)}`,
          '',
        ].join('\n');
  return { text, json: { pinned: true, images, files, missingImages, missingFiles, bytes } };
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ');
}

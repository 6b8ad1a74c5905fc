import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { identityOf } from '../../plan/identity.ts';
import type { Wanted } from '../../plan/wanted.ts';
import type { Failure } from '../../model/failure.ts';
import type { TargetPins } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { build } from '../../load/build.ts';
import { dataDocumentOf } from '../../load/check-inputs.ts';
import { contentOf } from '../../load/content.ts';
import { readDataDocument } from '../../load/data-document.ts';
import { buildInto } from '../../load/into.ts';
import { DindLoader } from '../../load/dind/dind-loader.ts';
import { DirectLoader } from '../../load/direct/direct-loader.ts';
import { exportDataRoot } from '../../load/direct/export-data-root.ts';
import type { Loader } from '../../load/loader.ts';
import type { BuildSettings } from '../../plan/fingerprint.ts';
import { describeBuildPlan } from '../../report/describe-build-plan.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { noteUse } from '../../store/last-use.ts';
import type { Store } from '../../store/store.ts';
import { openStore } from '../../store/store.ts';
import { verifyConsistency, verifyDataImage } from '../../verify/verify.ts';
import type { Surroundings } from '../command.ts';
import { defineCommand } from '../command.ts';
import { engineChoice } from '../engine-choice.ts';
import { readBundleFiles, readPinsFile } from '../inputs.ts';
import { nameOrigin } from '../name-origin.ts';
import {
  bundleOption,
  engineStoreOptions,
  engineVersionOptions,
  loaderOption,
  outerEngineOption,
  pinsOption,
  storeOption,
  targetOptions,
} from '../options.ts';
import { partitionOptions, withPartition } from '../partition-options.ts';
import { pinnedTarget } from '../target.ts';
import { countOf } from '../../report/count-of.ts';

export const buildCommand = defineCommand({
  name: 'build',
  describe: 'turn the store and the pins into a data image; uses no network',
  options: {
    ...bundleOption,
    ...pinsOption,
    ...storeOption,
    output: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      demandOption: true,
      describe: 'the data image; data.json is written beside it',
    },
    ...targetOptions,
    ...engineVersionOptions,
    ...engineStoreOptions,
    ...loaderOption,
    ...outerEngineOption,
    ...partitionOptions,
    format: {
      choices: ['ext4', 'tar', 'dir'] as const,
      default: 'ext4' as const,
      describe:
        'what is written: a data image; with --loader direct also what is in it, as an archive or (as root) a directory',
    },
    into: {
      type: 'string',
      requiresArg: true,
      describe: 'add to this data image, and keep what is there; it may be the output',
    },
    'from-scratch': {
      type: 'boolean',
      default: false,
      describe: 'build all anew, whatever an earlier build left',
    },
    share: {
      type: 'boolean',
      default: true,
      describe:
        'take a finished image that another build left in the store, and leave this one there; --no-share',
    },
    privileged: {
      type: 'boolean',
      default: false,
      describe: 'give the dind container every right, where the engine allows no less',
    },
  },
  async run(args, surroundings) {
    const start = performance.now();
    const bundle = await readBundleFiles(args.bundle.map(String));
    if (!bundle.ok) return bundle;
    const pinsFile = await readPinsFile(args.pins);
    if (!pinsFile.ok) return pinsFile;
    const target = pinnedTarget(bundle.value, pinsFile.value, args.pins, args);
    if (!target.ok) return target;
    const named = (failure: Failure): Result<never> =>
      fail(nameOrigin(failure, bundle.value, args));
    const { pins } = target.value;
    const wanted = withPartition(target.value.wanted, args);
    if (!wanted.ok) return wanted;
    const store = await openStore(args.store);
    if (!store.ok) return store;
    const refused = refuseWith({ ...args, containerd: wanted.value.engine.containerd });
    if (!refused.ok) return named(refused.failure);
    // Of the dind image, where one is run.
    const builder = args.loader === 'dind' ? surroundings.builderPlatform : undefined;
    if (!args['dry-run']) await noteUses(store.value, pins, builder);
    const output = await realOutput(args.output);
    const spared = await spareInputs(output, [...args.bundle.map(String), args.pins]);
    if (!spared.ok) return spared;
    const { partition } = wanted.value;
    const { store: engineStore, unpack } = wanted.value.engine;
    const { dataRoot, label } = partition;
    const whole = { dataRoot, label, store: engineStore, unpack };
    // What the direct loader writes it has not left to a kernel.
    const expected = { ...whole, pins, withoutChecker: args.loader === 'direct' };
    const request = {
      wanted: wanted.value,
      pins,
      store: store.value,
      epoch: surroundings.epoch,
      identity: identityOf(partition, pins, surroundings.sourceDateEpoch),
      get content() {
        return { ...contentOf(pins, store.value), withoutEngine: args.loader === 'direct' };
      },
    };
    if (args.format !== 'ext4') {
      const { format, 'dry-run': dryRun } = args;
      const exported = await exportDataRoot(request, { output, format, dryRun }, surroundings);
      if (!exported.ok) return named(exported.failure);
      const images = Object.keys(pins.images).length;
      const size = exported.value;
      const does = dryRun ? 'would be written' : size === undefined ? 'written' : formatBytes(size);
      return ok({
        text: `${args.output}: ${does}, ${countOf(images, 'image')}\n`,
        json: { output, images, built: !dryRun, how: 'scratch', size },
      });
    }
    // An image in the making has no name of its own yet: what is said of it is the build's to say.
    const quiet = { signal: surroundings.signal, report: () => undefined };
    const common = {
      output,
      settings: settingsOf(wanted.value, pins, args.loader, builder, surroundings),
      dryRun: args['dry-run'],
      ...(builder === undefined ? {} : { dindPlatform: builder }),
    };
    const loader: Loader =
      builder === undefined
        ? new DirectLoader()
        : new DindLoader({
            engine: engineChoice(args, surroundings),
            privileged: args.privileged,
            builderPlatform: builder,
          });
    const built =
      args.into === undefined
        ? await build(
            request,
            {
              ...common,
              fromScratch: args['from-scratch'],
              share: args.share,
              prove: async (image) => {
                const verified = await verifyDataImage(image, expected, quiet);
                return verified.ok ? ok() : verified;
              },
            },
            loader,
            surroundings,
          )
        : await buildInto(
            request,
            {
              ...common,
              into: await realOutput(args.into),
              proveWhole: async (image) => {
                const verified = await verifyConsistency(image, whole, quiet);
                return verified.ok ? ok() : verified;
              },
            },
            loader,
            surroundings,
          );
    if (!built.ok) return named(built.failure);
    const elapsed = performance.now() - start;
    const { plan, size } = built.value;
    const images = plan.how === 'into' ? plan.changes.images : Object.keys(pins.images).length;
    const { how } = plan;
    const why = describeBuildPlan(plan);
    if (how === 'nothing')
      return ok({
        text: `${args.output}: ${why}: ${countOf(images, 'image')}\n`,
        json: { output, images, built: false, how, size },
      });
    if (size === undefined)
      return ok({
        text: `${args.output}: would be built from ${countOf(images, 'image')}: ${why}\n`,
        json: { output, images, built: false, how, why },
      });
    surroundings.report({ type: 'built', output, size, images, elapsed });
    return ok({
      text: `${args.output}: ${formatBytes(size)}, ${countOf(images, 'image')}\n`,
      json: { output, images, built: true, how, size },
    });
  },
});

function settingsOf(
  wanted: Wanted,
  pins: TargetPins,
  loader: string,
  builder: string | undefined,
  surroundings: Surroundings,
): BuildSettings {
  const dind = builder === undefined ? undefined : pins.dind?.platforms[builder]?.manifest.digest;
  const { version: stowage, sourceDateEpoch: epoch } = surroundings;
  return {
    loader,
    stowage,
    ...(dind === undefined ? {} : { dind }),
    engine: wanted.engine,
    partition: wanted.partition,
    ...(epoch === undefined ? {} : { epoch }),
  };
}

/** The kernel knows mounts by their real paths, so the work directory has to be at one. */
async function realOutput(given: string): Promise<string> {
  const path = resolve(given);
  const directory = await realpath(dirname(path)).catch(() => dirname(path));
  return join(directory, basename(path));
}

/** What can't be together. */
function refuseWith({
  loader,
  into,
  format,
  containerd,
}: {
  readonly loader: string;
  readonly containerd: 'own' | undefined;
  readonly into?: string | undefined;
  readonly format: string;
}): Result<void> {
  const refuse = (option: string, value: string, expected: string): Result<never> =>
    fail({ reason: 'invalid-option', option, value, expected });
  if (loader === 'dind' && format !== 'ext4')
    return refuse('--format', format, 'ext4, which is all that --loader dind makes');
  if (loader === 'dind' && containerd !== undefined)
    return refuse('--containerd', containerd, 'daemon, which is all that --loader dind fills');
  if (loader === 'dind' || into === undefined) return ok();
  const expected = 'none with --loader direct, which writes whole data images: use --loader dind';
  return refuse('--into', into, expected);
}

/** Neither the image nor the document beside it may replace what the user has written, or somebody else has. */
async function spareInputs(output: string, inputs: readonly string[]): Promise<Result<void>> {
  const document = dataDocumentOf(output);
  for (const input of inputs) {
    const real = await realpath(input).catch(() => resolve(input));
    if (real === output || real === document)
      return fail({
        reason: 'invalid-option',
        option: '--output',
        value: output,
        expected: `another name: ${real === output ? 'it' : document} is an input, and would be replaced`,
      });
  }
  if ((await readDataDocument(document)).ok) return ok();
  return fail({
    reason: 'invalid-option',
    option: '--output',
    value: output,
    expected: `another name: ${document} would be replaced, and is no data.json of stowage`,
  });
}

/** Before anything is looked for, so that nobody's prune takes it while this build runs. */
async function noteUses(
  store: Store,
  pins: TargetPins,
  builder: string | undefined,
): Promise<void> {
  const dind = builder === undefined ? undefined : pins.dind?.platforms[builder];
  const parts = [...Object.values(pins.images), ...(dind === undefined ? [] : [dind])].flatMap(
    (image) => [image.manifest, image.config, ...image.layers],
  );
  for (const { keptIndex } of Object.values(pins.images))
    if (keptIndex !== undefined) parts.push(keptIndex);
  for (const { digest } of parts) await noteUse(store, 'blobs', digest);
  for (const file of Object.values(pins.files)) await noteUse(store, 'files', file.sha256);
}

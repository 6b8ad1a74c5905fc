import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { checkDocuments } from '../../load/check-documents.ts';
import { checkStore } from '../../load/check-inputs.ts';
import { interruption } from '../../model/file-failure.ts';
import type { Bundle } from '../../model/bundle.ts';
import type { TargetPins } from '../../model/pins.ts';
import { targetKey } from '../../model/pins-document.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { stale } from '../../plan/compare-pins.ts';
import { evaluateFromPins } from '../../plan/evaluate-from-pins.ts';
import { selectTarget } from '../../plan/select-target.ts';
import { describeSbom } from '../../report/describe-sbom.ts';
import { describeImages } from '../../sbom/describe-images.ts';
import { formatImageManifest } from '../../sbom/image-manifest.ts';
import { formatSpdx } from '../../sbom/spdx-document.ts';
import { summaryOf } from '../../sbom/summary.ts';
import { writeDocuments } from '../../sbom/write-documents.ts';
import { openStore } from '../../store/store.ts';
import { defineCommand } from '../command.ts';
import { readOutputFile } from '../output-file.ts';
import { readBundleFiles, readPinsFile } from '../inputs.ts';
import {
  bundleOption,
  engineVersionOptions,
  pinsOption,
  storeOption,
  targetOptions,
} from '../options.ts';
import type { TargetArguments } from '../target.ts';
import { overrides, parseChoice } from '../target.ts';

export const sbomCommand = defineCommand({
  name: 'sbom',
  describe:
    "the pinned images and the packages in their layers as SPDX, and the images' licences as CSV; uses no network",
  options: {
    bundle: {
      ...bundleOption.bundle,
      demandOption: false,
      describe:
        'bundle that the pins must be of, several are merged; without it the pins alone count',
    },
    ...pinsOption,
    ...storeOption,
    output: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      demandOption: true,
      describe: 'the SPDX 2.3 document to write, as JSON',
    },
    manifest: {
      type: 'string',
      requiresArg: true,
      describe: 'a CSV file to write, with a line for each image',
    },
    ...targetOptions,
    'engine-version': engineVersionOptions['engine-version'],
  },
  async run(args, surroundings) {
    const targets = await chooseTargets(args);
    if (!targets.ok) return targets;
    const output = await readOutputFile('--output', args.output);
    if (!output.ok) return output;
    const manifest =
      args.manifest === undefined
        ? ok(undefined)
        : await readOutputFile('--manifest', args.manifest);
    if (!manifest.ok) return manifest;
    const spared = await spareInputs(output.value, manifest.value, args);
    if (!spared.ok) return spared;
    const store = await openStore(args.store);
    if (!store.ok) return store;
    for (const target of targets.value) {
      const there = await checkStore(store.value, target, undefined);
      if (!there.ok) return there;
      const agreed = await checkDocuments(store.value, target);
      if (!agreed.ok) return agreed;
    }
    const images = await describeImages(targets.value, store.value, surroundings);
    if (!images.ok) return images;
    const { version, sourceDateEpoch: epoch } = surroundings;
    const document = formatSpdx(images.value, targets.value, { version, epoch });
    const lines = formatImageManifest(images.value);
    if (surroundings.signal.aborted) return fail(interruption(surroundings.signal));
    const documents = [
      { path: output.value, given: args.output, text: document },
      ...(manifest.value === undefined
        ? []
        : [{ path: manifest.value, given: args.manifest ?? '', text: lines }]),
    ];
    const written = args['dry-run'] ? ok() : await writeDocuments(documents);
    if (!written.ok) return written;
    const { output: file, manifest: csv } = args;
    const summary = summaryOf(images.value, targets.value);
    return ok({
      text: describeSbom(summary, { file, csv, written: !args['dry-run'] }),
      json: {
        output: file,
        ...(csv === undefined ? {} : { manifest: csv }),
        written: !args['dry-run'],
        ...summary,
      },
    });
  },
});

interface Inputs extends TargetArguments {
  readonly pins: string;
  readonly bundle?: readonly (string | number)[] | undefined;
}

/** The target that was asked for, or all that are pinned where none was; with a bundle none whose pins are stale. */
async function chooseTargets(args: Inputs): Promise<Result<readonly TargetPins[]>> {
  const paths = args.bundle?.map(String);
  const bundle = paths === undefined ? ok(undefined) : await readBundleFiles(paths);
  if (!bundle.ok) return bundle;
  const file = args.pins;
  const pins = await readPinsFile(file);
  if (!pins.ok) return pins;
  if (pins.value === undefined) return fail({ reason: 'no-pins', file });
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const all = Object.values(pins.value.targets);
  const isChosen = [args.platform, args.machine, args.set].some((option) => option !== undefined);
  let targets = all;
  if (isChosen || all.length === 0) {
    const target = selectTarget(pins.value, file, choice.value, bundle.value);
    if (!target.ok) return target;
    targets = [target.value];
  }
  if (bundle.value === undefined) return ok(targets);
  for (const target of targets) {
    const fresh = checkFresh(bundle.value, target, file, args);
    if (!fresh.ok) return fresh;
  }
  return ok(targets);
}

function checkFresh(
  bundle: Bundle,
  pins: TargetPins,
  file: string,
  args: TargetArguments,
): Result<void> {
  // The loader's own image is no part of the product.
  const wanted = evaluateFromPins(bundle, pins, file, {
    machine: args.machine,
    ...overrides({ ...args, loader: 'direct' }),
  });
  if (!wanted.ok) return wanted;
  const differences = stale(wanted.value, pins);
  if (differences.length === 0) return ok();
  return fail({ reason: 'pins-stale', file, target: targetKey(pins.target), differences });
}

/** Nothing that was read, or is written beside it, may be replaced. */
async function spareInputs(
  output: string,
  manifest: string | undefined,
  args: Inputs,
): Promise<Result<void>> {
  const no = (option: string, value: string, expected: string): Result<never> =>
    fail({ reason: 'invalid-option', option, value, expected });
  if (output === manifest)
    return no('--manifest', manifest, 'another name than that of the SPDX document');
  for (const input of [args.pins, ...(args.bundle ?? []).map(String)]) {
    const real = await realpath(input).catch(() => resolve(input));
    const expected = 'another name: it is an input, and would be replaced';
    if (real === output) return no('--output', output, expected);
    if (real === manifest) return no('--manifest', manifest, expected);
  }
  return ok();
}

import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Place } from '../../ext4/partition.ts';
import { checkPlace, choosePartition, fileKind } from '../../inspect/file-kind.ts';
import { dataDocumentOf } from '../../load/check-inputs.ts';
import { readDataDocument } from '../../load/data-document.ts';
import type { TargetPins } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { targetKey } from '../../model/pins-document.ts';
import { selectTarget } from '../../plan/select-target.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { errorCode, fileFailure } from '../../model/file-failure.ts';
import type { VerifySummary } from '../../verify/verify.ts';
import { verifyConsistency, verifyDataImage } from '../../verify/verify.ts';
import type { Outcome } from '../command.ts';
import { defineCommand } from '../command.ts';
import { readPinsFile } from '../inputs.ts';
import { pinsOption, targetOptions } from '../options.ts';
import { placeOptions, readDataRoot, readPlace } from '../place-options.ts';
import type { TargetArguments } from '../target.ts';
import { parseChoice } from '../target.ts';
import { countOf } from '../../report/count-of.ts';

export const verifyCommand = defineCommand({
  name: 'verify',
  describe:
    'compare a data image with its pins: blobs, snapshots, names and files; no root, no daemon',
  positional: { name: 'image', option: { type: 'string', describe: 'the data image' } },
  options: {
    pins: {
      ...pinsOption.pins,
      demandOption: false,
      describe: 'the pins file; the data.json beside the image without it',
    },
    ...targetOptions,
    self: {
      type: 'boolean',
      default: false,
      describe: 'compare the image with itself alone: all that can be done where no pins are known',
    },
    unpack: {
      type: 'boolean',
      describe:
        "--no-unpack: the images are packed, as engine.unpack: false wants; data.json's word without it",
    },
    quick: {
      type: 'boolean',
      default: false,
      describe:
        'do not compare the files of snapshots with the layers: only look that they are there',
    },
    used: {
      type: 'boolean',
      default: false,
      describe:
        'an engine has run on it: list what is there besides as new, which is no error then',
    },
    ...placeOptions,
    'data-root': {
      type: 'string',
      requiresArg: true,
      describe: "the engine's data root on the partition; data.json's, or docker, without it",
    },
  },
  async run(args, surroundings) {
    const image = resolve(args.image ?? '');
    const place = readPlace(args);
    if (!place.ok) return place;
    const how = { contents: !args.quick, used: args.used, place: place.value };
    const givenRoot = readDataRoot(args['data-root']);
    if (!givenRoot.ok) return givenRoot;
    const there = await lookAtImage(image, place.value);
    if (!there.ok) return there;
    const beside = dataDocumentOf(image);
    const document = await readDataDocument(beside);
    // With pins given, data.json is only a convenience: it may be another's, or nobody's.
    if (!document.ok && args.pins === undefined) return document;
    const known = document.ok ? document.value : undefined;
    const dataRoot = givenRoot.value ?? known?.dataRoot ?? 'docker';
    const { engine } = known?.settings ?? {};
    const unpack = args.unpack ?? engine?.unpack;
    if (args.self) {
      const expected = { dataRoot, label: known?.label, unpack, ...how };
      return summary(await verifyConsistency(image, expected, surroundings), 'whole', args.image);
    }
    if (args.pins === undefined && known === undefined)
      return fail({
        reason: 'invalid-option',
        option: '--pins',
        value: '',
        expected: `a pins file, as there is no ${beside}; or --self`,
      });
    const pins =
      args.pins === undefined && known !== undefined
        ? checkTarget(known.pins, beside, args)
        : await choosePins(args.pins ?? '', args, known?.pins);
    if (!pins.ok) return pins;
    const verified = await verifyDataImage(
      image,
      {
        pins: pins.value,
        dataRoot,
        label: known?.label,
        store: engine?.store,
        unpack,
        ...how,
      },
      surroundings,
    );
    return summary(verified, 'as pinned', args.image);
  },
});

/** `what` is said of everything that was looked at. */
function summary(
  verified: Result<VerifySummary>,
  what: 'as pinned' | 'whole',
  image = '',
): Result<Outcome> {
  if (!verified.ok) return verified;
  const { images, blobs, bytes, snapshots, files, unpackedFiles, news } = verified.value;
  const inside = unpackedFiles === 0 ? '' : ` with ${countOf(unpackedFiles, 'file')}`;
  const extra = what === 'whole' ? '' : ` and ${countOf(files, 'file')}`;
  const more =
    news.length === 0 ? '' : `new since it was built:\n${news.map((one) => `  ${one}\n`).join('')}`;
  return ok({
    text: `${image}: ok: ${countOf(images, 'image')}, ${countOf(blobs, 'blob')} (${formatBytes(bytes)}), ${countOf(snapshots, 'snapshot')}${inside}${extra} are ${what}\n${more}`,
    json: { image, verified: what, ...verified.value },
  });
}

/** Before anything is opened: to open a pipe is to wait for whoever writes to it. */
async function lookAtImage(file: string, place: Place | undefined): Promise<Result<void>> {
  const no = (detail: string): Result<never> =>
    fail({ reason: 'invalid-document', kind: 'data image', file, problems: [{ detail }] });
  try {
    const found = await stat(file);
    if (found.isDirectory()) return no(`this is a directory${MAKE_ONE}`);
    if (!found.isFile() && !found.isBlockDevice()) return no('this is no file');
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return no('there is no such file');
    return fail(fileFailure(error, file, 'reading the data image'));
  }
  if (place !== undefined) return checkPlace(file, place);
  const kind = await fileKind(file, file);
  if (!kind.ok) return kind;
  if (kind.value.kind === 'disk') return choosePartition(file);
  return kind.value.kind === 'tar' ? no(`this is an archive${MAKE_ONE}`) : ok();
}

/** `build --format tar` and `dir` write such. */
const MAKE_ONE = ', and no file system: `stowage mkfs` makes one of a tar or directory';

/** The target of data.json, which must be the one that was asked for, if one was. */
function checkTarget(pins: TargetPins, file: string, args: TargetArguments): Result<TargetPins> {
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  return selectTarget(
    { targets: { [targetKey(pins.target)]: pins } },
    file,
    choice.value,
    undefined,
  );
}

/** The target that was asked for, else the one that data.json says the image was built for. */
async function choosePins(
  file: string,
  args: TargetArguments,
  baked: TargetPins | undefined,
): Promise<Result<TargetPins>> {
  const pins = await readPinsFile(file);
  if (!pins.ok) return pins;
  if (pins.value === undefined) return fail({ reason: 'no-pins', file });
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const selected = selectTarget(pins.value, file, choice.value, undefined);
  if (selected.ok || selected.failure.reason !== 'target-ambiguous' || baked === undefined)
    return selected;
  const { platform, machine, set } = baked.target;
  const same = Object.values(pins.value.targets).find(
    ({ target }) =>
      target.platform === platform &&
      target.machine === machine &&
      JSON.stringify(target.set) === JSON.stringify(set),
  );
  return same === undefined ? selected : ok(same);
}

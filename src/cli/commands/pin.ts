import type { Pins, TargetPins } from '../../model/pins.ts';
import { targetKey } from '../../model/pins-document.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { moved } from '../../plan/compare-pins.ts';
import { defineCommand } from '../command.ts';
import { readBundleFiles, readPinsFile, writePinsFile } from '../inputs.ts';
import {
  bundleOption,
  engineVersionOptions,
  networkOptions,
  pinsOption,
  targetOptions,
} from '../options.ts';
import { networkAccess, resolveTarget, withTarget } from '../resolve-target.ts';

export const pinCommand = defineCommand({
  name: 'pin',
  describe: 'fix every tag of the bundle to digests, for one target',
  options: {
    ...bundleOption,
    ...pinsOption,
    ...targetOptions,
    ...engineVersionOptions,
    check: {
      type: 'boolean',
      default: false,
      describe: 'write nothing; exit with 8 where something is newer than pinned',
    },
    update: {
      type: 'array',
      string: true,
      nargs: 1,
      requiresArg: true,
      describe: 'move this image alone, the others stay as pinned; repeatable',
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
    const resolved = await resolveTarget(bundle.value, args, access.value, surroundings);
    if (!resolved.ok) return resolved;

    const key = targetKey(resolved.value.pins.target);
    const old = before.value?.targets[key];
    const updated = keepOthers(resolved.value.pins, old, args.update?.map(String));
    if (!updated.ok) return updated;
    const changes = old === undefined ? [`${key} is not pinned yet`] : moved(old, updated.value);
    const pins: Pins = withTarget(before.value, updated.value);
    if (args.check) {
      if (changes.length > 0) return fail({ reason: 'newer', file: args.pins, moved: changes });
      return ok({ text: `${args.pins}: nothing is newer\n`, json: { target: key, moved: [] } });
    }
    const dry = args['dry-run'];
    const written = dry ? ok(changes.length > 0) : await writePinsFile(args.pins, pins);
    if (!written.ok) return written;
    surroundings.report({ type: 'pins-written', file: args.pins, changed: written.value });
    const what = written.value ? (dry ? 'would change' : 'written') : 'unchanged';
    return ok({
      text: `${args.pins}: ${key}: ${what}\n${changes.map((change) => `  ${change}\n`).join('')}`,
      json: { target: key, changed: written.value, moved: changes, pins: updated.value },
    });
  },
});

/** With `--update`, every image but those named stays as it was pinned. */
function keepOthers(
  now: TargetPins,
  old: TargetPins | undefined,
  names: readonly string[] | undefined,
): Result<TargetPins> {
  if (names === undefined) return ok(now);
  const unknown = names.find((name) => !(name in now.images));
  if (unknown !== undefined)
    return fail({
      reason: 'invalid-option',
      option: '--update',
      value: unknown,
      expected: `an image of the bundle: ${Object.keys(now.images).join(', ')}`,
    });
  if (old === undefined) return ok(now);
  const images = Object.entries(now.images).map(([name, image]) => [
    name,
    names.includes(name) ? image : (old.images[name] ?? image),
  ]);
  return ok({ ...old, images: Object.fromEntries(images) as TargetPins['images'] });
}

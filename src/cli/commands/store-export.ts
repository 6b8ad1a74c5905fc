import { resolve } from 'node:path';
import type { Result } from '../../model/result.ts';
import { ok } from '../../model/result.ts';
import { selectTarget } from '../../plan/select-target.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import type { Selection } from '../../store/export-store.ts';
import { exportStore } from '../../store/export-store.ts';
import { openExistingStore } from '../../store/store.ts';
import { defineCommand } from '../command.ts';
import { pinsOption, storeOption, targetOptions } from '../options.ts';
import { readAllPins, selectionOf, targetsOf } from '../pinned-content.ts';
import type { TargetArguments } from '../target.ts';
import { parseChoice } from '../target.ts';
import { countOf } from '../../report/count-of.ts';

export const storeExportCommand = defineCommand({
  name: 'export',
  describe: 'write images and files of a store into one file, for a machine without network',
  options: {
    ...storeOption,
    output: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      demandOption: true,
      describe: 'the file to write',
    },
    pins: {
      type: 'array',
      string: true,
      requiresArg: true,
      alias: pinsOption.pins.alias,
      describe: 'pins file whose images and files to take, repeatable; all there is without it',
    },
    ...targetOptions,
  },
  async run(args, surroundings) {
    const files = args.pins?.map(String);
    const selection = files === undefined ? ok(undefined) : await select(files, args);
    if (!selection.ok) return selection;
    const store = await openExistingStore(args.store);
    if (!store.ok) return store;
    const dryRun = args['dry-run'];
    const exported = await exportStore(
      store.value,
      selection.value,
      resolve(args.output),
      { dryRun },
      surroundings,
    );
    if (!exported.ok) return exported;
    const { images, files: count, bytes } = exported.value;
    return ok({
      text: `${args.output}: ${countOf(images.length, 'image')} and ${countOf(count, 'file')}${dryRun ? ' would be written' : ''}, ${formatBytes(bytes)}\n`,
      json: { output: args.output, written: !dryRun, ...exported.value },
    });
  },
});

/** All targets of the pins, or the one that was chosen. */
async function select(files: readonly string[], args: TargetArguments): Promise<Result<Selection>> {
  const all = await readAllPins(files);
  if (!all.ok) return all;
  if (args.platform === undefined && args.machine === undefined && args.set === undefined)
    return selectionOf(targetsOf(all.value));
  const choice = parseChoice(args);
  if (!choice.ok) return choice;
  const targets = [];
  for (const [index, pins] of all.value.entries()) {
    const target = selectTarget(pins, files[index] ?? '', choice.value, undefined);
    if (!target.ok) return target;
    targets.push(target.value);
  }
  return selectionOf(targets);
}

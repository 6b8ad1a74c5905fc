import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from '../../model/event.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import type { Adopted, KnownImage } from '../../store/adopt-archives.ts';
import { adoptArchive, isArchiveName } from '../../store/adopt-archives.ts';
import { fileFailure } from '../../model/file-failure.ts';
import { importStore } from '../../store/import-store.ts';
import { createStore, openStore } from '../../store/store.ts';
import type { Outcome } from '../command.ts';
import { defineCommand } from '../command.ts';
import { pinsOption, storeOption } from '../options.ts';
import { knownImages, readAllPins, targetsOf } from '../pinned-content.ts';
import { countOf } from '../../report/count-of.ts';

export const storeImportCommand = defineCommand({
  name: 'import',
  describe:
    "take in a file that `store export` wrote, or a directory of HAOS's NAME_TAG@sha256_….tar",
  positional: {
    name: 'from',
    option: { type: 'string', describe: 'an export, such an archive, or a directory of them' },
  },
  options: {
    ...storeOption,
    pins: {
      type: 'array',
      string: true,
      requiresArg: true,
      nargs: 1,
      alias: pinsOption.pins.alias,
      describe: 'pins file that tells which image an index digest in a file name stands for',
    },
  },
  async run(args, surroundings) {
    const from = args.from ?? '';
    const dryRun = args['dry-run'];
    const pins = await readAllPins((args.pins ?? []).map(String));
    if (!pins.ok) return pins;
    const known = knownImages(targetsOf(pins.value));
    if (!known.ok) return known;
    const isDirectory = (await stat(from).catch(() => undefined))?.isDirectory() === true;
    if (isDirectory || isArchiveName(from))
      return adopt(args.store, from, isDirectory, { known: known.value, dryRun }, surroundings);
    const imported = await importStore(args.store, from, { dryRun }, surroundings);
    if (!imported.ok) return imported;
    const { images, contents, bytes } = imported.value;
    const what =
      contents === 0
        ? `all of ${images.length} images and their files are there already`
        : `${countOf(images.length, 'image')}, ${countOf(contents, 'blob')} and files that it did not have${dryRun ? ' would be taken' : ''}, ${formatBytes(bytes)}`;
    return ok({
      text: `${args.store}: ${what}\n`,
      json: { store: args.store, from, ...imported.value },
    });
  },
});

async function adopt(
  directory: string,
  from: string,
  isDirectory: boolean,
  options: { readonly known: readonly KnownImage[]; readonly dryRun: boolean },
  context: Context,
): Promise<Result<Outcome>> {
  const archives = isDirectory ? await archivesIn(from) : ok([from]);
  if (!archives.ok) return archives;
  const store = options.dryRun ? await openStore(directory) : await createStore(directory);
  if (!store.ok) return store;
  const adopted: Adopted[] = [];
  for (const path of archives.value) {
    const one = await adoptArchive(store.value, path, options, context);
    if (!one.ok) return one;
    adopted.push(one.value);
  }
  const skipped = adopted.flatMap(({ file, skipped: why }) =>
    why === undefined ? [] : [`${file}: ${why}`],
  );
  const good = adopted.filter((one) => one.skipped === undefined);
  if (skipped.length > 0)
    return fail({
      reason: 'import-partial',
      directory: from,
      adopted: good.map(({ file }) => file),
      skipped,
    });
  const bytes = adopted.reduce((sum, one) => sum + one.bytes, 0);
  return ok({
    text: `${directory}: ${good.length} archives${options.dryRun ? ' would be taken' : ''}, ${formatBytes(bytes)} that it did not have\n`,
    json: { store: directory, from, archives: adopted },
  });
}

/** The archives of a directory; whatever else is there, such as locks, is none of ours. */
async function archivesIn(directory: string): Promise<Result<readonly string[]>> {
  try {
    const names = (await readdir(directory)).filter((name) => name.endsWith('.tar')).sort();
    if (names.length > 0) return ok(names.map((name) => join(directory, name)));
  } catch (error) {
    return fail(fileFailure(error, directory, 'reading the archives'));
  }
  return fail({
    reason: 'invalid-option',
    option: 'FROM',
    value: directory,
    expected: 'a directory with files such as NAME_TAG@sha256_….tar, or a file',
  });
}

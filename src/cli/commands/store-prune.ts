import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { prune } from '../../store/prune.ts';
import { openExistingStore } from '../../store/store.ts';
import { defineCommand } from '../command.ts';
import { storeOption } from '../options.ts';
import { digestsOf, readAllPins, targetsOf } from '../pinned-content.ts';
import { countOf } from '../../report/count-of.ts';

/** What a running fetch or build uses is younger than that, with room to spare. */
const DEFAULT_AGE = '1d';

export const storePruneCommand = defineCommand({
  name: 'prune',
  describe: 'remove what was not used for a while and is not pinned; -n says what would go',
  options: {
    ...storeOption,
    'older-than': {
      type: 'string',
      requiresArg: true,
      describe: `age since the last use, such as 12h, 30d or 8w; ${DEFAULT_AGE} without it`,
    },
    keep: {
      type: 'array',
      string: true,
      requiresArg: true,
      describe: 'pins file whose images and files stay, however old; repeatable',
    },
  },
  async run(args, surroundings) {
    const age = parseAge(args['older-than'] ?? DEFAULT_AGE);
    if (!age.ok) return age;
    const pins = await readAllPins((args.keep ?? []).map(String));
    if (!pins.ok) return pins;
    const store = await openExistingStore(args.store);
    if (!store.ok) return store;
    const dryRun = args['dry-run'];
    const pruned = await prune(
      store.value,
      {
        // With neither age nor pins given, nobody said which images are done with.
        what:
          args['older-than'] === undefined && args.keep === undefined ? 'unreferenced' : 'unused',
        keep: digestsOf(targetsOf(pins.value)),
        cutoff: Date.now() - age.value,
        dryRun,
      },
      surroundings,
    );
    if (!pruned.ok) return pruned;
    const { images, files, blobs, finished, bytes, spared } = pruned.value;
    const will = dryRun ? 'would be removed' : 'removed';
    const lines = images.map(
      ({ name, manifest, lastUse }) =>
        `  ${name}@${manifest}, last used ${new Date(lastUse).toISOString().slice(0, 10)}\n`,
    );
    const built =
      finished.length === 0 ? '' : `, and ${countOf(finished.length, 'finished data image')},`;
    const rest = spared.length === 0 ? '' : `; ${countOf(spared.length, 'image')} kept, used since`;
    return ok({
      text: `${lines.join('')}${args.store}: ${countOf(images.length, 'image')}, ${countOf(files.length, 'file')} and ${countOf(blobs.length, 'blob')}${built} ${will}, ${formatBytes(bytes)}${rest}\n`,
      json: {
        store: args.store,
        removed: !dryRun,
        bytes,
        images: images.map(({ name, manifest, lastUse }) => ({
          name,
          digest: manifest,
          lastUse: new Date(lastUse).toISOString(),
        })),
        files: files.map(({ digest }) => digest),
        blobs: blobs.map(({ digest }) => digest),
        finished: finished.map(({ fingerprint }) => fingerprint),
        spared: spared.map(({ name, manifest }) => ({ name, digest: manifest })),
      },
    });
  },
});

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `30d` to milliseconds. */
function parseAge(text: string): Result<number> {
  const [, count, unit] = /^(\d{1,6})([smhdw])$/.exec(text) ?? [];
  const seconds = UNITS[unit ?? ''];
  if (count !== undefined && seconds !== undefined) return ok(Number(count) * seconds * 1000);
  return fail({
    reason: 'invalid-option',
    option: '--older-than',
    value: text,
    expected: 'a number and a unit: 90m, 12h, 30d, 8w',
  });
}

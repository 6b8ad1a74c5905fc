import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { openExistingStore } from '../../store/store.ts';
import type { StoreFinding, StoreVerified } from '../../store/verify-store.ts';
import { verifyStore } from '../../store/verify-store.ts';
import type { Outcome } from '../command.ts';
import { defineCommand } from '../command.ts';
import { storeOption } from '../options.ts';
import { countOf } from '../../report/count-of.ts';

export const storeVerifyCommand = defineCommand({
  name: 'verify',
  describe: 'hash everything in a store, and look whether every image is whole',
  options: {
    ...storeOption,
    repair: {
      type: 'boolean',
      default: false,
      describe: 'remove what is bad, so that `fetch` brings it anew',
    },
  },
  async run(args, surroundings) {
    const store = await openExistingStore(args.store);
    if (!store.ok) return store;
    const repair = args.repair && !args['dry-run'];
    const verified = await verifyStore(store.value, { repair }, surroundings);
    return verified.ok ? outcomeOf(args.store, verified.value) : verified;
  },
});

/** What was removed is mended as far as a store can be; what is still there is a failure. */
function outcomeOf(store: string, verified: StoreVerified): Result<Outcome> {
  const { images, blobs, files, finished, changed, bytes, findings } = verified;
  const bad = findings.filter(({ removed }) => !removed);
  if (bad.length > 0)
    return fail({ reason: 'store-damaged', store, findings: findings.map(describe) });
  const built =
    finished === 0
      ? ''
      : `; ${countOf(finished, 'finished data image')}, of which ${changed} changed since, and are not used`;
  const counts = `${countOf(images, 'image')}, ${countOf(blobs, 'blob')} and ${countOf(files, 'file')}, ${formatBytes(bytes)}${built}`;
  const text =
    findings.length === 0
      ? `${store}: ok: ${counts}\n`
      : `${store}: ${counts}; removed what was bad:\n${findings.map((finding) => `  ${describe(finding)}\n`).join('')}run \`stowage fetch -s ${store}\` with the bundle and pins\n`;
  return ok({ text, json: { store, verified: findings.length === 0, ...verified } });
}

const PROBLEMS = {
  missing: 'is missing',
  'wrong size': 'is of the wrong size',
  'wrong digest': 'is not what its name says',
  unreadable: 'can not be read',
} as const;

function describe({ what, digest, problem, images, detail = '', removed }: StoreFinding): string {
  const users = images.length === 0 ? 'no image uses it' : `used by ${images.join(', ')}`;
  const text =
    problem === 'incomplete'
      ? `image ${images.join(', ')} (${digest}): ${detail}`
      : `${what} ${digest} ${PROBLEMS[problem]}; ${users}`;
  return removed ? `${text} (removed)` : text;
}

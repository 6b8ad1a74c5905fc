import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BOARDS,
  boardArguments,
  publishFarm,
  writeFarmBundles,
  type Board,
} from '../test/rig/farm.ts';
import type { Owner } from '../test/rig/owner.ts';
import type { Registry } from '../test/rig/registry.ts';
import { startRegistry } from '../test/rig/registry.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';
import type { Run } from './measure.ts';
import {
  machine,
  megabytes,
  runBench,
  say,
  seconds,
  stowage as runStowage,
  table,
} from './measure.ts';
import { filesOf } from './seven-images.ts';

/**
 * Fourteen boards at once on one store, against the same boards with a store each: how often a blob is downloaded, how
 * often a data image is built, and what that saves. Ends with 1 where a promise is broken. `--quick` takes a tenth of the
 * data and promises nothing of the times.
 */
const QUICK = process.argv.includes('--quick');
const SCALE = QUICK ? 0.1 : 1;
/** Bytes of a farm's layer, compressed, for each megabyte of Home Assistant's. */
const MEGABYTE = 1_000_000 * SCALE;

const PROMISES = { fetch: 1.5, build: 1.25, again: 0.2 };

await runBench(bench);

/** What all boards together did. */
interface Farm {
  readonly seconds: number;
  readonly runs: readonly Run[];
}

async function bench(owner: Owner): Promise<void> {
  const directory = temporaryTree(owner);
  const environment = { home: temporaryTree(owner) };
  const registry = await startRegistry(owner);
  say('making and publishing the images');
  const images = await publishFarm(registry, (seed, size) => filesOf(seed, size * MEGABYTE));
  const bundles = await writeFarmBundles(directory, registry.host);
  const all = async (run: (board: Board) => Promise<Run>): Promise<Farm> => {
    const started = performance.now();
    const runs = await Promise.all(BOARDS.map(run));
    return { seconds: (performance.now() - started) / 1000, runs };
  };
  const told = (bundle: 'farm' | 'product', board: Board): string[] => [
    ...['-b', bundles[bundle], '-p', join(directory, `${bundle}.json`)],
    ...[...boardArguments(board), '--loader', 'direct'],
  ];
  for (const bundle of ['farm', 'product'] as const)
    for (const board of BOARDS) await runStowage(environment, 'pin', ...told(bundle, board));
  const fetchTo = (store: (board: Board) => string): Promise<Farm> =>
    all((board) => runStowage(environment, 'fetch', ...told('farm', board), '-s', store(board)));

  say('fetching, a store each');
  const apart = join(directory, 'apart');
  await registry.forget();
  const fetchedApart = await fetchTo(({ name }) => join(apart, name));
  const downloadedApart = await downloads(registry, images.blobs);
  await rm(apart, { recursive: true });

  say('fetching, one store');
  const store = join(directory, 'store');
  await registry.forget();
  const fetched = await fetchTo(() => store);
  const downloaded = await downloads(registry, images.blobs);
  await registry.forget();
  const warm = await fetchTo(() => store);
  const warmRequests = (await registry.requests()).length;

  const built = async (bundle: 'farm' | 'product', out: string, ...more: string[]) => {
    say(`building ${bundle}${more.length > 0 ? `, ${more.join(' ')}` : ''}`);
    const image = ({ name }: Board): string => join(directory, out, name, 'data.ext4');
    for (const board of BOARDS) await mkdir(join(directory, out, board.name), { recursive: true });
    const farm = await all((board) =>
      runStowage(
        environment,
        ...(['build', ...told(bundle, board), '-s', store, '-o', image(board), ...more] as const),
      ),
    );
    return { ...farm, image };
  };
  const farm = await built('farm', 'farm');
  await rm(join(directory, 'farm'), { recursive: true });
  const alone = await built('product', 'alone', '--no-share');
  const aloneImages = await distinct(alone.image);
  await rm(join(directory, 'alone'), { recursive: true });
  const shared = await built('product', 'shared');
  const sharedImages = await distinct(shared.image);
  const again = await built('product', 'shared');
  const requests = (await registry.requests()).length;

  const unique = [...images.blobs.values()].reduce((sum, size) => sum + size, 0);
  const ratios = {
    fetch: fetchedApart.seconds / fetched.seconds,
    build: alone.seconds / shared.seconds,
    again: again.seconds / alone.seconds,
  };
  const counts = { farm: timesBuilt(farm), product: timesBuilt(shared) };
  process.stdout.write(
    table([
      ['', 'measured', 'promised'],
      ['blobs that some board needs', `${images.blobs.size}, ${megabytes(unique)}`, ''],
      [
        '14 boards fetch at once, a store each',
        `${seconds(fetchedApart.seconds)}, ${downloadedApart.count} blobs, ${megabytes(downloadedApart.bytes)}`,
        '',
      ],
      [
        '14 boards fetch at once, one store',
        `${seconds(fetched.seconds)}, ${downloaded.count} blobs, ${megabytes(downloaded.bytes)}`,
        `${images.blobs.size} blobs`,
      ],
      ['most often downloaded blob', `${downloaded.most} ×`, '1 ×'],
      ['times faster', ratios.fetch.toFixed(2), `≥ ${PROMISES.fetch}`],
      ['the same again', `${seconds(warm.seconds)}, ${warmRequests} requests`, '0 requests'],
      [
        '14 boards, 13 of them different: built',
        `${counts.farm} ×, ${seconds(farm.seconds)}`,
        '13 ×',
      ],
      ['14 boards, one product for 2 platforms, `--no-share`', seconds(alone.seconds), ''],
      ['the same, shared: built', `${counts.product} ×, ${seconds(shared.seconds)}`, '2 ×'],
      ['times faster', ratios.build.toFixed(2), `≥ ${PROMISES.build}`],
      ['different data images, not shared and shared', `${aloneImages}, ${sharedImages}`, '2, 2'],
      ['the same again, part of building', ratios.again.toFixed(3), `≤ ${PROMISES.again}`],
      ['requests of all builds', String(requests), '0'],
    ]),
  );
  process.stdout.write(`\n${machine()}; one round, the direct loader, registry on loopback.\n`);
  const kept =
    downloaded.count === images.blobs.size &&
    downloaded.most === 1 &&
    warmRequests + requests === 0 &&
    counts.farm === 13 &&
    counts.product === 2 &&
    aloneImages === 2 &&
    sharedImages === 2 &&
    (QUICK ||
      (ratios.fetch >= PROMISES.fetch &&
        ratios.build >= PROMISES.build &&
        ratios.again <= PROMISES.again));
  process.exitCode = kept ? 0 : 1;
}

/** Blobs that the registry served since it last forgot: how many, their bytes, and the most often served one. */
async function downloads(
  registry: Registry,
  sizes: ReadonlyMap<string, number>,
): Promise<{ readonly count: number; readonly bytes: number; readonly most: number }> {
  const times = new Map<string, number>();
  for (const { method, path, status } of await registry.requests()) {
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/u.exec(path)?.[1];
    if (method === 'GET' && status === 200 && digest !== undefined)
      times.set(digest, (times.get(digest) ?? 0) + 1);
  }
  const entries = [...times];
  return {
    count: entries.reduce((sum, [, count]) => sum + count, 0),
    bytes: entries.reduce((sum, [digest, count]) => sum + count * (sizes.get(digest) ?? 0), 0),
    most: Math.max(0, ...times.values()),
  };
}

/** How many builds did more than to copy what another one left. */
function timesBuilt({ runs }: Farm): number {
  const copied = /another build left the same image in the store/u;
  return runs.filter(({ lines }) => !lines.some(({ text }) => copied.test(text))).length;
}

/** How many of the boards' data images are different files. */
async function distinct(image: (board: Board) => string): Promise<number> {
  const digests = new Set<string>();
  for (const board of BOARDS) {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(image(board))) hash.update(chunk as Buffer);
    digests.add(hash.digest('hex'));
  }
  return digests.size;
}

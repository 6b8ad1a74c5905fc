import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeImage } from '../test/rig/image.ts';
import type { Owner } from '../test/rig/owner.ts';
import { machinePlatform } from '../test/rig/platform.ts';
import { must } from '../test/rig/process.ts';
import { push } from '../test/rig/publish.ts';
import { startRegistry } from '../test/rig/registry.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';
import {
  machine,
  median,
  megabytes,
  program,
  runBench,
  say,
  seconds,
  stowage as runStowage,
  table,
  timed,
  writeBundle,
} from './measure.ts';
import { pushLargeImage, pushSevenImages } from './seven-images.ts';

/**
 * What fetching costs, against HAOS's way on the same machine, registry and data in one run: docs/benchmarks.md.
 * Ends with 1 where a promise is broken. `--quick` takes a tenth of the data and promises nothing of the times.
 */
const QUICK = process.argv.includes('--quick');
const ROUNDS = QUICK ? 1 : 5;
const WARM_ROUNDS = QUICK ? 3 : 21;
const LARGE = QUICK ? 40_000_000 : 4_000_000_000;

const PROMISES = { ratio: 1.5, warm: 0.2, memory: 150_000_000 };

await runBench(bench);

async function bench(owner: Owner): Promise<void> {
  const platform = machinePlatform();
  const directory = temporaryTree(owner);
  const environment = { home: temporaryTree(owner) };
  const stowage = (...args: readonly string[]) => runStowage(environment, ...args);
  const registry = await startRegistry(owner);
  say('making and publishing the images');
  const seven = await pushSevenImages(registry, platform, QUICK ? 0.1 : 1);
  await push(registry, 'library/docker:28.5.2-dind', await makeImage({ platform, layers: [{}] }));
  const from = (name: string): string => `docker://${registry.host}/bench/${name}:1`;
  const bundle = await writeBundle(
    directory,
    'seven',
    [...seven.images.keys()].map((name) => [name, from(name)]),
  );
  await stowage('pin', ...bundle.arguments, '--platform', platform);

  say('cold');
  const theirs: number[] = [];
  const ours: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const archives = join(directory, 'archives');
    await must('mkdir', ['-p', archives]);
    theirs.push(await timed(() => oneByOne(registry.host, [...seven.images.keys()], archives)));
    await rm(archives, { recursive: true });
    const store = join(directory, `store-${round}`);
    await registry.forget();
    ours.push((await stowage('fetch', ...bundle.arguments, '-s', store)).seconds);
    if (round < ROUNDS - 1) await rm(store, { recursive: true });
    say(`  ${seconds(theirs.at(-1) ?? 0)} one by one, ${seconds(ours.at(-1) ?? 0)} stowage`);
  }
  const gets = (await registry.requests()).filter(
    ({ method, path, status }) => method === 'GET' && status === 200 && path.includes('/blobs/'),
  ).length;

  say('warm');
  const store = join(directory, `store-${ROUNDS - 1}`);
  await registry.forget();
  const node: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round < WARM_ROUNDS; round++) {
    node.push((await program(environment, process.execPath, ['-e', '0'])).seconds);
    warm.push((await stowage('fetch', ...bundle.arguments, '-s', store)).seconds);
  }
  const requests = (await registry.requests()).length;

  say('large');
  await pushLargeImage(registry, platform, LARGE);
  const large = await writeBundle(directory, 'large', [['large', from('large')]]);
  await stowage('pin', ...large.arguments, '--platform', platform);
  const memory = await stowage('fetch', ...large.arguments, '-s', join(directory, 'large-store'));

  const ratio = median(theirs) / median(ours);
  const added = median(warm) - median(node);
  process.stdout.write(
    table([
      ['', 'measured', 'promised'],
      ['seven images one by one: inspect, copy, cp', seconds(median(theirs)), ''],
      ['the same by `stowage fetch`, cold', seconds(median(ours)), ''],
      ['times faster', ratio.toFixed(2), `≥ ${PROMISES.ratio}`],
      ['downloaded one by one', megabytes(seven.separateBytes), ''],
      ['downloaded by stowage', megabytes(seven.uniqueBytes), ''],
      [
        'layers and configs downloaded',
        String(gets),
        String(seven.layers.length + seven.images.size + 2),
      ],
      ['`node -e 0`', seconds(median(node)), ''],
      ['`stowage fetch`, warm', seconds(median(warm)), ''],
      ['more than Node', seconds(added), `≤ ${PROMISES.warm} s`],
      ['requests of warm fetches', String(requests), '0'],
      [
        `peak memory, image of ${megabytes(LARGE)}`,
        megabytes(memory.peak),
        `< ${megabytes(PROMISES.memory)}`,
      ],
    ]),
  );
  process.stdout.write(
    `\n${machine()}; median of ${ROUNDS} (cold) and ${WARM_ROUNDS} (warm) rounds, registry on loopback.\n`,
  );
  const broken =
    requests !== 0 ||
    gets !== seven.layers.length + seven.images.size + 2 ||
    memory.peak >= PROMISES.memory ||
    (!QUICK && (ratio < PROMISES.ratio || added > PROMISES.warm));
  process.exitCode = broken ? 1 : 0;
}

/** As HAOS's package does for each image: look, download into a temporary archive, copy that into place. */
async function oneByOne(host: string, names: readonly string[], directory: string): Promise<void> {
  for (const name of names) {
    const from = `docker://${host}/bench/${name}`;
    const inspected = await must('skopeo', ['inspect', '--tls-verify=false', `${from}:1`]);
    const { Digest: digest } = JSON.parse(inspected) as { Digest: string };
    const temporary = join(directory, 'temporary.tar');
    await must('skopeo', [
      ...['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false'],
      ...[`${from}@${digest}`, `oci-archive:${temporary}:${name}`],
    ]);
    await must('cp', [temporary, join(directory, `${name}.tar`)]);
    await rm(temporary);
  }
}

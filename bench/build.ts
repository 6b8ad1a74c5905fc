import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { dindImage } from '../test/rig/dind-image.ts';
import type { OuterEngine } from '../test/rig/engine.ts';
import { startEngine } from '../test/rig/engine.ts';
import type { Owner } from '../test/rig/owner.ts';
import { PeakDisk } from '../test/rig/peak-disk.ts';
import { machinePlatform } from '../test/rig/platform.ts';
import { asRoot, must } from '../test/rig/process.ts';
import { pushFrom } from '../test/rig/publish.ts';
import type { Registry } from '../test/rig/registry.ts';
import { startRegistry } from '../test/rig/registry.ts';
import { temporaryTree } from '../test/rig/temporary-tree.ts';
import type { Run } from './measure.ts';
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
  writeBundle,
} from './measure.ts';
import type { SevenImages } from './seven-images.ts';
import { pushNextDns, pushSevenImages } from './seven-images.ts';

/**
 * What a build costs from bundle to data image, against HAOS's way (haos-way.sh), against the fastest loading by
 * hand (by-hand.sh) and, for the direct loader, against the least there is to do (floor.sh), on the same machine,
 * engine and data in one run: docs/benchmarks.md. Ends with 1 where a promise is broken. `--quick` takes a tenth of the data and promises nothing of the times.
 */
const QUICK = process.argv.includes('--quick');
const ROUNDS = QUICK ? 1 : 5;
const SCALE = QUICK ? 0.1 : 1;
/** Rounds with nothing to do, which take a moment each. */
const IDLE_ROUNDS = QUICK ? 3 : 11;

const PROMISES = {
  cold: 1.4,
  warm: 1.25,
  byHand: 1.15,
  oneChanged: 4,
  nothing: 0.25,
  memory: 150_000_000,
  disk: 64 * 1024 * 1024,
  direct: { floor: 1.6, dind: 2, theirs: 3, memory: 250_000_000 },
};

/** The ways by hand: archives loaded at once, and how the daemons are started. */
const BY_HAND = [
  ['2', 'together'],
  ['7', 'together'],
  ['3', 'apart'],
  ['7', 'apart'],
] as const;

await runBench(bench);

interface Place {
  readonly directory: string;
  readonly registry: Registry;
  readonly engine: OuterEngine;
  /** The dind image's name in the engine. */
  readonly dind: string;
  readonly names: readonly string[];
  readonly stowage: (...args: readonly string[]) => Promise<Run>;
  readonly shell: (script: string, ...args: readonly string[]) => Promise<number>;
}

async function bench(owner: Owner): Promise<void> {
  const platform = machinePlatform();
  const directory = temporaryTree(owner);
  const registry = await startRegistry(owner);
  const engine = await startEngine(owner);
  const dind = await dindImage(say);
  say('making and publishing the images');
  await pushFrom(registry, 'library/docker:28.5.2-dind', `oci:${dind.layout}:${dind.name}`);
  const seven = await pushSevenImages(registry, platform, SCALE);
  const releases = Array.from({ length: ROUNDS }, (_, round) => round + 2);
  for (const release of releases) await pushNextDns(registry, platform, seven, release, SCALE);
  await engine.load(dind);
  const environment = { home: temporaryTree(owner), engine: engine.host };
  const place: Place = {
    ...{ directory, registry, engine, dind: dind.name },
    names: [...seven.images.keys()],
    stowage: (...args) => runStowage(environment, ...args),
    shell: async (script, ...args) => {
      const [file, all] = asRoot('env', [
        ...[`DOCKER_HOST=${engine.host}`, join(import.meta.dirname, script), ...args],
      ]);
      return (await program(environment, file, all)).seconds;
    },
  };

  const from = (tags: Readonly<Record<string, string>>) =>
    place.names.map(
      (name) => [name, `docker://${registry.host}/bench/${name}:${tags[name] ?? '1'}`] as const,
    );
  const first = await writeBundle(directory, 'first', from({}));
  const next = await Promise.all(
    releases.map((release) =>
      writeBundle(directory, `dns-${release}`, from({ dns: String(release) })),
    ),
  );
  for (const bundle of [first, ...next])
    await place.stowage('pin', ...bundle.arguments, '--platform', platform);

  await fetchArchives(place);
  const theirs: Job[] = [];
  const ours: OurJob[] = [];
  const direct: DirectJob[] = [];
  const byHand = new Map<string, number[]>();
  // In turns, so that what else the machine does meanwhile is the same to all.
  for (let round = 0; round < ROUNDS; round++) {
    theirs.push(await theirWay(place));
    ours.push(await ourWay(place, first.arguments));
    direct.push(await directWay(place, first.arguments, seven));
    for (const [way, took] of await byHandWays(place))
      byHand.set(way, [...(byHand.get(way) ?? []), took]);
  }
  const reuse = await reusing(
    place,
    next.map((bundle) => bundle.arguments),
  );
  report({ theirs, ours, direct, byHand, ...reuse });
}

/** Seconds of a whole job, with an empty and with a filled directory of downloads. */
interface Job {
  readonly cold: number;
  readonly warm: number;
}

async function theirWay(place: Place): Promise<Job> {
  const output = join(place.directory, 'haos.ext4');
  const downloads = join(place.directory, 'downloads');
  await mkdir(downloads);
  const names = place.names.map((name) => `bench/${name}`);
  const job = () =>
    place.shell('haos-way.sh', downloads, output, place.dind, place.registry.host, ...names);
  const cold = await job();
  const warm = await job();
  say(`  HAOS's way: cold ${seconds(cold)}, warm ${seconds(warm)}`);
  await rm(downloads, { recursive: true });
  await rm(output);
  return { cold, warm };
}

interface OurJob extends Job {
  /** The warm one's build. */
  readonly build: Run;
  /** Bytes beside what the data image itself takes, at the worst moment. */
  readonly peakDisk: number;
}

/** Fetch and build, as the make files call them, with nothing to reuse but, warm, the store. */
async function ourWay(place: Place, bundle: readonly string[]): Promise<OurJob> {
  const store = join(place.directory, 'store');
  const out = join(place.directory, 'out');
  const output = join(out, 'data.ext4');
  await rm(store, { recursive: true, force: true });
  const job = async () => {
    await rm(out, { recursive: true, force: true });
    await mkdir(out);
    const fetched = await place.stowage('fetch', ...bundle, '-s', store);
    const disk = new PeakDisk(out);
    const built = await place.stowage(
      ...['build', ...bundle, '-s', store, '-o', output, '--from-scratch', '--log', 'json'],
    );
    const most = await disk.stop();
    return { both: fetched.seconds + built.seconds, built, most };
  };
  const cold = await job();
  const warm = await job();
  say(`  stowage: cold ${seconds(cold.both)}, warm ${seconds(warm.both)}`);
  const { blocks } = await stat(output);
  return {
    cold: cold.both,
    warm: warm.both,
    build: warm.built,
    peakDisk: Math.max(cold.most, warm.most) - blocks * 512,
  };
}

interface DirectJob {
  /** Fetch, which finds everything, and build. */
  readonly warm: number;
  readonly build: Run;
  /** Seconds of floor.sh. */
  readonly floor: number;
}

/** With the store that `ourWay` has filled, and nothing else to reuse. */
async function directWay(
  place: Place,
  bundle: readonly string[],
  { layers }: SevenImages,
): Promise<DirectJob> {
  const store = join(place.directory, 'store');
  const out = join(place.directory, 'direct');
  const floor = join(place.directory, 'floor');
  await mkdir(out);
  const inputs = [...bundle, '-s', store, '--loader', 'direct'];
  const fetched = await place.stowage('fetch', ...inputs);
  const built = await place.stowage('build', ...inputs, '-o', join(out, 'data.ext4'), '--no-share');
  await rm(out, { recursive: true });
  const blobs = join(store, 'blobs', 'sha256');
  const least = await place.shell('floor.sh', blobs, floor, ...layers.map(hexOf));
  await rm(floor, { recursive: true });
  const warm = fetched.seconds + built.seconds;
  say(`  direct: ${seconds(warm)}, the floor: ${seconds(least)}`);
  return { warm, build: built, floor: least };
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

/** How long a build was at each step. */
function stepsOf({ lines }: Run): (readonly [string, number])[] {
  const begun = lines.flatMap(({ after, text }) => {
    const event = JSON.parse(text) as { type: string; step?: string };
    if (event.type === 'built') return [{ name: 'end', after }];
    return event.type === 'step' ? [{ name: event.step ?? '', after }] : [];
  });
  return [
    ['start', begun[0]?.after ?? 0],
    ...begun
      .slice(0, -1)
      .map(({ name, after }, index) => [name, (begun[index + 1]?.after ?? 0) - after] as const),
  ];
}

async function fetchArchives(place: Place): Promise<void> {
  const archives = join(place.directory, 'archives');
  await mkdir(archives);
  for (const name of place.names) {
    const source = `${place.registry.host}/bench/${name}:1`;
    await must('skopeo', [
      ...['--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false'],
      ...[`docker://${source}`, `oci-archive:${join(archives, `${name}.tar`)}:${source}`],
    ]);
  }
}

async function byHandWays(place: Place): Promise<ReadonlyMap<string, number>> {
  const archives = join(place.directory, 'archives');
  const output = join(place.directory, 'hand.ext4');
  const times = new Map<string, number>();
  for (const [atOnce, daemons] of BY_HAND) {
    const way = `${atOnce} at once, daemons ${daemons}`;
    const took = await place.shell('by-hand.sh', archives, output, place.dind, atOnce, daemons);
    times.set(way, took);
    say(`  by hand, ${way}: ${seconds(took)}`);
    await rm(output);
  }
  return times;
}

/** Builds of an output that is there: one image of seven has a new release each time, and then nothing is new. */
async function reusing(
  place: Place,
  releases: readonly (readonly string[])[],
): Promise<{ readonly changed: readonly number[]; readonly nothing: readonly number[] }> {
  const output = ['-o', join(place.directory, 'out', 'data.ext4')];
  const store = ['-s', join(place.directory, 'store')];
  for (const bundle of releases) await place.stowage('fetch', ...bundle, ...store);
  const changed: number[] = [];
  for (const bundle of releases) {
    const run = await place.stowage('build', ...bundle, ...store, ...output);
    changed.push(run.seconds);
    say(`  one image changed: ${seconds(run.seconds)}`);
  }
  const last = releases.at(-1) ?? [];
  const nothing: number[] = [];
  for (let round = 0; round < IDLE_ROUNDS; round++)
    nothing.push((await place.stowage('build', ...last, ...store, ...output)).seconds);
  return { changed, nothing };
}

interface Measured {
  readonly theirs: readonly Job[];
  readonly ours: readonly OurJob[];
  readonly direct: readonly DirectJob[];
  readonly byHand: ReadonlyMap<string, readonly number[]>;
  readonly changed: readonly number[];
  readonly nothing: readonly number[];
}

function report({ theirs, ours, direct, byHand, ...reuse }: Measured): void {
  const theirCold = median(theirs.map((job) => job.cold));
  const theirWarm = median(theirs.map((job) => job.warm));
  const ourCold = median(ours.map((job) => job.cold));
  const ourWarm = median(ours.map((job) => job.warm));
  const build = median(ours.map((job) => job.build.seconds));
  const fastest = Math.min(...[...byHand.values()].map(median));
  const changed = theirWarm / median(reuse.changed);
  const nothing = median(reuse.nothing);
  const peakMemory = Math.max(...ours.map((job) => job.build.peak));
  const peakDisk = Math.max(...ours.map((job) => job.peakDisk));
  const directBuild = median(direct.map((job) => job.build.seconds));
  const floor = median(direct.map((job) => job.floor));
  const directly = {
    floor: directBuild / floor,
    dind: build / directBuild,
    theirs: theirWarm / median(direct.map((job) => job.warm)),
    memory: Math.max(...direct.map((job) => job.build.peak)),
  };
  const middle = ours.find((job) => job.build.seconds === build)?.build;
  if (middle === undefined) throw new Error('no median');
  process.stdout.write(
    table([
      ['', 'measured', 'promised'],
      ["HAOS's way, cold", seconds(theirCold), ''],
      ['`stowage fetch` and `build`, cold', seconds(ourCold), ''],
      ['times faster', (theirCold / ourCold).toFixed(2), `≥ ${PROMISES.cold}`],
      ["HAOS's way, warm", seconds(theirWarm), ''],
      ['`stowage fetch` and `build`, warm', seconds(ourWarm), ''],
      ['times faster', (theirWarm / ourWarm).toFixed(2), `≥ ${PROMISES.warm}`],
      ...[...byHand].map(([way, times]) => [`loading by hand, ${way}`, seconds(median(times)), '']),
      ['`stowage build`, warm', seconds(build), ''],
      ['of the fastest by hand', (build / fastest).toFixed(2), `≤ ${PROMISES.byHand}`],
      ['one image of seven changed', seconds(median(reuse.changed)), ''],
      ["times faster than HAOS's way", changed.toFixed(2), `≥ ${PROMISES.oneChanged}`],
      ['nothing changed', seconds(nothing), `< ${PROMISES.nothing} s`],
      ['peak memory', megabytes(peakMemory), `< ${megabytes(PROMISES.memory)}`],
      [
        "peak disk beside the image's own content",
        megabytes(peakDisk),
        `≤ ${megabytes(PROMISES.disk)}`,
      ],
      ['the floor: unpack, hash and copy everything once', seconds(floor), ''],
      ['`stowage build --loader direct`, warm', seconds(directBuild), ''],
      ['of the floor', directly.floor.toFixed(2), `≤ ${PROMISES.direct.floor}`],
      ['times faster than the dind loader', directly.dind.toFixed(2), `≥ ${PROMISES.direct.dind}`],
      [
        "times faster than HAOS's way, fetch included",
        directly.theirs.toFixed(2),
        `≥ ${PROMISES.direct.theirs}`,
      ],
      ['peak memory', megabytes(directly.memory), `< ${megabytes(PROMISES.direct.memory)}`],
    ]),
  );
  process.stdout.write(
    `\n${table([
      ['step of the warm build', 'takes'],
      ...stepsOf(middle).map(([name, took]) => [name, seconds(took)]),
    ])}\n${machine()}; medians of ${ROUNDS} rounds, of ${IDLE_ROUNDS} with nothing changed; registry on loopback.\n`,
  );
  const kept =
    peakMemory < PROMISES.memory &&
    peakDisk <= PROMISES.disk &&
    directly.memory < PROMISES.direct.memory &&
    (QUICK ||
      (theirCold / ourCold >= PROMISES.cold &&
        theirWarm / ourWarm >= PROMISES.warm &&
        build / fastest <= PROMISES.byHand &&
        changed >= PROMISES.oneChanged &&
        directly.floor <= PROMISES.direct.floor &&
        directly.dind >= PROMISES.direct.dind &&
        directly.theirs >= PROMISES.direct.theirs &&
        nothing < PROMISES.nothing));
  process.exitCode = kept ? 0 : 1;
}

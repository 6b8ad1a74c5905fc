import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultProxy } from '../rig/fault-proxy.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import type { Image, Layer } from '../rig/image.ts';
import { digestOf, makeImage, makeIndex, makeLayer, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import type { Registry } from '../rig/registry.ts';
import { startRegistry } from '../rig/registry.ts';
import { rounds } from '../rig/skip.ts';
import type { Running } from '../rig/stowage.ts';
import { runStowage, startStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { blobGets } from './fetch-fixture.ts';

/** A farm of builders with one store: eight real processes, seven images, two platforms, layers shared all over. */
const NAMES = ['supervisor', 'core', 'cli', 'dns', 'audio', 'multicast', 'observer'];
const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;

const owner = fileOwner();
let directory: string;
let registry: Registry;
/** Late with each blob, so that everybody wants what somebody is just downloading. */
let proxy: FaultProxy;
/** Size of every blob that the seven images consist of, on both platforms, and of the loader's image. */
const sizes = new Map<string, number>();
let bundle: string;
let pins: string;

before(async () => {
  directory = temporaryTree(owner);
  registry = await startRegistry(owner);
  proxy = await startFaultProxy(owner, {
    upstream: registry.url,
    faults: [{ kind: 'delay', milliseconds: 80, match: /\/blobs\// }],
  });
  // Files that are the same on every platform, a base for each, and what each image has of its own.
  const everywhere = await makeLayer({ 'usr/share/zoneinfo': noise(500, 600_000) });
  const bases = new Map<string, Layer>();
  for (const [seed, platform] of PLATFORMS.entries())
    bases.set(platform, await makeLayer({ 'bin/base': noise(510 + seed, 400_000) }));
  for (const [number, name] of NAMES.entries()) {
    const images: Record<string, Image> = {};
    for (const [index, platform] of PLATFORMS.entries()) {
      const own = await makeLayer({ [name]: noise(520 + number * 10 + index, 150_000) });
      const base = bases.get(platform);
      assert(base !== undefined);
      // One of them lists a layer twice.
      const layers = [everywhere, base, own, ...(name === 'dns' ? [own] : [])];
      images[platform] = await makeImage({ platform, layers });
      count(images[platform]);
    }
    await push(registry, `farm/${name}:1`, makeIndex(images));
  }
  const dind = await makeImage({ platform: 'linux/amd64', layers: [{}] });
  const dindForArm = await makeImage({ platform: 'linux/arm64', layers: [{}] });
  count(process.arch === 'arm64' ? dindForArm : dind);
  await push(
    registry,
    'library/docker:28.5.2-dind',
    makeIndex({ 'linux/amd64': dind, 'linux/arm64': dindForArm }),
  );
  bundle = join(directory, 'farm.yaml');
  pins = join(directory, 'pins.json');
  const lines = [
    'stowage: 1',
    'partition: { label: farm, size: auto }',
    `engine: { version: "28.5.2", dind: "docker://${proxy.host}/library/docker:28.5.2-dind" }`,
    'images:',
    ...NAMES.map((name) => `  ${name}: { from: "docker://${proxy.host}/farm/${name}:1" }`),
  ];
  await writeFile(bundle, `${lines.join('\n')}\n`);
});

void describe('a farm of builders', () => {
  it('downloads each blob once, whoever wants it', async (t) => {
    for (const platform of PLATFORMS) await pin(t, platform);
    const store = await emptyStore('once');
    await registry.forget();
    proxy.forget();
    const watcher = watch(t, store);
    const farm = startFarm(t, store);
    for (const { ended } of farm) {
      const { code, stderr } = await ended;
      assert.equal(code, 0, stderr);
      assert.doesNotMatch(stderr, /another process/);
    }
    await watcher.stop();
    const gets = blobGets(await registry.requests());
    // Manifests come from where manifests are; everything else is a blob.
    const blobs = [...sizes.keys()].filter((digest) => !manifests.has(digest));
    assert.deepEqual(
      [...gets].filter(([, count]) => count !== 1),
      [],
      'these came more than once',
    );
    assert.deepEqual([...gets.keys()].sort(), blobs.sort());
    const moved = proxy.requests
      .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'))
      .reduce((sum, { bytes }) => sum + bytes, 0);
    const unique = blobs.reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0);
    assert.equal(moved, unique, `${(moved / unique).toFixed(3)} times the unique bytes`);
    assert.equal(await assertSound(store), sizes.size);
    for (const left of ['staging', 'locks']) assert.deepEqual(await readdir(join(store, left)), []);
    assert(watcher.seen() >= sizes.size, `${watcher.seen()} of ${sizes.size} were looked at`);
  });

  const count = rounds(3, 50);
  it(
    `survives SIGKILL of half of them, ${count} rounds`,
    { timeout: count * 60_000 },
    async (t) => {
      for (const platform of PLATFORMS) await pin(t, platform);
      for (let round = 1; round <= count; round++) {
        const random = randomOf(round);
        const store = await emptyStore(`killed-${round}`);
        const watcher = watch(t, store);
        const farm = startFarm(t, store);
        const order = farm.map((running, index) => ({ running, index, key: random() }));
        const victims = order.sort((a, b) => a.key - b.key).slice(0, 4);
        const times = victims.map(() => 200 + random() * 2_800);
        const told = `round ${round}: killed ${victims.map(({ index }) => index).join(', ')} after ${times.map(Math.round).join(', ')} ms`;
        await Promise.all(
          victims.map(async ({ running }, index) => {
            await sleep(times[index]);
            running.kill('SIGKILL');
          }),
        );
        const killed = new Set(victims.map(({ running }) => running));
        for (const running of farm) {
          const { code, stderr } = await running.ended;
          if (!killed.has(running)) assert.equal(code, 0, `${told}\n${stderr}`);
        }
        await watcher.stop();
        // By chance all four of one platform may have been killed: then nobody has asked for its images.
        const served = new Set(
          farm.flatMap((running, index) =>
            killed.has(running) ? [] : [PLATFORMS[index % 2] ?? ''],
          ),
        );
        const sound = await assertSound(store);
        if (served.size === PLATFORMS.length) assert.equal(sound, sizes.size, told);
        const verified = await runStowage(t, ['store', 'verify', '-s', store]);
        assert.equal(verified.code, 0, `${told}\n${verified.stderr}`);
        // What was served is there: it is not asked for any more.
        for (const platform of PLATFORMS) {
          proxy.forget();
          const again = await runStowage(t, fetchArguments(store, platform));
          assert.equal(again.code, 0, `${told}\n${again.stderr}`);
          if (served.has(platform)) assert.equal(proxy.requests.length, 0, `${platform}: ${told}`);
        }
      }
    },
  );
});

const manifests = new Set<string>();

function count(image: Image): void {
  for (const [digest, blob] of image.blobs) sizes.set(digest, blob.length);
  manifests.add(image.descriptor.digest);
}

async function pin(t: TestContext, platform: string): Promise<void> {
  const args = ['pin', '-b', bundle, '-p', pins, '--platform', platform];
  const { code, stderr } = await runStowage(t, args);
  assert.equal(code, 0, stderr);
}

function startFarm(t: TestContext, store: string): readonly Running[] {
  return Array.from({ length: 8 }, (_, index) =>
    startStowage(t, fetchArguments(store, PLATFORMS[index % 2] ?? '')),
  );
}

function fetchArguments(store: string, platform: string): string[] {
  return [
    ...['fetch', '-b', bundle, '-p', pins, '-s', store],
    ...['--platform', platform, '--frozen', '--retry-delays', '0.2,0.5,1'],
  ];
}

async function emptyStore(name: string): Promise<string> {
  const store = join(directory, name);
  await mkdir(store);
  return store;
}

/** Every blob is what its name says; resolves to their number. */
async function assertSound(store: string): Promise<number> {
  const blobs = join(store, 'blobs', 'sha256');
  const names = await readdir(blobs);
  for (const name of names)
    assert.equal(digestOf(await readFile(join(blobs, name))), `sha256:${name}`);
  return names.length;
}

interface Watcher {
  /** How many files it has looked at. */
  seen(): number;
  /** Rejects if anything was ever not what its name says. */
  stop(): Promise<void>;
}

/** Hashes whatever appears in blobs/, as soon as it does, and again when it is replaced. */
function watch(t: TestContext, store: string): Watcher {
  const blobs = join(store, 'blobs', 'sha256');
  const looked = new Map<string, string>();
  const wrong: string[] = [];
  const state = { stopped: false };
  // Also when the test fails before it is stopped.
  t.after(() => {
    state.stopped = true;
  });
  const look = async (): Promise<void> => {
    for (const name of await readdir(blobs).catch(() => [])) {
      const path = join(blobs, name);
      const found = await stat(path, { bigint: true }).catch(() => undefined);
      if (found === undefined) continue;
      const stamp = `${found.ino} ${found.mtimeNs} ${found.size}`;
      if (looked.get(name) === stamp) continue;
      const bytes = await readFile(path).catch(() => undefined);
      if (bytes === undefined) continue;
      if (digestOf(bytes) !== `sha256:${name}`) wrong.push(`${name}: ${bytes.length} bytes`);
      looked.set(name, stamp);
    }
  };
  const running = (async () => {
    while (!state.stopped) {
      await look();
      await sleep(2);
    }
    await look();
  })();
  return {
    seen: () => looked.size,
    stop: async () => {
      state.stopped = true;
      await running;
      assert.deepEqual(wrong, []);
    },
  };
}

/** Numbers from 0 to 1, the same for the same seed: mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

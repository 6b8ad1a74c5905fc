import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BOARDS, boardArguments, publishFarm, writeFarmBundles, type Board } from '../rig/farm.ts';
import { startFaultProxy } from '../rig/fault-proxy.ts';
import { digestOf, noise } from '../rig/image.ts';
import { fileOwner } from '../rig/owner.ts';
import type { Outcome } from '../rig/process.ts';
import { startRegistry } from '../rig/registry.ts';
import { rounds } from '../rig/skip.ts';
import { runStowage } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { blobGets } from './fetch-fixture.ts';

/** Fourteen boards on one store, all at once: each blob comes once, and each data image is built once. */
const owner = fileOwner();
const registry = await startRegistry(owner);
const images = await publishFarm(registry, (seed, megabytes) => ({
  [`usr/share/${seed}`]: noise(seed, megabytes * 4_000),
}));
// Late with each blob, so that everybody wants what somebody is just downloading.
const proxy = await startFaultProxy(owner, {
  upstream: registry.url,
  faults: [{ kind: 'delay', milliseconds: 40, match: /\/blobs\// }],
});
const directory = temporaryTree(owner);
const bundles = await writeFarmBundles(directory, proxy.host);
const pins = { farm: join(directory, 'farm.json'), product: join(directory, 'product.json') };
const COPIED = /another build left the same image in the store/u;

type Bundle = keyof typeof pins;

function inputs(bundle: Bundle, board: Board): string[] {
  return [
    '-b',
    bundles[bundle],
    '-p',
    pins[bundle],
    ...boardArguments(board),
    '--loader',
    'direct',
  ];
}

async function pinned(t: TestContext, bundle: Bundle): Promise<void> {
  for (const board of BOARDS) {
    const { code, stderr } = await runStowage(t, ['pin', ...inputs(bundle, board)]);
    assert.equal(code, 0, stderr);
  }
}

interface Result {
  readonly board: Board;
  readonly image: string;
  readonly fetched: Outcome;
  readonly built: Outcome;
}

/** Every board fetches and then builds; they start within a second, in an order that `random` decides. */
function startBoards(
  t: TestContext,
  bundle: Bundle,
  store: string,
  out: string,
  random: () => number,
) {
  return Promise.all(
    BOARDS.map(async (board): Promise<Result> => {
      await sleep(random() * 1_000);
      mkdirSync(join(out, board.name), { recursive: true });
      const image = join(out, board.name, 'data.ext4');
      const args = [...inputs(bundle, board), '-s', store];
      const fetched = await runStowage(t, ['fetch', ...args, '--frozen']);
      assert.equal(fetched.code, 0, `${board.name}: ${fetched.stderr}`);
      const built = await runStowage(t, ['build', ...args, '-o', image]);
      assert.equal(built.code, 0, `${board.name}: ${built.stderr}`);
      return { board, image, fetched, built };
    }),
  );
}

const bytesOf = (path: string): string => digestOf(readFileSync(path));

const seeds = rounds(1, 10);
test(
  `each blob once, each data image once, in ${seeds} orders`,
  { timeout: seeds * 300_000 },
  async (t) => {
    await pinned(t, 'farm');
    await pinned(t, 'product');
    for (let seed = 1; seed <= seeds; seed++) {
      const random = randomOf(seed);
      const here = temporaryTree(t);
      const store = join(here, 'store');
      await registry.forget();
      const farm = await startBoards(t, 'farm', store, join(here, 'farm'), random);
      const gets = blobGets(await registry.requests());
      assert.deepEqual([...gets.keys()].sort(), [...images.blobs.keys()].sort());
      for (const [digest, count] of gets) assert.equal(count, 1, `${digest}, seed ${seed}`);

      // Two of the boards are the same machine: thirteen different images, one of them for both.
      const copied = farm.filter(({ built }) => COPIED.test(built.stderr));
      assert.equal(copied.length, 1, `seed ${seed}`);
      assert.equal(copied[0]?.board.machine, 'odroid-m1');
      const different = new Set(farm.map(({ image }) => bytesOf(image)));
      assert.equal(different.size, 13);
      assert.equal(readdirSync(join(store, 'built')).length, 13);

      // What does not depend on the machine: one image a platform, and not one more request.
      await registry.forget();
      const product = await startBoards(t, 'product', store, join(here, 'product'), random);
      assert.deepEqual(await registry.requests(), []);
      const built = product.filter(({ built: outcome }) => !COPIED.test(outcome.stderr));
      assert.deepEqual(built.map(({ board }) => board.platform).sort(), [
        'linux/amd64',
        'linux/arm64',
      ]);
      for (const { board, image } of product) {
        const first = built.find((other) => other.board.platform === board.platform);
        assert.equal(bytesOf(image), bytesOf(first?.image ?? ''), board.name);
      }

      // Again: nothing for anybody to do.
      const stamps = product.map(({ image }) => statSync(image).mtimeMs);
      const again = await startBoards(t, 'product', store, join(here, 'product'), random);
      for (const { board, built: outcome } of again)
        assert.match(outcome.stdout, /nothing changed/u, board.name);
      assert.deepEqual(
        product.map(({ image }) => statSync(image).mtimeMs),
        stamps,
      );
      for (const left of ['staging', 'locks']) assert.deepEqual(readdirSync(join(store, left)), []);
    }
  },
);

/** Numbers from 0 to 1, the same for the same seed: a linear congruential generator. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

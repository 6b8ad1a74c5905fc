import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileOwner } from '../rig/owner.ts';
import { PATH_WITH_SBIN, run, type Outcome } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { assertDataImage } from './assert-data-image.ts';
import { BOARDS, startHomeAssistant, type Board, type HomeAssistant } from './boards.ts';
import { configure, copyExternalTree, ROOT, STAND_IN } from './external-tree.ts';
import { tarOfToday } from './tar-of-today.ts';

/**
 * Every board from its defconfig to a data image, by `make` alone: in a real Buildroot where BUILDROOT_DIR is a
 * checkout of one, and always with the stand-in for Buildroot's infrastructure. All boards share a download directory,
 * with it the store and the pins, as the boards of a farm do.
 */
const BUILDROOT = process.env['BUILDROOT_DIR'];
const DATA = 'BR2_PACKAGE_STOWAGE_DATA';
const owner = fileOwner();
let shared: Promise<{ readonly external: string; readonly product: HomeAssistant }> | undefined;

function sharedTree(): NonNullable<typeof shared> {
  shared ??= (async () => ({
    external: copyExternalTree(join(temporaryTree(owner), 'external'), STOWAGE),
    product: await startHomeAssistant(owner),
  }))();
  return shared;
}

/** What a user adds to a defconfig who has a mirror, and no network besides. */
function mirrored({ registry, versions }: HomeAssistant): string[] {
  return [
    `${DATA}_LOADER_DIRECT=y`,
    `${DATA}_MIRRORS="${registry.host}"`,
    `${DATA}_SET="versions=${versions}"`,
  ];
}

const defconfigOf = (board: Board): string => `stowage_${board.name}_defconfig`;

function readDefconfig(board: Board): string {
  return readFileSync(join(ROOT, 'configs', defconfigOf(board)), 'utf8');
}

async function makes(command: readonly string[], env: NodeJS.ProcessEnv): Promise<Outcome> {
  const outcome = await run('make', command, { env, deadline: 600_000 });
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome;
}

test('there is a defconfig for each board, and no other', () => {
  const ours = readdirSync(join(ROOT, 'configs')).sort();
  assert.deepEqual(ours, BOARDS.map(defconfigOf).sort());
});

for (const board of BOARDS) {
  test(`${board.name} with the stand-in: from its defconfig to its data image`, async (t) => {
    const config = await makeWithStandIn(t, board, 'landingpage');
    assert.equal(config.get(`${DATA}_PLATFORM`), board.platform);
    assert.equal(config.get(`${DATA}_MACHINE`), board.machine);
  });

  test(`${board.name} in a real Buildroot: load, save unchanged, make, verify`, async (t) => {
    if (BUILDROOT === undefined) {
      skip(t, 'BUILDROOT_DIR');
      return;
    }
    const { external, product } = await sharedTree();
    const out = temporaryTree(t);
    const env = {
      // Debian's Python before any other, as everywhere with Buildroot here.
      PATH: ['/usr/bin', PATH_WITH_SBIN].join(delimiter),
      HOME: external,
      LC_ALL: 'C',
      BR2_EXTERNAL: external,
      BR2_DL_DIR: join(external, '..', 'real-dl'),
    };
    const tar = await tarOfToday(out);
    const make = (...targets: string[]): Promise<Outcome> =>
      makes(['-C', resolve(BUILDROOT), `O=${out}`, `TAR=${tar}`, ...targets], env);

    // In one call: savedefconfig by itself reads every package there is.
    await make(defconfigOf(board), 'savedefconfig', `DEFCONFIG=${join(out, 'saved')}`);
    assert.equal(readFileSync(join(out, 'saved'), 'utf8'), readDefconfig(board));
    appendFileSync(join(out, '.config'), `${mirrored(product).join('\n')}\n`);
    await make('olddefconfig');
    await make('stowage-data');
    await assertDataImage(t, join(out, 'images'), product, board);
    if (board !== BOARDS[0]) return;
    const before = statSync(join(out, 'images/data.ext4'));
    const again = await make('stowage-data');
    assert.doesNotMatch(again.stdout, />>> stowage-data/u, 'a second run does nothing');
    assert.equal(statSync(join(out, 'images/data.ext4')).ino, before.ino);
  });
}

for (const name of ['green', 'rpi4_64']) {
  const board = BOARDS.find((one) => one.name === name);
  assert.ok(board);
  test(`${name} with the stand-in: Core in the place of the landing page`, async (t) => {
    const bundles = '$(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/bundles';
    await makeWithStandIn(
      t,
      board,
      'core',
      `${DATA}_BUNDLES="${bundles}/home-assistant-core.yaml"`,
    );
  });
}

/** With the stand-in for Buildroot: all of `make stowage-data`, and what came of it. Returns the configuration. */
async function makeWithStandIn(
  t: TestContext,
  board: Board,
  page: 'landingpage' | 'core',
  ...lines: readonly string[]
): Promise<ReadonlyMap<string, string>> {
  const { external, product } = await sharedTree();
  const out = temporaryTree(t);
  const downloads = join(external, '..', 'stand-in-dl');
  const config = await configure(out, external, [
    ...readDefconfig(board).trimEnd().split('\n'),
    ...[...mirrored(product), `BR2_DL_DIR="${downloads}"`, ...lines],
  ]);
  const env = {
    PATH: PATH_WITH_SBIN,
    LC_ALL: 'C',
    BR2_EXTERNAL_STOWAGE_PATH: external,
    HOME: external,
  };
  await makes(['-f', join(STAND_IN, 'Makefile'), `O=${out}`, 'stowage-data'], env);
  await assertDataImage(t, join(out, 'images'), product, board, { page });
  return config;
}

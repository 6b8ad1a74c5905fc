import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { BOARD, commandLine, defaultPins, made, placed, tree, type Tree } from './stand-in-tree.ts';

const DATA = 'BR2_PACKAGE_STOWAGE_DATA';
const OPTIONS = [
  `${DATA}_MACHINE="odroid-n2"`,
  `${DATA}_CHANNEL="beta"`,
  `${DATA}_ENGINE_VERSION="28.5.2"`,
  `${DATA}_MIRRORS="mirror.example/ghcr"`,
  `${DATA}_LOADER_DIRECT=y`,
];

function expected(board: Tree): Record<'target' | 'pin' | 'store' | 'image', string[]> {
  const target = ['--platform', 'linux/arm64', '--machine', 'odroid-n2', '--set', 'channel=beta'];
  return {
    target,
    pin: [
      ...['-b', join(board.external, 'buildroot-external/bundles/home-assistant.yaml')],
      ...['-p', defaultPins(board), ...target],
      ...['--loader', 'direct', '--engine-version', '28.5.2', '--log', 'plain'],
    ],
    store: ['-s', join(board.downloads, 'stowage-store')],
    image: [join(board.out, 'images/data.ext4')],
  };
}

test('what release engineers call is told the same as fetch and build', async (t) => {
  const board = await tree(t, [...BOARD, ...OPTIONS]);
  const { target, pin, store, image } = expected(board);
  await made(board, 'stowage-data');
  const [fetch, build] = board.calls().map(commandLine);
  assert.deepEqual(fetch?.args, [...pin, ...store, '--mirror', 'mirror.example/ghcr']);
  const built = join(board.out, 'build/stowage-data/data.ext4');
  assert.deepEqual(build?.args, [...pin, ...store, '-o', built]);

  const targets = ['pin', 'pin-check', 'verify', 'inspect', 'diff', 'doctor'];
  for (const name of targets) await made(board, `stowage-${name}`, 'OLD=/released.ext4');
  await made(board, 'stowage-pin', 'UPDATE=web db');
  const mirror = ['--mirror', 'mirror.example/ghcr'];
  assert.deepEqual(board.calls().slice(2).map(commandLine), [
    { command: 'pin', args: [...pin, ...mirror] },
    { command: 'pin', args: [...pin, ...mirror, '--check'] },
    { command: 'verify', args: [...image, '-p', defaultPins(board), ...target, '--log', 'plain'] },
    { command: 'inspect', args: [...image, '--log', 'plain'] },
    { command: 'diff', args: ['/released.ext4', ...image, '--log', 'plain'] },
    { command: 'doctor', args: ['--loader', 'direct', ...store, '-o', built, '--log', 'plain'] },
    { command: 'pin', args: [...pin, ...mirror, '--update', 'web', '--update', 'db'] },
  ]);
});

test('they are listed in make help, each of them', async (t) => {
  const board = await tree(t, BOARD);
  const help = await made(board, 'help');
  for (const name of ['pin', 'pin-check', 'verify', 'inspect', 'diff OLD=FILE', 'doctor'])
    assert.match(help, new RegExp(`^ {2}stowage-${name} +- `, 'mu'));
});

test('before there is an image, the pins are inspected and compared, and nothing is verified', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-inspect');
  await made(board, 'stowage-diff', 'OLD=old.json', 'TOPDIR=/top');
  const failed = await board.make(['stowage-verify']);
  assert.match(failed.stderr, /images\/data\.ext4 is missing: make stowage-data/u);
  const pins = defaultPins(board);
  assert.deepEqual(board.calls().map(commandLine), [
    { command: 'inspect', args: [pins, '--log', 'plain'] },
    { command: 'diff', args: ['/top/old.json', pins, '--log', 'plain'] },
  ]);
});

test("stowage's exit code is the recipe's", async (t) => {
  const board = await tree(t, BOARD);
  for (const [goal, code] of [
    ['stowage-pin-check', 8],
    ['stowage-diff', 8],
    ['stowage-doctor', 6],
    ['stowage-pin', 4],
  ] as const) {
    const failed = await board.make([goal, 'OLD=/old'], { STAND_IN_EXIT: String(code) });
    assert.equal(failed.code, 2);
    assert.match(failed.stderr, new RegExp(`${goal}\\] Error ${code}\\b`, 'u'));
  }
});

test('a diff of nothing says what is missing', async (t) => {
  const board = await tree(t, BOARD);
  const failed = await board.make(['stowage-diff']);
  assert.match(
    failed.stderr,
    /OLD is not given: make stowage-diff OLD=\/path\/to\/released\.ext4/u,
  );
  assert.deepEqual(board.calls(), []);
});

test('they run without installing a package, unless that brings what they run with', async (t) => {
  const plain = await tree(t, BOARD);
  await made(plain, 'stowage-doctor', 'stowage-pin');
  assert.ok(!existsSync(join(plain.out, 'build')));
  const nodejs = [
    'BR2_PACKAGE_HOST_NODEJS_BIN_ARCH_SUPPORTS=y',
    'BR2_PACKAGE_HOST_STOWAGE_NODEJS=y',
  ];
  const board = await tree(t, [...BOARD, ...nodejs]);
  await made(board, 'stowage-doctor', `STAND_IN_NODE=${process.execPath}`);
  assert.ok(existsSync(join(board.out, 'per-package/host-stowage/host/bin/stowage')));
});

test('without the compiled file they say how to make it', async (t) => {
  const board = await tree(t, BOARD, '/nonexistent');
  const failed = await board.make(['stowage-doctor']);
  assert.match(failed.stderr, /dist\/stowage\.mjs is missing/u);
});

test('a failure is told in the words of the configuration', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-data');
  for (const [goal, code, said] of [
    ['stowage-pin', 2, /option of the command line: docs\/buildroot.md says which of BR2_PACKAGE/u],
    ['stowage-pin-check', 4, /BR2_PACKAGE_STOWAGE_DATA_MIRRORS/u],
    ['stowage-verify', 3, /make stowage-data-rebuild/u],
  ] as const) {
    const failed = await board.make([goal], { STAND_IN_EXIT: String(code) });
    assert.match(failed.stderr, said);
    assert.match(failed.stderr, new RegExp(`${goal}\\] Error ${code}\\b`, 'u'));
  }
});

test('legal-info has the pins, the packages in the images and their licences, with no fetch of its own', async (t) => {
  const board = await tree(t, [...BOARD, ...OPTIONS]);
  await made(board, 'stowage-data-source');
  await made(board, 'stowage-data-legal-info', 'host-stowage-legal-info');
  const legal = join(board.out, 'legal-info');
  assert.deepEqual(readdirSync(join(legal, 'stowage-data')).sort(), [
    'images.csv',
    'pins.json',
    'sbom.spdx.json',
  ]);
  assert.equal(
    readFileSync(join(legal, 'stowage-data/pins.json'), 'utf8'),
    readFileSync(defaultPins(board), 'utf8'),
  );
  const { target, store } = expected(board);
  assert.deepEqual(board.calls().slice(1).map(commandLine), [
    {
      command: 'sbom',
      args: [
        ...['-b', join(board.external, 'buildroot-external/bundles/home-assistant.yaml')],
        ...['-p', defaultPins(board), ...target, ...store],
        ...['--engine-version', '28.5.2', '--log', 'plain'],
        ...['-o', join(legal, 'stowage-data/sbom.spdx.json')],
        ...['--manifest', join(legal, 'stowage-data/images.csv')],
      ],
    },
  ]);
  assert.match(readFileSync(join(legal, 'TARGET-manifest.csv'), 'utf8'), /^"stowage-data","",/u);
  assert.match(readFileSync(join(legal, 'HOST-manifest.csv'), 'utf8'), /^"stowage",.*Apache-2\.0/u);
  assert.match(readFileSync(join(legal, 'warnings'), 'utf8'), /stowage-data: .*not saved/u);
  assert.ok(existsSync(join(legal, 'host-licenses/stowage-0.1.0/LICENSE')));
});

const digest = (character: string): string => `sha256:${character.repeat(64)}`;

/** Pins as they are written, one image a target and the dind image of one. */
function writePins(file: string, keys: Readonly<Record<string, string>>): void {
  const targets = Object.fromEntries(
    Object.entries(keys).map(([key, character]) => [
      key,
      {
        dind: { reference: `example.org/docker:1@${digest('d')}` },
        images: { web: { reference: `example.org/web:1@${digest(character)}` } },
      },
    ]),
  );
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify({ 'stowage-pins': 1, targets }, null, 2)}\n`);
}

for (const [lines, characters, what] of [
  [[`${DATA}_MACHINE="board-a"`], ['a'], 'the machine'],
  [[`${DATA}_MACHINE="board-a"`, `${DATA}_CHANNEL="beta"`], ['b'], 'the channel'],
  [[`${DATA}_MACHINE="board-a"`, `${DATA}_CHANNEL="stable"`], ['a'], "the bundle's own channel"],
  [[`${DATA}_PLATFORM="linux/arm/v7"`], ['c'], 'the platform'],
  [[`${DATA}_PLATFORM="armv7"`], ['a', 'b', 'c'], 'none that can be told apart'],
] as const)
  test(`external-deps lists the images of one target: ${what}`, async (t) => {
    const board = await tree(t, [...BOARD, `${DATA}_LOADER_DIRECT=y`, ...lines]);
    writePins(defaultPins(board), {
      'linux/arm64 board-a': 'a',
      'linux/arm64 board-a channel=beta': 'b',
      'linux/arm/v7': 'c',
    });
    const listed = (await made(board, 'external-deps')).trimEnd().split('\n');
    const images = characters.map((character) => `example.org/web:1@${digest(character)}`);
    assert.deepEqual(listed, images);
  });

test('external-deps lists the image that the loader runs, where it runs one', async (t) => {
  const board = await tree(t, BOARD);
  writePins(defaultPins(board), { 'linux/arm64': 'a' });
  const listed = await made(board, 'external-deps');
  assert.match(listed, /^example\.org\/docker:1@sha256:d{64}$/mu);
  assert.match(listed, /^example\.org\/web:1@sha256:a{64}$/mu);
});

test('BR2_PRIMARY_SITE_ONLY means that no registry is asked, and a failure says so', async (t) => {
  const only = ['BR2_PRIMARY_SITE="file:///nowhere"', 'BR2_PRIMARY_SITE_ONLY=y'];
  const board = await tree(t, [...BOARD, ...only]);
  placed(join(board.downloads, 'stowage-store/stowage-store.json'));
  const failed = await board.make(['stowage-data-source'], { STAND_IN_EXIT: '3' });
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /BR2_PRIMARY_SITE_ONLY is set.*in the store/u);
  assert.match(failed.stderr, /Error 3\b/u, "stowage's own exit code is the step's");
  assert.equal(board.calls()[0]?.args.at(-1), '--offline');
  for (const goal of ['stowage-pin', 'stowage-pin-check']) {
    const refused = await board.make([goal]);
    assert.match(refused.stderr, new RegExp(`${goal}: BR2_PRIMARY_SITE_ONLY is set`, 'u'));
  }
  assert.equal(board.calls().length, 1, 'and nothing is pinned');
});

test('with mirrors BR2_PRIMARY_SITE_ONLY means that only they are asked', async (t) => {
  const only = ['BR2_PRIMARY_SITE="file:///nowhere"', 'BR2_PRIMARY_SITE_ONLY=y'];
  const board = await tree(t, [...BOARD, ...only, `${DATA}_MIRRORS="mirror.example/ghcr"`]);
  const failed = await board.make(['stowage-data-source'], { STAND_IN_EXIT: '5' });
  assert.match(failed.stderr, /BR2_PRIMARY_SITE_ONLY is set: only the mirrors are asked/u);
  await made(board, 'stowage-pin-check');
  for (const { args } of board.calls()) {
    const at = args.indexOf('--mirror');
    assert.deepEqual(args.slice(at, at + 3), ['--mirror', 'mirror.example/ghcr', '--mirror-only']);
  }
});

for (const only of [false, true])
  test(`what a primary site's store has is taken from there${only ? ', and nothing else' : ''}`, async (t) => {
    const site = '$(BR2_EXTERNAL_STOWAGE_PATH)/site';
    const board = await tree(t, [
      ...BOARD,
      `BR2_PRIMARY_SITE="file://${site}"`,
      ...(only ? ['BR2_PRIMARY_SITE_ONLY=y'] : []),
    ]);
    const store = join(board.external, 'site/stowage-store');
    placed(join(store, 'stowage-store.json'));
    writePins(defaultPins(board), { 'linux/arm64': 'a' });
    const lacks = { STAND_IN_LACKS: join(board.out, 'came') };
    const fetched = await board.make(['stowage-data-source'], lacks);
    assert.equal(fetched.code, 0, fetched.stderr);
    const calls = board.calls();
    assert.deepEqual(
      calls.map(({ command }) => command),
      ['fetch', 'store export', 'store import', 'fetch'],
    );
    assert.deepEqual(calls[1]?.args.slice(0, 6), [
      ...['-s', store, '-p', defaultPins(board)],
      ...['--platform', 'linux/arm64'],
    ]);
    assert.equal(calls[1].args[7], calls[2]?.args[0], 'what was exported is imported');
    assert.equal(calls[3]?.args.includes('--offline'), only);
    const left = readdirSync(join(board.downloads, 'stowage-data'), { recursive: true });
    assert.equal(left.length, 1, 'only the pins stay');
    await made(board, 'stowage-data-dirclean');
    await board.make(['stowage-data-source'], lacks);
    const again = board.calls().slice(4);
    assert.deepEqual(
      again.map(({ command }) => command),
      ['fetch', 'fetch'],
      'where all is there already, the site is not looked at',
    );
  });

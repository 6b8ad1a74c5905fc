import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { lstatSync, readlinkSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BOARD, commandLine, defaultPins, hashed, made, placed, tree } from './stand-in-tree.ts';

test('the download step fetches, the build step builds, the images directory has both files', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-data-source');
  const target = [
    ...['-b', join(board.external, 'buildroot-external/bundles/home-assistant.yaml')],
    ...['-p', defaultPins(board)],
    ...['--platform', 'linux/arm64', '--loader', 'dind', '--log', 'plain'],
    ...['-s', join(board.downloads, 'stowage-store')],
  ];
  const fetch = { command: 'fetch', args: target };
  assert.deepEqual(board.calls().map(commandLine), [fetch]);

  const said = await made(board, 'stowage-data');
  const build = {
    command: 'build',
    args: [...target, '-o', join(board.out, 'build/stowage-data/data.ext4')],
  };
  assert.deepEqual(board.calls().map(commandLine), [fetch, build]);
  assert.match(said, /needs Docker and root/u, 'root is announced');
  assert.deepEqual(readdirSync(join(board.out, 'images')).sort(), ['data.ext4', 'data.json']);
  assert.equal(readFileSync(join(board.out, 'images/data.ext4'), 'utf8'), 'image');

  await made(board, 'stowage-data-rebuild');
  assert.deepEqual(board.calls().map(commandLine), [fetch, build, build], 'and no further fetch');
});

test('`make source` fetches', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'source');
  assert.deepEqual(
    board.calls().map(({ command }) => command),
    ['fetch'],
  );
});

test('pins and store survive dirclean', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-data');
  await made(board, 'stowage-data-dirclean');
  assert.ok(!existsSync(join(board.out, 'build/stowage-data')));
  assert.ok(existsSync(defaultPins(board)));
  assert.ok(existsSync(join(board.downloads, 'stowage-store')));
});

test('every option reaches the commands that it is for', async (t) => {
  const data = 'BR2_PACKAGE_STOWAGE_DATA';
  const board = await tree(t, [
    ...BOARD,
    `${data}_BUNDLES="one.yaml  $(BR2_EXTERNAL_STOWAGE_PATH)/two.yaml"`,
    `${data}_PLATFORM="linux/arm/v7"`,
    `${data}_MACHINE="odroid-n2"`,
    `${data}_CHANNEL="beta"`,
    `${data}_SET="versions=https://v.example/a,b name=it's"`,
    `${data}_PINS="board/pins.json"`,
    `${data}_FROZEN=y`,
    `${data}_STORE="$(BR2_EXTERNAL_STOWAGE_PATH)/a store"`,
    `${data}_MIRRORS="127.0.0.1:5000 mirror.example/ghcr"`,
    `${data}_AUTHFILE="auth.json"`,
    `${data}_CERT_DIR="certificates"`,
    `${data}_INSECURE="registry.lan:5000 other.lan"`,
    `${data}_POLICY="/dev/../etc/passwd"`,
    `${data}_REGISTRIES_DIR="certificates"`,
    `${data}_JOBS=3`,
    `${data}_ENGINE_VERSION="28.5.2"`,
    `${data}_ENGINE_STORE_CONTAINERD=y`,
    `${data}_CONTAINERD_OWN=y`,
    `${data}_UNPACK_DEVICE=y`,
    `${data}_DIND_IMAGE="docker://registry.example/docker:28.5.2-dind"`,
    `${data}_DIND_ENGINE_PODMAN=y`,
    `${data}_DIND_PRIVILEGED=y`,
    `${data}_LABEL="it's-data"`,
    `${data}_SIZE="auto"`,
    `${data}_HEADROOM="12.5%"`,
    `${data}_FEATURES="6.1,-orphan_file"`,
    `${data}_UUID="5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab"`,
    `${data}_DATA_ROOT="var/lib/docker"`,
  ]);
  const bundles = [join(board.out, 'one.yaml'), join(board.external, 'two.yaml')];
  const files = ['board/pins.json', 'auth.json', 'certificates/ca.crt'];
  for (const path of [...bundles, ...files.map((name) => join(board.out, name))]) placed(path);
  await made(board, 'stowage-data', `TOPDIR=${board.out}`);
  const target = [
    ...bundles.flatMap((bundle) => ['-b', bundle]),
    ...['-p', join(board.out, 'board/pins.json')],
    ...['--platform', 'linux/arm/v7', '--machine', 'odroid-n2'],
    ...['--set', 'channel=beta', '--set', 'versions=https://v.example/a,b', '--set', "name=it's"],
    ...['--loader', 'dind', '--engine-version', '28.5.2'],
    ...['--dind', 'docker://registry.example/docker:28.5.2-dind', '--log', 'plain'],
    ...['-s', join(board.external, 'a store')],
  ];
  assert.deepEqual(board.calls().map(commandLine), [
    {
      command: 'fetch',
      args: [
        ...target,
        ...['--mirror', '127.0.0.1:5000', '--mirror', 'mirror.example/ghcr'],
        ...['--authfile', join(board.out, 'auth.json')],
        ...['--cert-dir', join(board.out, 'certificates')],
        ...['--insecure', 'registry.lan:5000', '--insecure', 'other.lan'],
        ...['--policy', '/dev/../etc/passwd'],
        ...['--registries-dir', join(board.out, 'certificates')],
        ...['--jobs', '3', '--frozen'],
      ],
    },
    {
      command: 'build',
      args: [
        ...target,
        ...['--engine', 'podman', '--privileged'],
        ...['--engine-store', 'containerd', '--containerd', 'own', '--no-unpack'],
        ...['--label', "it's-data", '--size', 'auto', '--headroom', '12.5%'],
        ...['--features=6.1,-orphan_file', '--uuid', '5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab'],
        ...['--data-root', 'var/lib/docker'],
        ...['-o', join(board.out, 'build/stowage-data/data.ext4')],
      ],
    },
  ]);
});

for (const [lines, expected] of [
  [[], undefined],
  [['BR2_PACKAGE_DOCKER_ENGINE=y'], '27.0.3'],
  [['BR2_PACKAGE_DOCKER_ENGINE=y', 'BR2_PACKAGE_STOWAGE_DATA_ENGINE_VERSION="28.0"'], '28.0'],
] as const)
  test(`the engine version is ${expected ?? 'left to the bundles'} with ${lines.join(' ') || 'nothing said'}`, async (t) => {
    const board = await tree(t, [...BOARD, ...lines]);
    await made(board, 'stowage-data');
    for (const { args } of board.calls()) {
      const at = args.indexOf('--engine-version');
      assert.equal(at === -1 ? undefined : args[at + 1], expected);
    }
  });

test('pins that nobody named are kept apart by the names and places of the bundles', async (t) => {
  const bundles = ['a/one.yaml', 'b/two.yml'];
  const named = bundles.map((name) => `$(BR2_EXTERNAL_STOWAGE_PATH)/${name}`).join(' ');
  const board = await tree(t, [...BOARD, `BR2_PACKAGE_STOWAGE_DATA_BUNDLES="${named}"`]);
  const paths = bundles.map((name) => placed(join(board.external, name)));
  await made(board, 'stowage-data-source');
  assert.deepEqual(readdirSync(join(board.downloads, 'stowage-data')), [
    `one+two-${hashed(...paths)}.pins.json`,
  ]);
});

test('nothing happens twice; a changed bundle or changed pins are fetched and built, on what is there', async (t) => {
  const board = await tree(t, BOARD);
  const commands = (): string[] => board.calls().map(({ command }) => command);
  await made(board, 'stowage-data');
  await made(board, 'stowage-data-source', 'stowage-data');
  assert.deepEqual(commands(), ['fetch', 'build']);
  const image = join(board.out, 'build/stowage-data/data.ext4');
  const { ctimeMs } = lstatSync(image);
  const bundle = join(board.external, 'buildroot-external/bundles/home-assistant.yaml');
  for (const [i, changed] of [bundle, defaultPins(board)].entries()) {
    const later = new Date(Date.now() + 60_000 * (i + 1));
    utimesSync(changed, later, later);
    // Not built: what fetching leaves as it is can be seen.
    await made(board, 'stowage-data-source');
    assert.equal(lstatSync(image).ctimeMs, ctimeMs, 'the last result was not touched');
    assert.deepEqual(commands().slice(2), Array<string>(i + 1).fill('fetch'));
    const now = new Date();
    utimesSync(changed, now, now);
  }
  await made(board, 'stowage-data');
  assert.equal(commands().at(-1), 'build');
});

test('reinstalling copies the image again, and builds nothing', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-data');
  writeFileSync(join(board.out, 'images/data.ext4'), 'spoilt');
  await made(board, 'stowage-data-reinstall');
  assert.equal(readFileSync(join(board.out, 'images/data.ext4'), 'utf8'), 'image');
  assert.equal(board.calls().length, 2);
});

test('an emptied store option means the download directory', async (t) => {
  const board = await tree(t, [...BOARD, 'BR2_PACKAGE_STOWAGE_DATA_STORE=""']);
  await made(board, 'stowage-data-source');
  assert.ok(existsSync(join(board.downloads, 'stowage-store')));
});

/** [the options, what stowage ended with, what is then said beside its own message] by the step that failed. */
const DATA = 'BR2_PACKAGE_STOWAGE_DATA';
const FROZEN = [`${DATA}_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/p.json"`, `${DATA}_FROZEN=y`];
const FETCH_HINTS: readonly (readonly [readonly string[], number, RegExp | undefined])[] = [
  [[], 1, undefined],
  [[], 2, /of the command line: docs\/buildroot.md says which of BR2_PACKAGE_STOWAGE_DATA_/u],
  [
    FROZEN,
    2,
    /DATA_FROZEN is set: make stowage-pin pins this configuration anew; what is pinned for it already can be moved alone, with UPDATE=<name>$/u,
  ],
  [[], 3, undefined],
  [
    [],
    4,
    /DATA_MIRRORS names registries to try first, none now; .*its address in BR2_PACKAGE_STOWAGE_DATA_SET, as in versions=/u,
  ],
  [
    [`${DATA}_MIRRORS="mirror.example/cache"`],
    4,
    /DATA_MIRRORS names registries to try first, mirror\.example\/cache now; /u,
  ],
  [[], 5, /DATA_PLATFORM says what it must be for, linux\/\w+ now, _AUTHFILE has the credentials/u],
  [[], 6, /make stowage-doctor .*BR2_PACKAGE_HOST_STOWAGE_SKOPEO/u],
  [[], 7, /downloads go to BR2_PACKAGE_STOWAGE_DATA_STORE/u],
];
const BUILD_HINTS: typeof FETCH_HINTS = [
  [[], 1, undefined],
  [[], 2, /: make stowage-data-dirclean stowage-data-source$/mu],
  [
    FROZEN,
    2,
    /make stowage-data-dirclean stowage-data-source; BR2_\w+_FROZEN is set: make stowage-pin/u,
  ],
  [[], 3, /: make stowage-data-dirclean stowage-data-source$/mu],
  [[], 6, /make stowage-doctor .*BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT/u],
  [[`${DATA}_SIZE="20M"`], 7, /--size is BR2_PACKAGE_STOWAGE_DATA_SIZE here; it is 20M now/u],
  [[], 7, /size is left to the bundles; BR2_PACKAGE_STOWAGE_DATA_SIZE overrules them/u],
];

for (const [goal, hints] of [
  ['stowage-data-source', FETCH_HINTS],
  ['stowage-data', BUILD_HINTS],
  ['stowage-pin', [[[], 2, /of the command line: docs/u]]],
  [
    'stowage-pin UPDATE=app',
    [[[], 2, /: UPDATE moves .* already; make stowage-pin without it pins all/u]],
  ],
  [
    'stowage-pin UPDATE=app',
    [[FROZEN, 2, /: UPDATE moves .* already; make stowage-pin without it pins all/u]],
  ],
] as const)
  for (const [lines, code, said] of hints)
    test(`${goal} that ends with ${code}${lines.length > 0 ? ` with ${lines.join(' ')}` : ''} says in one line what to do here`, async (t) => {
      const board = await tree(t, [...BOARD, ...lines]);
      if (lines === FROZEN) placed(join(board.external, 'p.json'));
      if (goal === 'stowage-data') await made(board, 'stowage-data-source');
      const failed = await board.make(goal.split(' '), { STAND_IN_EXIT: String(code) });
      assert.equal(failed.code, 2);
      assert.match(failed.stderr, new RegExp(`Error ${code}\\b`, 'u'));
      const ours = failed.stderr.split('\n').filter((line) => line.startsWith('stowage-data: '));
      assert.equal(ours.length, said === undefined ? 0 : 1, failed.stderr);
      if (said !== undefined) assert.match(ours[0] ?? '', said);
      assert.doesNotMatch(failed.stdout, /BR2_DL_DIR=|case \$/u, 'and the recipe is not printed');
      assert.ok(!existsSync(join(board.out, 'images/data.ext4')));
    });

test('a changed option takes effect, in the steps that it is for', async (t) => {
  const board = await tree(t, BOARD);
  const commands = (): string[] => board.calls().map(({ command }) => command);
  await made(board, 'stowage-data');
  const config = readFileSync(join(board.out, '.config'), 'utf8');
  for (const [line, expected] of [
    [`${DATA}_SIZE="20M"`, ['build']],
    [`${DATA}_SIZE="20M"`, []],
    [`${DATA}_UNPACK_DEVICE=y`, ['build']],
    [`${DATA}_MACHINE="odroid-n2"`, ['fetch', 'build']],
    [`${DATA}_LOADER_DIRECT=y`, ['fetch', 'build']],
    [`${DATA}_STORE="$(BR2_EXTERNAL_STOWAGE_PATH)/store"`, ['fetch', 'build']],
    ['', ['fetch', 'build']],
    [`${DATA}_MIRRORS="mirror.example/ghcr"`, []],
    [`${DATA}_JOBS=3`, []],
    [`${DATA}_DIND_PRIVILEGED=y`, []],
  ] as const) {
    const before = commands().length;
    writeFileSync(join(board.out, '.config'), `${config}${line}\n`);
    await made(board, 'stowage-data');
    assert.deepEqual(commands().slice(before), expected, line);
  }
});

test('downloads are made with the umask that Buildroot was called with', async (t) => {
  const board = await tree(t, BOARD);
  const outcome = await board.make(['stowage-data'], { BR_ORIG_UMASK: '0002' });
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.equal(board.calls()[0]?.umask, '2');
});

test('the pinned images are listed among the external dependencies, once there are pins', async (t) => {
  const board = await tree(t, BOARD);
  assert.doesNotMatch(await made(board, 'external-deps'), /sha256/u);
  await made(board, 'stowage-data-source');
  const listed = (await made(board, 'external-deps')).split('\n');
  assert.ok(listed.includes(`registry.example/sample:1@sha256:${'0a'.repeat(32)}`));
});

test('stowage is installed under its own name, as the module that it is', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'host-stowage');
  const host = join(board.out, 'per-package/host-stowage/host');
  assert.ok(lstatSync(join(host, 'bin/stowage')).isSymbolicLink());
  assert.equal(readlinkSync(join(host, 'bin/stowage')), '../lib/stowage/stowage.mjs');
  // A package.json of the surroundings must not turn it into a CommonJS script.
  writeFileSync(join(board.out, 'package.json'), '{ "type": "commonjs" }');
  await made(board, 'stowage-data-source');
  assert.equal(board.calls().length, 1);
});

test('without the compiled file it stops before anything is fetched, and names `make build`', async (t) => {
  const board = await tree(t, BOARD, '/nonexistent');
  const failed = await board.make(['stowage-data-source']);
  assert.equal(failed.code, 2);
  assert.ok(failed.stderr.includes(`${board.external}/dist/stowage.mjs is missing`), failed.stderr);
  assert.ok(failed.stderr.includes(`make -C ${board.external} build`), failed.stderr);
  assert.ok(!existsSync(join(board.downloads, 'stowage-store')));
});

for (const [version, accepted] of [
  ['18.20.8', false],
  ['20.18.3', false],
  ['20.19.0', true],
  ['22.0.0', true],
] as const)
  test(`Node.js ${version} is ${accepted ? 'accepted' : 'refused, and the way out named'}`, async (t) => {
    const board = await tree(t, BOARD);
    const bin = join(board.out, 'other-node');
    writeNode(bin, version);
    const outcome = await board.make(['host-stowage'], { PATH: `${bin}:/usr/bin:/bin` });
    assert.equal(outcome.code === 0, accepted, outcome.stderr);
    if (accepted) return;
    assert.match(outcome.stderr, /needs Node\.js 20\.19 or newer/u);
    assert.ok(outcome.stderr.includes(`found v${version}.`), outcome.stderr);
    assert.match(outcome.stderr, /BR2_PACKAGE_HOST_STOWAGE_NODEJS/u);
  });

test('no Node.js at all is told in the same words', async (t) => {
  const board = await tree(t, BOARD);
  const bin = join(board.out, 'tools');
  mkdirSync(bin);
  for (const tool of [
    'sh',
    'test',
    'mkdir',
    'cp',
    'install',
    'ln',
    'touch',
    'tr',
    'rm',
    'chmod',
    'cut',
    'grep',
    'sha256sum',
  ])
    symlinkSync(join('/usr/bin', tool), join(bin, tool));
  symlinkSync('/usr/bin/make', join(bin, 'make'));
  const failed = await board.make(['host-stowage'], { PATH: bin });
  assert.match(failed.stderr, /needs Node\.js 20\.19 or newer, and found none\./u);
});

test("on request it runs with Buildroot's Node.js", async (t) => {
  const nodejs = [
    'BR2_PACKAGE_HOST_NODEJS_BIN_ARCH_SUPPORTS=y',
    'BR2_PACKAGE_HOST_STOWAGE_NODEJS=y',
  ];
  const board = await tree(t, [...BOARD, ...nodejs]);
  const bin = join(board.out, 'other-node');
  writeNode(bin, '18.0.0');
  // Behind the stale one on PATH, for the stand-in's host-nodejs, which hands out the machine's.
  const env = { PATH: `${bin}:/usr/bin:/bin`, STAND_IN_NODE: process.execPath };
  const outcome = await board.make(['stowage-data'], env);
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.deepEqual(
    board.calls().map(({ node }) => node),
    [process.execPath, process.execPath],
  );
});

/** A node that is of `version`, as far as a script can ask it. */
function writeNode(bin: string, version: string): void {
  mkdirSync(bin);
  const preload = join(bin, 'version.cjs');
  writeFileSync(
    preload,
    `Object.defineProperty(process, 'versions', { value: { node: '${version}' } });\n`,
  );
  writeFileSync(
    join(bin, 'node'),
    `#!/bin/sh\n[ "$1" = --version ] && { echo v${version}; exit; }\nexec ${process.execPath} -r ${preload} "$@"\n`,
  );
  chmodSync(join(bin, 'node'), 0o755);
}

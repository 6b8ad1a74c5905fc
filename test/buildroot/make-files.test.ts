import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { lstatSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { run, type Outcome } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { configure, copyExternalTree, readCalls, STAND_IN, type Call } from './external-tree.ts';

/** The real .mk files, under the stand-in for Buildroot's infrastructure, with the stand-in for stowage. */
interface Tree {
  readonly external: string;
  readonly out: string;
  readonly downloads: string;
  make(targets: readonly string[], env?: Readonly<Record<string, string>>): Promise<Outcome>;
  calls(): Call[];
}

const BOARD = ['BR2_aarch64=y', 'BR2_PACKAGE_STOWAGE_DATA=y'];
const HELPER = join(STAND_IN, 'stowage.mjs');

async function tree(t: TestContext, lines: readonly string[], helper = HELPER): Promise<Tree> {
  const dir = temporaryTree(t);
  const external = copyExternalTree(join(dir, 'external'), existsSync(helper) ? helper : undefined);
  const [out, downloads, log] = [join(dir, 'out'), join(dir, 'dl'), join(dir, 'calls.log')];
  mkdirSync(out);
  await configure(out, external, [...lines, `BR2_DL_DIR="${downloads}"`]);
  return {
    external,
    out,
    downloads,
    make: (targets, env = {}) =>
      run('make', ['-f', join(STAND_IN, 'Makefile'), '-j4', `O=${out}`, ...targets], {
        env: {
          PATH: process.env['PATH'] ?? '/usr/bin:/bin',
          LC_ALL: 'C',
          BR2_EXTERNAL_STOWAGE_PATH: external,
          STAND_IN_LOG: log,
          ...env,
        },
      }),
    calls: () => readCalls(log),
  };
}

async function made(t: Tree, ...targets: string[]): Promise<string> {
  const outcome = await t.make(targets);
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome.stdout;
}

/** Named by the shipped bundle and by where it is. */
function defaultPins(board: Tree): string {
  const bundle = join(board.external, 'buildroot-external/bundles/home-assistant.yaml');
  return join(board.downloads, 'stowage-data', `home-assistant-${hashed(bundle)}.pins.json`);
}

function hashed(...bundles: readonly string[]): string {
  const lines = bundles.map((bundle) => `${bundle}\n`).join('');
  return createHash('sha256').update(lines).digest('hex').slice(0, 8);
}

test('the download step fetches, the build step builds, the images directory has both files', async (t) => {
  const board = await tree(t, BOARD);
  await made(board, 'stowage-data-source');
  const target = [
    ...['-b', join(board.external, 'buildroot-external/bundles/home-assistant.yaml')],
    ...['-p', defaultPins(board)],
    ...['-s', join(board.downloads, 'stowage-store')],
    ...['--platform', 'linux/arm64', '--loader', 'dind', '--log', 'plain'],
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
    `${data}_STORE="/tmp/stowage-stand-in-store"`,
    `${data}_MIRRORS="127.0.0.1:5000 mirror.example/ghcr"`,
    `${data}_AUTHFILE="auth.json"`,
    `${data}_JOBS=3`,
    `${data}_ENGINE_VERSION="28.5.2"`,
    `${data}_DIND_IMAGE="docker://registry.example/docker:28.5.2-dind"`,
    `${data}_SIZE="1280M"`,
    `${data}_LABEL="it is data"`,
  ]);
  await made(board, 'stowage-data', 'TOPDIR=' + board.out);
  t.after(() => {
    rmSync('/tmp/stowage-stand-in-store', { recursive: true });
  });
  const target = [
    ...['-b', join(board.out, 'one.yaml'), '-b', join(board.external, 'two.yaml')],
    ...['-p', join(board.out, 'board/pins.json'), '-s', '/tmp/stowage-stand-in-store'],
    ...['--platform', 'linux/arm/v7', '--machine', 'odroid-n2'],
    ...['--set', 'channel=beta', '--set', 'versions=https://v.example/a,b', '--set', "name=it's"],
    ...['--loader', 'dind', '--engine-version', '28.5.2'],
    ...['--dind', 'docker://registry.example/docker:28.5.2-dind', '--log', 'plain'],
  ];
  assert.deepEqual(board.calls().map(commandLine), [
    {
      command: 'fetch',
      args: [
        ...target,
        ...['--mirror', '127.0.0.1:5000', '--mirror', 'mirror.example/ghcr'],
        ...['--authfile', join(board.out, 'auth.json'), '--jobs', '3', '--frozen'],
      ],
    },
    {
      command: 'build',
      args: [
        ...target,
        ...['--size', '1280M', '--label', 'it is data'],
        ...['-o', join(board.out, 'build/stowage-data/data.ext4')],
      ],
    },
  ]);
});

test('pins that nobody named are kept apart by the names and places of the bundles', async (t) => {
  const board = await tree(t, [
    ...BOARD,
    'BR2_PACKAGE_STOWAGE_DATA_BUNDLES="/a/one.yaml /b/two.yml"',
  ]);
  await made(board, 'stowage-data-source');
  assert.deepEqual(readdirSync(join(board.downloads, 'stowage-data')), [
    `one+two-${hashed('/a/one.yaml', '/b/two.yml')}.pins.json`,
  ]);
});

test('an emptied store option means the download directory', async (t) => {
  const board = await tree(t, [...BOARD, 'BR2_PACKAGE_STOWAGE_DATA_STORE=""']);
  await made(board, 'stowage-data-source');
  assert.ok(existsSync(join(board.downloads, 'stowage-store')));
});

test('BR2_PRIMARY_SITE_ONLY means that no registry is asked, and a failure says so', async (t) => {
  const only = ['BR2_PRIMARY_SITE="file:///nowhere"', 'BR2_PRIMARY_SITE_ONLY=y'];
  const board = await tree(t, [...BOARD, ...only]);
  const failed = await board.make(['stowage-data-source'], { STAND_IN_EXIT: '3' });
  assert.equal(failed.code, 2);
  assert.match(failed.stderr, /BR2_PRIMARY_SITE_ONLY is set.*in the store/u);
  assert.match(failed.stderr, /Error 3\b/u, "stowage's own exit code is the step's");
  assert.equal(board.calls()[0]?.args.at(-1), '--offline');
});

test('with mirrors BR2_PRIMARY_SITE_ONLY means that only they are asked', async (t) => {
  const only = ['BR2_PRIMARY_SITE="file:///nowhere"', 'BR2_PRIMARY_SITE_ONLY=y'];
  const mirrors = 'BR2_PACKAGE_STOWAGE_DATA_MIRRORS="mirror.example/ghcr"';
  const board = await tree(t, [...BOARD, ...only, mirrors]);
  const failed = await board.make(['stowage-data-source'], { STAND_IN_EXIT: '5' });
  assert.match(failed.stderr, /BR2_PRIMARY_SITE_ONLY is set: only the mirrors are asked/u);
  assert.deepEqual(board.calls()[0]?.args.slice(-3), [
    '--mirror',
    'mirror.example/ghcr',
    '--mirror-only',
  ]);
});

for (const [code, hint] of [
  [2, true],
  [3, true],
  [1, false],
  [6, false],
] as const)
  test(`a build that ends with ${code} ${hint ? 'says' : 'does not say'} how to fetch again`, async (t) => {
    const board = await tree(t, BOARD);
    await made(board, 'stowage-data-source');
    const failed = await board.make(['stowage-data'], { STAND_IN_EXIT: String(code) });
    assert.equal(failed.code, 2);
    assert.match(failed.stderr, new RegExp(`Error ${code}\\b`, 'u'));
    const fetchAgain = /make stowage-data-dirclean stowage-data-source/u;
    assert.equal(fetchAgain.test(failed.stderr), hint, failed.stderr);
    assert.ok(!existsSync(join(board.out, 'images/data.ext4')));
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
  for (const tool of ['sh', 'test', 'mkdir', 'cp', 'install', 'ln', 'touch', 'tr', 'rm'])
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

for (const option of ['BUNDLES', 'PLATFORM'])
  test(`an empty ${option} stops before the first step`, async (t) => {
    const board = await tree(t, [...BOARD, `BR2_PACKAGE_STOWAGE_DATA_${option}=""`]);
    const failed = await board.make(['stowage-data']);
    assert.equal(failed.code, 2);
    assert.match(
      failed.stderr,
      new RegExp(`BR2_PACKAGE_STOWAGE_DATA_${option} is empty: name`, 'u'),
    );
    assert.deepEqual(board.calls(), []);
  });

function commandLine({ command, args }: Call): Pick<Call, 'command' | 'args'> {
  return { command, args };
}

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

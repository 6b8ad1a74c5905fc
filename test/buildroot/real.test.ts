import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { dindImage } from '../rig/dind-image.ts';
import { startEngine } from '../rig/engine.ts';
import { makeImage, noise } from '../rig/image.ts';
import { machinePlatform } from '../rig/platform.ts';
import { asRoot, must, PATH_WITH_SBIN, run, type Outcome } from '../rig/process.ts';
import { push, pushFrom } from '../rig/publish.ts';
import { startRegistry } from '../rig/registry.ts';
import { skip } from '../rig/skip.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser, type User } from '../rig/unprivileged-user.ts';
import {
  BUILDROOT_FILES,
  copyExternalTree,
  readCalls,
  readConfig,
  ROOT,
  STAND_IN,
} from './external-tree.ts';
import { tarOfToday } from './tar-of-today.ts';

/** In a real Buildroot: BUILDROOT_DIR is a checkout of it, in which nothing is written. */
const BUILDROOT = process.env['BUILDROOT_DIR'];
const HELPER = join(STAND_IN, 'stowage.mjs');
/** A board's step without network, on a machine whose loopback is up in no other name space either. */
const NO_NETWORK = ['unshare', '--net'];

function realTest(name: string, body: (t: TestContext, buildroot: string) => Promise<void>): void {
  test(`real Buildroot: ${name}`, async (t) => {
    if (BUILDROOT === undefined) skip(t, 'BUILDROOT_DIR');
    else await body(t, resolve(BUILDROOT));
  });
}

interface Board {
  readonly external: string;
  readonly out: string;
  readonly downloads: string;
  readonly log: string;
  make(targets: readonly string[], options?: MakeOptions): Promise<Outcome>;
}

interface MakeOptions {
  /** Who calls make, with an output and a download directory at home. */
  readonly user?: User;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before `make`, and everything then runs as root. */
  readonly under?: readonly string[];
}

async function board(t: TestContext, buildroot: string, helper: string): Promise<Board> {
  const dir = temporaryTree(t);
  const external = copyExternalTree(join(dir, 'external'), helper);
  const [out, downloads, log] = [join(dir, 'out'), join(dir, 'dl'), join(dir, 'calls.log')];
  mkdirSync(out);
  const tar = await tarOfToday(dir);
  return {
    external,
    out,
    downloads,
    log,
    make: async (targets, { user, env = {}, under = [] } = {}) => {
      const environment = {
        // Debian's Python, which has the modules that check-package wants, before any other.
        PATH: ['/usr/bin', PATH_WITH_SBIN].join(delimiter),
        HOME: user?.home ?? dir,
        LC_ALL: 'C',
        BR2_EXTERNAL: external,
        BR2_DL_DIR: user === undefined ? downloads : join(user.home, 'dl'),
        STAND_IN_LOG: log,
        ...env,
      };
      const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      const output = user === undefined ? out : join(user.home, 'out');
      const command = ['make', '-C', buildroot, `O=${output}`, `TAR=${tar}`, ...targets];
      const become =
        user === undefined
          ? []
          : ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups'];
      const all = ['-i', ...assignments, ...under, ...become, ...command];
      const isRoots = under.length > 0 || user !== undefined;
      const [program, args] = isRoots ? asRoot('env', all) : ['env', all];
      return run(program, args, { deadline: 600_000 });
    },
  };
}

async function made(b: Board, targets: readonly string[], options?: MakeOptions): Promise<string> {
  const outcome = await b.make(targets, options);
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome.stdout;
}

async function configured(b: Board, ...lines: readonly string[]): Promise<void> {
  writeFileSync(join(b.out, '.config'), `${lines.join('\n')}\n`);
  await made(b, ['olddefconfig']);
}

realTest('list-defconfigs shows ours; they load, and save unchanged', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const listed = await made(b, ['list-defconfigs']);
  for (const file of BUILDROOT_FILES.filter((name) => name.startsWith('configs/'))) {
    const defconfig = file.slice('configs/'.length);
    assert.ok(listed.includes(`  ${defconfig} `), listed);
    assert.ok(!existsSync(join(buildroot, file)), "and it is none of Buildroot's names");
    await made(b, [defconfig]);
    const config = readConfig(join(b.out, '.config'));
    assert.equal(config.get('BR2_PACKAGE_STOWAGE_DATA'), 'y');
    const saved = join(b.out, 'saved');
    await made(b, ['savedefconfig', `DEFCONFIG=${saved}`]);
    assert.equal(readFileSync(saved, 'utf8'), readFileSync(join(ROOT, file), 'utf8'));
  }
});

realTest('check-package finds nothing in our files', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const files = BUILDROOT_FILES.map((file) => join(b.external, file));
  const outcome = await run('/usr/bin/python3', ['utils/check-package', '-b', ...files], {
    cwd: buildroot,
  });
  assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  assert.match(outcome.stdout + outcome.stderr, /\b0 warnings generated/u);
});

realTest("the stand-in names no symbol that Buildroot doesn't have", async (_t, buildroot) => {
  const standIn = readFileSync(join(STAND_IN, 'Config.in'), 'utf8');
  const symbols = [...standIn.matchAll(/^config (BR2_\w+)$/gmu)].map((match) => match[1] ?? '');
  const packages = ['docker-engine', 'go', 'nodejs', 'skopeo'];
  const places = ['Config.in', 'arch', ...packages.map((name) => `package/${name}`)];
  const config = ['-rhE', '--include=Config.in*', '^\\s*config BR2_', ...places];
  const theirs = await must('grep', config, { cwd: buildroot });
  const defined = new Set(theirs.split('\n').map((line) => line.trim().split(/\s+/u)[1]));
  const missing = symbols.filter((name) => !defined.has(name));
  assert.deepEqual(missing, ['BR2_EXTERNAL_STOWAGE_PATH'], 'which Buildroot makes up by itself');
});

realTest(
  'the packages follow the rules of source, rebuild, external-deps and the reports',
  async (t, buildroot) => {
    const b = await board(t, buildroot, HELPER);
    await made(b, ['stowage_rpi4_64_defconfig']);
    await made(b, ['stowage-data-source']);
    const commands = (): string[] => readCalls(b.log).map(({ command }) => command);
    assert.deepEqual(commands(), ['fetch']);
    await made(b, ['stowage-data'], { under: NO_NETWORK });
    await made(b, ['stowage-data-rebuild'], { under: NO_NETWORK });
    assert.deepEqual(commands(), ['fetch', 'build', 'build']);
    assert.ok(existsSync(join(b.out, 'images/data.ext4')));
    assert.ok(existsSync(join(b.out, 'images/data.json')));
    assert.match(await made(b, ['external-deps']), /^registry\.example\/sample:1@sha256:/mu);
    const info = await made(b, ['-s', 'stowage-data-show-info']);
    assert.match(info, /"dependencies": \[ "host-skeleton", "host-stowage" \]/u);
    await made(b, ['-s', 'show-info']);
    await made(b, ['stowage-data-legal-info', 'stowage-data-all-source']);
  },
);

realTest('per-package directories, make -j and a reproducible build', async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const options = ['BR2_PER_PACKAGE_DIRECTORIES=y', 'BR2_REPRODUCIBLE=y', 'BR2_CCACHE=y'];
  await configured(b, 'BR2_aarch64=y', 'BR2_PACKAGE_STOWAGE_DATA=y', ...options);
  await made(b, ['-j4', 'stowage-data'], { under: NO_NETWORK });
  const calls = readCalls(b.log);
  assert.deepEqual(
    calls.map(({ command }) => command),
    ['fetch', 'build'],
  );
  for (const { epoch } of calls) assert.match(epoch ?? 'none', /^\d+$/u);
});

realTest("Buildroot's own Node.js is a dependency on request only", async (t, buildroot) => {
  const b = await board(t, buildroot, HELPER);
  const depends = ['-s', 'stowage-data-show-recursive-depends'];
  await configured(b, 'BR2_x86_64=y', 'BR2_PACKAGE_STOWAGE_DATA=y');
  assert.equal((await made(b, depends)).trim(), 'host-skeleton host-stowage');
  await configured(
    b,
    ...['BR2_x86_64=y', 'BR2_PACKAGE_STOWAGE_DATA=y', 'BR2_PACKAGE_HOST_STOWAGE_NODEJS=y'],
  );
  assert.match(await made(b, depends), /\bhost-nodejs\b/u);
});

realTest(
  'from a registry to images/data.ext4, the build with the network down',
  async (t, buildroot) => {
    const b = await board(t, buildroot, STOWAGE);
    const registry = await startRegistry(t);
    const dind = await dindImage();
    await pushFrom(
      registry,
      `library/docker:${dind.version}-dind`,
      `oci:${dind.layout}:${dind.name}`,
    );
    const platform = machinePlatform();
    const layers = [{ 'etc/sample': { content: noise(1, 200_000) } }];
    await push(registry, 'sample/hello:1', await makeImage({ platform, layers }));
    const bundle = join(b.external, 'sample.yaml');
    writeFileSync(bundle, sampleBundle(registry.host, dind.version));
    const engine = await startEngine(t);

    const pins = join(b.external, 'pins.json');
    await configured(
      b,
      process.arch === 'arm64' ? 'BR2_aarch64=y' : 'BR2_x86_64=y',
      'BR2_PACKAGE_STOWAGE_DATA=y',
      'BR2_PACKAGE_STOWAGE_DATA_BUNDLES="$(BR2_EXTERNAL_STOWAGE_PATH)/sample.yaml"',
      'BR2_PACKAGE_STOWAGE_DATA_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/pins.json"',
    );
    await made(b, ['stowage-data-source']);
    assert.match(readFileSync(pins, 'utf8'), /sample\/hello:1@sha256:/u);
    assert.match(await made(b, ['external-deps']), /\/sample\/hello:1@sha256:/u);

    await registry.stop();
    const offline = { env: { DOCKER_HOST: engine.host }, under: NO_NETWORK };
    await made(b, ['stowage-data'], offline);
    const image = join(b.out, 'images/data.ext4');
    assert.ok(statSync(image).size > 1 << 20);
    JSON.parse(readFileSync(join(b.out, 'images/data.json'), 'utf8'));
    await must('e2fsck', ['-fn', image]);
    await must(...asRoot(process.execPath, [STOWAGE, 'verify', image, '-p', pins]));

    await made(b, ['stowage-data-rebuild'], offline);
    await made(b, ['stowage-data-dirclean', 'stowage-data'], offline);
  },
);

const FROZEN = ['BR2_PACKAGE_STOWAGE_DATA_FROZEN=y'];
const SAMPLE = [
  'BR2_aarch64=y',
  'BR2_PACKAGE_STOWAGE_DATA=y',
  'BR2_PACKAGE_STOWAGE_DATA_BUNDLES="$(BR2_EXTERNAL_STOWAGE_PATH)/sample.yaml"',
  'BR2_PACKAGE_STOWAGE_DATA_PINS="$(BR2_EXTERNAL_STOWAGE_PATH)/pins.json"',
  'BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT=y',
];

/** The external tree of `b` with a bundle, pushed to a registry and pinned. */
async function pinned(
  t: TestContext,
  b: Board,
): Promise<{ readonly publish: (seed: number) => Promise<void> }> {
  const registry = await startRegistry(t);
  const publish = async (seed: number): Promise<void> => {
    const layers = [{ 'etc/sample': { content: noise(seed, 50_000) } }];
    await push(registry, 'sample/hello:1', await makeImage({ platform: 'linux/arm64', layers }));
  };
  await publish(1);
  writeFileSync(join(b.external, 'sample.yaml'), sampleBundle(registry.host, '28.5.2'));
  await configured(b, ...SAMPLE);
  await made(b, ['stowage-pin']);
  return { publish };
}

realTest(
  'two users in source trees that they may only read make the same data image of the same pins',
  async (t, buildroot) => {
    const b = await board(t, buildroot, STOWAGE);
    await must('chmod', ['-R', 'a+rX', dirname(b.external)]);
    await pinned(t, b);
    const builds = [
      { options: ['BR2_PER_PACKAGE_DIRECTORIES=y', ...FROZEN], make: ['-j4'] },
      { options: FROZEN, make: [] },
    ];
    const results: string[] = [];
    for (const { options, make } of builds) {
      const user = await unprivilegedUser(t);
      const out = join(user.home, 'out');
      mkdirSync(out);
      writeFileSync(join(out, '.config'), `${[...SAMPLE, ...options].join('\n')}\n`);
      await must(...asRoot('chown', ['-R', `${user.uid}:${user.gid}`, out, user.home]));
      await made(b, ['olddefconfig'], { user });
      await made(b, [...make, 'stowage-data-all-source'], { user });
      await made(b, [...make, 'stowage-data'], { user, under: NO_NETWORK });
      results.push(out);
    }
    const [one = '', other = ''] = results;
    for (const file of ['data.ext4', 'data.json'])
      await must('cmp', [join(one, 'images', file), join(other, 'images', file)]);
  },
);
realTest('what release engineers call, and what lawyers read', async (t, buildroot) => {
  const b = await board(t, buildroot, STOWAGE);
  const { publish } = await pinned(t, b);
  await made(b, ['stowage-data']);
  const released = join(b.out, 'released.ext4');
  copyFileSync(join(b.out, 'images/data.ext4'), released);

  const offline = { under: NO_NETWORK };
  await made(b, ['stowage-data-all-legal-info'], offline);
  const legal = join(b.out, 'legal-info');
  const pins = readFileSync(join(b.external, 'pins.json'), 'utf8');
  assert.equal(readFileSync(join(legal, 'stowage-data/pins.json'), 'utf8'), pins);
  const reference = /"reference": "(.*)"/u.exec(pins)?.[1] ?? 'none';
  assert.ok(readFileSync(join(legal, 'stowage-data/images.csv'), 'utf8').includes(reference));
  assert.match(readFileSync(join(legal, 'stowage-data/sbom.spdx.json'), 'utf8'), /SPDX-2\.3/u);
  assert.match(readFileSync(join(legal, 'manifest.csv'), 'utf8'), /^"stowage-data"/mu);
  assert.match(readFileSync(join(legal, 'host-manifest.csv'), 'utf8'), /^"stowage"/mu);
  const listed = (await made(b, ['external-deps'])).split('\n');
  assert.deepEqual(
    listed.filter((line) => line.includes('@sha256:')),
    [reference],
  );

  assert.match(await made(b, ['help']), /^ {2}stowage-pin-check +- /mu);
  for (const goal of ['stowage-verify', 'stowage-inspect', 'stowage-doctor'])
    await made(b, [goal], offline);
  await made(b, ['stowage-diff', `OLD=${released}`], offline);
  await made(b, ['stowage-pin-check']);
  await publish(2);
  const newer = await b.make(['stowage-pin-check']);
  assert.match(newer.stderr, /stowage-pin-check\] Error 8\b/u);
  await made(b, ['stowage-pin']);
  await made(b, ['stowage-data']);
  const different = await b.make(['stowage-diff', `OLD=${released}`]);
  assert.match(different.stderr, /stowage-diff\] Error 8\b/u);
  const again = await made(b, ['stowage-data'], offline);
  assert.doesNotMatch(again, />>>/u, 'nothing happens twice');
});

function sampleBundle(registry: string, engineVersion: string): string {
  return `stowage: 1
vars: { registry: '${registry}' }
partition: { label: sample, size: auto, headroom: 10%, dataRoot: docker }
engine:
  name: docker
  store: containerd
  version: '${engineVersion}'
  dind: 'docker://{registry}/library/docker:{engine.version}-dind'
images:
  hello: { from: 'docker://{registry}/sample/hello:1', tags: ['product.example/hello:latest'] }
files:
  sample/motd: { text: 'made by make' }
`;
}

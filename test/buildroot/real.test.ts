import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
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
import {
  BUILDROOT_FILES,
  copyExternalTree,
  readCalls,
  readConfig,
  ROOT,
  STAND_IN,
} from './external-tree.ts';

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
    make: async (targets, { env = {}, under = [] } = {}) => {
      const environment = {
        // Debian's Python, which has the modules that check-package wants, before any other.
        PATH: ['/usr/bin', PATH_WITH_SBIN].join(delimiter),
        HOME: dir,
        LC_ALL: 'C',
        BR2_EXTERNAL: external,
        BR2_DL_DIR: downloads,
        STAND_IN_LOG: log,
        ...env,
      };
      const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      const command = ['make', '-C', buildroot, `O=${out}`, `TAR=${tar}`, ...targets];
      const all = ['-i', ...assignments, ...under, ...command];
      const [program, args] = under.length === 0 ? ['env', all] : asRoot('env', all);
      return run(program, args, { deadline: 600_000 });
    },
  };
}

/**
 * Packages without a source need a tar of at least 1.35, or Buildroot downloads and builds one; what 1.35 does
 * otherwise than 1.34 matters for archives only, which are not made here.
 */
async function tarOfToday(dir: string): Promise<string> {
  const tar = join(dir, 'tar');
  writeFileSync(
    tar,
    `#!/bin/sh\n[ "$1" = --version ] && { echo 'tar (GNU tar) 1.35'; exit; }\nexec /usr/bin/tar "$@"\n`,
  );
  chmodSync(tar, 0o755);
  await must(tar, ['--version']);
  return tar;
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
  const places = ['Config.in', 'arch', 'package/nodejs'];
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

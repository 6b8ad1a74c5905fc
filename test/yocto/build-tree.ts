import { chmodSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { atEnd, type Owner } from '../rig/owner.ts';
import { asRoot, mustAsRoot, run, type Outcome } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { STOWAGE } from '../rig/stowage.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { unprivilegedUser, type User } from '../rig/unprivileged-user.ts';
import { seriesOf } from './product-layer.ts';

export const LAYER = fileURLToPath(new URL('../../meta-stowage', import.meta.url));

/** A real bitbake and a real openembedded-core: BITBAKE_DIR and OE_CORE_DIR, in which nothing is written. */
export interface Trees {
  readonly bitbake: string;
  readonly core: string;
}

/** What bitbake asks of a machine beside its own HOSTTOOLS, of which it tells itself. */
const LOCALE = 'en_US.UTF-8';

export function realTest(
  name: string,
  body: (t: TestContext, trees: Trees) => Promise<void>,
): void {
  test(`real bitbake: ${name}`, async (t) => {
    const bitbake = process.env['BITBAKE_DIR'];
    const core = process.env['OE_CORE_DIR'];
    if (bitbake === undefined || core === undefined) skip(t, 'BITBAKE_DIR and OE_CORE_DIR');
    else await body(t, { bitbake: resolve(bitbake), core: resolve(core) });
  });
}

/**
 * What can't be downloaded here. pseudo is named by tasks that ours do not run, and looked for all the same. The pre-built
 * C library of uninative lets builds share native programs, and is not looked for.
 */
const NO_INTERNET = [
  'CONNECTIVITY_CHECK_URIS = ""',
  'ASSUME_PROVIDED += "virtual/fakeroot-native"',
  'INHERIT:remove = "uninative"',
  'BB_HASHSERVE_DB_DIR = "${SSTATE_DIR}"',
  // The server would wait a minute for the next command, and the tests' end would not find it gone.
  'BB_SERVER_TIMEOUT = "0"',
];

/** Where no distribution is chosen, its directory is tmp-glibc; later releases do not take the variable. */
const PLACES: Readonly<Record<string, readonly string[]>> = { scarthgap: ['TCLIBCAPPEND = ""'] };

/** What do_patch of other recipes than ours depends on. */
export const NO_QUILT = 'ASSUME_PROVIDED += "quilt-native"';

/** Recipes that neither ours nor `world` of a test ask for: parsing takes minutes with them. */
export const FEW_RECIPES = 'BBMASK = "/meta/recipes-(?!core/meta/)"';
/** Node.js and skopeo of this machine, as docs/yocto.md says it. */
export const HOST_PROGRAMS = 'HOSTTOOLS += "node skopeo"';

/** Places that builds share, as machines of a farm do. */
export interface Shared {
  readonly downloads: string;
  readonly sstate: string;
}

export interface BuildOptions {
  readonly user: User;
  readonly trees: Trees;
  /** Build directory; made. */
  readonly dir: string;
  readonly layers: readonly string[];
  readonly shared: Shared;
  /** Lines of conf/local.conf. */
  readonly conf?: readonly string[];
}

/** A build directory, with what one user runs in it. */
export interface Build {
  readonly dir: string;
  /** Where do_deploy puts things. */
  readonly images: string;
  /** Replaces these lines of conf/local.conf. */
  configure(...lines: string[]): void;
  /** A program of bitbake's or openembedded-core's, whatever becomes of it; all that it says is its standard output. */
  run(command: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** bitbake, which has to succeed. Returns what it said. */
  bitbake(...args: string[]): Promise<string>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the command, as root. */
  readonly under?: readonly string[];
  readonly deadline?: number;
}

/** bitbake refuses root, and writes beside its own files. */
export async function builder(owner: Owner, trees: Trees): Promise<{ user: User; trees: Trees }> {
  const user = await unprivilegedUser(owner);
  const bitbake = join(user.home, 'bitbake');
  cpSync(trees.bitbake, bitbake, { recursive: true });
  await own(user, bitbake);
  return { user, trees: { ...trees, bitbake } };
}

export async function own(user: User, ...paths: string[]): Promise<void> {
  await mustAsRoot('chown', ['-R', `${user.uid}:${user.gid}`, ...paths]);
}

/** stowage's own tree as a release archive has it: the layer, and the compiled program beside it. */
export function copyLayer(dir: string): string {
  const layer = join(dir, 'meta-stowage');
  cpSync(LAYER, layer, {
    recursive: true,
    filter: (name) => !name.endsWith('__pycache__') && !name.endsWith('-pins.json'),
  });
  mkdirSync(join(dir, 'dist'), { recursive: true });
  copyFileSync(STOWAGE, join(dir, 'dist', 'stowage.mjs'));
  return layer;
}

/** Directories that every user of the test may write to. */
export function sharedPlaces(dir: string): Shared {
  const [downloads, sstate] = [join(dir, 'downloads'), join(dir, 'sstate')];
  for (const place of [downloads, sstate]) {
    mkdirSync(place, { recursive: true });
    chmodSync(place, 0o777);
  }
  return { downloads, sstate };
}

export async function buildDirectory(owner: Owner, options: BuildOptions): Promise<Build> {
  const { dir, trees, user, shared } = options;
  const base = [
    'MACHINE ?= "qemux86-64"',
    `DL_DIR = "${shared.downloads}"`,
    `SSTATE_DIR = "${shared.sstate}"`,
    ...NO_INTERNET,
    ...(PLACES[seriesOf(trees.core)] ?? []),
    ...(options.conf ?? []),
  ];
  mkdirSync(join(dir, 'conf'), { recursive: true });
  const configure = (...lines: string[]): void => {
    writeFileSync(join(dir, 'conf/local.conf'), [...base, ...lines, ''].join('\n'));
  };
  configure();
  const layers = [join(trees.core, 'meta'), ...options.layers];
  writeFileSync(
    join(dir, 'conf/bblayers.conf'),
    `LCONF_VERSION = "7"\nBBPATH = "\${TOPDIR}"\nBBFILES ?= ""\nBBLAYERS = "${layers.join(' ')}"\n`,
  );
  writeFileSync(
    join(dir, 'conf/templateconf.cfg'),
    join(trees.core, 'meta/conf/templates/default'),
  );
  await own(user, dir);
  // Whoever runs the tests goes on writing the configuration.
  await mustAsRoot('chmod', ['-R', 'a+rwX', join(dir, 'conf')]);
  const runHere = async (
    command: readonly string[],
    { env = {}, under = [], deadline = 600_000 }: RunOptions = {},
  ): Promise<Outcome> => {
    const environment = {
      PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
      HOME: user.home,
      USER: user.name,
      LANG: LOCALE,
      LC_ALL: LOCALE,
      BITBAKEDIR: trees.bitbake,
      ...env,
    };
    const script = '. "$0/oe-init-build-env" "$1" >/dev/null && shift && exec "$@" 2>&1';
    const ids = ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups'];
    return run(
      ...asRoot('nice', [
        ...under,
        ...['setpriv', ...ids, '--', 'env', '-i'],
        ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
        ...['bash', '-c', script, trees.core, dir, ...command],
      ]),
      { deadline },
    );
  };
  // A command that was killed leaves its server; it goes by the lock file's content alone.
  atEnd(owner, async () => {
    await runHere(['bitbake', '-m']);
    await nothingRuns(user);
  });
  return {
    dir,
    images: join(dir, 'tmp/deploy/images/qemux86-64'),
    configure,
    run: runHere,
    bitbake: async (...args) => {
      const outcome = await runHere(['bitbake', ...args]);
      if (outcome.code !== 0)
        throw new Error(`bitbake ${args.join(' ')}:\n${outcome.stdout}${outcome.stderr}`);
      return outcome.stdout;
    },
  };
}

/** The server answers before it has ended, and its user can't be removed until then. */
async function nothingRuns({ uid }: User): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const { code } = await run('pgrep', ['--uid', String(uid)]);
    if (code === 1) return;
    await sleep(100);
  }
}

/** The tasks that bitbake ran, `recipe task`, in their order. */
export function tasksRun(said: string): string[] {
  const tasks = said.matchAll(/^NOTE: recipe (\S+)-[^-]+-r\d+: task (\w+): Succeeded$/gmu);
  return [...tasks].map((match) => `${match[1] ?? ''} ${match[2] ?? ''}`);
}

/** A directory of the test that every user may enter. */
export function testDirectory(owner: Owner): string {
  return temporaryTree(owner);
}

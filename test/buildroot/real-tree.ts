import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { test, type TestContext } from 'node:test';
import { asRoot, PATH_WITH_SBIN, run, type Outcome } from '../rig/process.ts';
import { skip } from '../rig/skip.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import type { User } from '../rig/unprivileged-user.ts';
import { copyExternalTree } from './external-tree.ts';
import { tarOfToday } from './tar-of-today.ts';

/** In a real Buildroot: BUILDROOT_DIR is a checkout of it, in which nothing is written. */
const BUILDROOT = process.env['BUILDROOT_DIR'];
/** A board's step without network, on a machine whose loopback is up in no other name space either. */
export const NO_NETWORK = ['unshare', '--net'];

export function realTest(
  name: string,
  body: (t: TestContext, buildroot: string) => Promise<void>,
): void {
  test(`real Buildroot: ${name}`, async (t) => {
    if (BUILDROOT === undefined) skip(t, 'BUILDROOT_DIR');
    else await body(t, resolve(BUILDROOT));
  });
}

export interface Board {
  readonly external: string;
  readonly out: string;
  readonly log: string;
  /** Each call reads all of Buildroot's packages, seconds of work, unless it only configures. */
  make(targets: readonly string[], options?: MakeOptions): Promise<Outcome>;
}

interface MakeOptions {
  /** Who calls make, with an output and a download directory at home. */
  readonly user?: User;
  readonly env?: Readonly<Record<string, string>>;
  /** Put before `make`, and everything then runs as root. */
  readonly under?: readonly string[];
}

export async function board(t: TestContext, buildroot: string, helper: string): Promise<Board> {
  const dir = temporaryTree(t);
  const external = copyExternalTree(join(dir, 'external'), helper);
  const [out, downloads, log] = [join(dir, 'out'), join(dir, 'dl'), join(dir, 'calls.log')];
  mkdirSync(out);
  const tar = await tarOfToday(dir);
  return {
    external,
    out,
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

export async function made(
  b: Board,
  targets: readonly string[],
  options?: MakeOptions,
): Promise<string> {
  const outcome = await b.make(targets, options);
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome.stdout;
}

export async function configured(b: Board, ...lines: readonly string[]): Promise<void> {
  writeFileSync(join(b.out, '.config'), `${lines.join('\n')}\n`);
  await made(b, ['olddefconfig']);
}

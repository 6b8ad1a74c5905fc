import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { run, type Outcome } from '../rig/process.ts';
import { temporaryTree } from '../rig/temporary-tree.ts';
import { configure, copyExternalTree, readCalls, STAND_IN, type Call } from './external-tree.ts';

/** The real .mk files, under the stand-in for Buildroot's infrastructure, with the stand-in for stowage. */
export interface Tree {
  readonly external: string;
  readonly out: string;
  readonly downloads: string;
  make(targets: readonly string[], env?: Readonly<Record<string, string>>): Promise<Outcome>;
  calls(): Call[];
}

export const BOARD = ['BR2_aarch64=y', 'BR2_PACKAGE_STOWAGE_DATA=y'];
const HELPER = join(STAND_IN, 'stowage.mjs');

export async function tree(
  t: TestContext,
  lines: readonly string[],
  helper = HELPER,
): Promise<Tree> {
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

export async function made(t: Tree, ...targets: string[]): Promise<string> {
  const outcome = await t.make(targets);
  assert.equal(outcome.code, 0, outcome.stderr + outcome.stdout);
  return outcome.stdout;
}

/** Named by the shipped bundle and by where it is. */
export function defaultPins(board: Tree): string {
  const bundle = join(board.external, 'buildroot-external/bundles/home-assistant.yaml');
  return join(board.downloads, 'stowage-data', `home-assistant-${hashed(bundle)}.pins.json`);
}

export function hashed(...bundles: readonly string[]): string {
  const lines = bundles.map((bundle) => `${bundle}\n`).join('');
  return createHash('sha256').update(lines).digest('hex').slice(0, 8);
}

export function commandLine({ command, args }: Call): Pick<Call, 'command' | 'args'> {
  return { command, args };
}

/** Makes an empty file for a path that a configuration names. */
export function placed(path: string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  return path;
}

import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { collect, PATH_WITH_SBIN, type Outcome } from './process.ts';
import { engineEnvironment } from './dind-image.ts';
import type { OuterEngine } from './engine.ts';
import type { User } from './unprivileged-user.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The command line as users have it: one bundled file. */
export const STOWAGE = join(ROOT, 'dist', 'stowage.mjs');

export interface StowageOptions {
  /** Added to the scrubbed environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Runs as this user, with no rights of ours left. */
  readonly user?: User;
  /** Sets DOCKER_HOST. Without it none answers, whatever this machine runs. */
  readonly engine?: OuterEngine;
  readonly input?: string;
  /** Milliseconds until it is killed and the test fails. Default five minutes. */
  readonly deadline?: number;
}

/** A stowage that runs. */
export interface Running {
  readonly pid: number;
  readonly ended: Promise<Outcome>;
  /** To the process alone, as `kill PID` does. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves once standard error has matched; fails if it ends without. */
  said(pattern: RegExp): Promise<void>;
}

/** Runs stowage to its end; what it said is printed if the test fails. */
export async function runStowage(
  t: TestContext,
  args: readonly string[],
  options: StowageOptions = {},
): Promise<Outcome> {
  return startStowage(t, args, options).ended;
}

export function startStowage(
  t: TestContext,
  args: readonly string[],
  options: StowageOptions = {},
): Running {
  if (!existsSync(STOWAGE)) throw new Error('dist/stowage.mjs is missing: run `make build`');
  const [program, argv] = commandFor(options.user, args);
  const child = spawn(program, argv, {
    cwd: options.cwd ?? options.user?.home ?? ROOT,
    env: environmentFor(options),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  const deadline = options.deadline ?? 300_000;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, deadline);
  const ended = collect(child).then((outcome) => {
    clearTimeout(timer);
    dumpOnFailure(t, args, outcome);
    if (late) throw new Error(`stowage ${args.join(' ')} did not end within ${deadline} ms`);
    return outcome;
  });
  // A test that waits for something else first must not die of this as an unhandled rejection.
  ended.catch(() => undefined);
  return {
    pid: child.pid ?? -1,
    ended,
    kill: (signal) => void child.kill(signal),
    said: (pattern) => waitForOutput(child, () => stderr, pattern),
  };
}

/** With nothing of ours in it that could change what stowage does. */
function environmentFor(options: StowageOptions): NodeJS.ProcessEnv {
  const home = options.user?.home ?? join(ROOT, 'build', 'home');
  if (options.user === undefined) mkdirSync(home, { recursive: true });
  const environment: NodeJS.ProcessEnv = {
    PATH: PATH_WITH_SBIN,
    HOME: home,
    LC_ALL: 'C',
    ...(options.engine?.environment ?? {
      DOCKER_HOST: options.engine?.host ?? 'unix:///nonexistent/docker.sock',
    }),
    ...engineEnvironment(),
    ...options.env,
  };
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined));
}

function commandFor(user: User | undefined, args: readonly string[]): [string, string[]] {
  if (user === undefined) return [process.execPath, [STOWAGE, ...args]];
  // The checkout may lie where only its owner can read.
  const copy = join(user.home, 'stowage.mjs');
  copyFileSync(STOWAGE, copy);
  const program = [process.execPath, copy, ...args];
  if (process.getuid?.() !== 0) return ['sudo', ['-E', '-u', user.name, '--', ...program]];
  const ids = ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups'];
  return ['setpriv', [...ids, '--', ...program]];
}

/** `t.after` runs before the outcome is known to others, so look at the end of the test itself. */
function dumpOnFailure(t: TestContext, args: readonly string[], outcome: Outcome): void {
  t.after((context) => {
    const failed = 'passed' in context && context.passed === false;
    if (!failed && process.env['STOWAGE_TEST_LOG'] !== '1') return;
    process.stderr.write(
      `--- stowage ${args.join(' ')}\n--- ended with ${outcome.signal ?? outcome.code}\n${outcome.stdout}${outcome.stderr}---\n`,
    );
  });
}

function waitForOutput(child: ChildProcess, text: () => string, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (!pattern.test(text())) return;
      child.stderr?.off('data', look);
      resolve();
    };
    child.stderr?.on('data', look);
    child.once('close', () => {
      if (pattern.test(text())) resolve();
      else reject(new Error(`stowage ended and never said ${pattern}:\n${text()}`));
    });
    look();
  });
}

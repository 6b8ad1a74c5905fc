import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** Programs that the rig runs. Its own, and not src/tools', because the rig judges that code. */
export interface Outcome {
  /** -1 where a signal ended it. */
  readonly code: number;
  readonly signal?: NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** Milliseconds; after it the program is killed and `run` throws. Default two minutes. */
  readonly deadline?: number;
}

const DEADLINE = 120_000;

/** Debian's daemons and file system programs live here, which is not on an ordinary user's PATH. */
export const PATH_WITH_SBIN = [process.env['PATH'] ?? '/usr/bin:/bin', '/usr/sbin', '/sbin'].join(
  ':',
);

/** Runs a program to its end, whatever that is. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(program, [...args], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env ?? { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C' },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.input);
  const outcome = collect(child);
  const deadline = options.deadline ?? DEADLINE;
  const late = new AbortController();
  const first = await Promise.race([
    outcome,
    sleep(deadline, 'late' as const, { signal: late.signal }).catch(() => 'late' as const),
  ]);
  late.abort();
  if (first !== 'late') return first;
  child.kill('SIGKILL');
  throw new Error(`${[program, ...args].join(' ')} did not end within ${deadline} ms`);
}

/** Runs a program that has to succeed, and returns its standard output. */
export async function must(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const outcome = await run(program, args, options);
  if (outcome.code !== 0)
    throw new Error(
      `${[program, ...args].join(' ')} ended with ${outcome.signal ?? outcome.code}:\n${outcome.stderr}${outcome.stdout}`,
    );
  return outcome.stdout;
}

/** Gathers what a child says; resolves when it ended and its pipes are closed. */
export function collect(child: ChildProcess): Promise<Outcome> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve({
        code: code ?? -1,
        ...(signal === null ? {} : { signal }),
        stdout: Buffer.concat(stdout).toString('utf8'),
        stderr: Buffer.concat(stderr).toString('utf8'),
      });
    });
  });
}

/** The same command for root: unchanged for root itself, through sudo for everybody else. */
export function asRoot(program: string, args: readonly string[]): [string, string[]] {
  return process.getuid?.() === 0 ? [program, [...args]] : ['sudo', ['--', program, ...args]];
}

/** `must` as root. */
export async function mustAsRoot(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return must(...asRoot(program, args), options);
}

/** Starts a daemon that gets SIGTERM when we die, however we die. `stop` waits for its end. */
export interface Daemon {
  readonly child: ChildProcess;
  /** Throws if it ended already: with its code. */
  assertAlive(): void;
  /** SIGTERM, then SIGKILL after `patience` milliseconds; does nothing once it ended. */
  stop(patience?: number): Promise<void>;
}

/** `pid` tells whom to signal where the child itself is sudo, which an ordinary user can't signal. */
export function startDaemon(
  program: string,
  args: readonly string[],
  options: SpawnOptions & { root?: boolean; pid?: () => number | undefined },
): Daemon {
  const root = options.root === true && process.getuid?.() !== 0;
  const held = ['setpriv', '--pdeathsig', 'TERM', '--', program, ...args];
  // sudo asks for a password on the terminal, so it stays in our session; what it starts gets its own,
  // out of reach of the terminal's Ctrl-C: we end it, in our order.
  const [file, ...argv] = root ? ['sudo', '--', 'setsid', '--wait', ...held] : held;
  const child = spawn(file ?? program, argv, {
    stdio: 'ignore',
    ...options,
    detached: !root,
    env: { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C', ...options.env },
  });
  let ended: string | undefined;
  const gone = new Promise<void>((resolve) => {
    const end = (why: string): void => {
      ended = why;
      resolve();
    };
    child.once('error', (error) => {
      end(error.message);
    });
    child.once('exit', (code, signal) => {
      end(`ended with ${signal ?? code ?? 'nothing'}`);
    });
  });
  const signal = async (name: 'TERM' | 'KILL'): Promise<void> => {
    const pid = options.pid?.() ?? child.pid;
    if (pid === undefined) return;
    if (root) await run('sudo', ['--', 'kill', `-${name}`, String(pid)]);
    else process.kill(pid, `SIG${name}`);
  };
  return {
    child,
    assertAlive: () => {
      if (ended !== undefined) throw new Error(`${program} ${ended}`);
    },
    stop: async (patience = 20_000) => {
      if (ended !== undefined) return;
      await signal('TERM').catch(() => undefined);
      const timer = setTimeout(() => void signal('KILL').catch(() => undefined), patience);
      await gone;
      clearTimeout(timer);
    },
  };
}

/** Tries until `ready` returns something else than undefined; throws after `deadline` milliseconds. */
export async function waitFor<T>(
  what: string,
  deadline: number,
  ready: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const until = Date.now() + deadline;
  for (;;) {
    const value = await ready();
    if (value !== undefined) return value;
    if (Date.now() > until) throw new Error(`${what}: not within ${deadline} ms`);
    await sleep(50);
  }
}

import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/** How external programs are run; the one place that starts any. */
export interface CommandOptions {
  /** Ends the program's whole process group: SIGTERM, and SIGKILL after `KILL_AFTER`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds after which the program is ended and the result is `deadline-passed`. */
  readonly deadline?: number | undefined;
  readonly cwd?: string | undefined;
  /** Added to the inherited environment; LC_ALL is always C, so that messages can be read. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly input?: string | Uint8Array | Readable | undefined;
  /** Each line on standard error as it comes. */
  readonly onErrorLine?: ((line: string) => void) | undefined;
  /**
   * Stays in our session and process group, where sudo finds the credentials that the terminal has given; a
   * Ctrl-C then reaches it as well.
   */
  readonly inOurSession?: boolean | undefined;
  /** The kernel kills the program when this process dies, however it dies (setpriv, where there is one). */
  readonly diesWithUs?: boolean | undefined;
}

/** Whole output as text: UTF-8, trailing newline kept. Standard error keeps its last 64 KiB. */
export interface CommandOutput {
  readonly stdout: string;
  readonly stderr: string;
}

export type CommandFailure =
  | { readonly reason: 'command-missing'; readonly tool: string }
  | {
      readonly reason: 'command-failed';
      readonly tool: string;
      readonly args: readonly string[];
      readonly exitCode?: number;
      readonly signal?: string;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly reason: 'deadline-passed'; readonly tool: string; readonly milliseconds: number }
  | { readonly reason: 'command-aborted'; readonly tool: string };

/** Milliseconds between SIGTERM and SIGKILL. */
const KILL_AFTER = 5_000;
const STDERR_KEPT = 64 * 1024;
const STDOUT_LIMIT = 256 * 1024 * 1024;

/** Runs a program to its end. Never a shell, never a string of arguments. */
export async function runCommand(
  tool: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Result<CommandOutput, CommandFailure>> {
  const chunks: Buffer[] = [];
  const result = await streamCommand(tool, args, options, async (stdout) => {
    let total = 0;
    for await (const chunk of stdout as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > STDOUT_LIMIT) throw new Error(`${tool} wrote more than ${STDOUT_LIMIT} bytes`);
      chunks.push(chunk);
    }
  });
  if (!result.ok) {
    if (result.failure.reason !== 'command-failed') return result;
    return fail({ ...result.failure, stdout: Buffer.concat(chunks).toString('utf8') });
  }
  return ok({ stdout: Buffer.concat(chunks).toString('utf8'), stderr: result.value.stderr });
}

/**
 * Runs a program whose standard output is read as it comes: `consume` gets the stream and must read it
 * to its end or throw; what it throws is thrown on, after the program was ended.
 */
export async function streamCommand(
  tool: string,
  args: readonly string[],
  options: CommandOptions,
  consume: (stdout: Readable) => Promise<void>,
): Promise<Result<{ readonly stderr: string }, CommandFailure>> {
  if (options.signal?.aborted === true) return fail({ reason: 'command-aborted', tool });
  const program = findProgram(tool);
  if (program === undefined) return fail({ reason: 'command-missing', tool });
  const setpriv = options.diesWithUs === true ? findProgram('setpriv') : undefined;
  const [file, argv] =
    setpriv === undefined
      ? [program, [...args]]
      : [setpriv, ['--pdeathsig', 'KILL', '--', program, ...args]];
  // Loaded when it is needed: what finds everything in the store starts no program, and is done sooner.
  const { execa } = await import('execa');
  const child = execa(file, argv, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...options.env, LC_ALL: 'C' },
    // A group of its own: a Ctrl-C on the terminal reaches us alone, and we end the whole group.
    detached: options.inOurSession !== true,
    cleanup: false,
    reject: false,
    buffer: false,
    encoding: 'buffer',
    stdin: options.input === undefined ? 'ignore' : 'pipe',
  });
  const target = child.pid === undefined || options.inOurSession === true ? child.pid : -child.pid;
  let ended: 'deadline' | 'abort' | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const end = (why: 'deadline' | 'abort'): void => {
    ended ??= why;
    kill(target, 'SIGTERM');
    killTimer ??= setTimeout(() => {
      kill(target, 'SIGKILL');
    }, KILL_AFTER);
  };
  const onAbort = (): void => {
    end('abort');
  };
  options.signal?.addEventListener('abort', onAbort, { once: true });
  const deadlineTimer =
    options.deadline === undefined
      ? undefined
      : setTimeout(() => {
          end('deadline');
        }, options.deadline);
  try {
    if (options.input !== undefined) feed(child.stdin as NodeJS.WritableStream, options.input);
    const stderr = collectErrors(child.stderr, options.onErrorLine);
    try {
      await consume(child.stdout);
    } catch (error) {
      end('abort');
      await child;
      throw error;
    }
    const result = await child;
    const errors = await stderr;
    if (ended === 'deadline')
      return fail({ reason: 'deadline-passed', tool, milliseconds: options.deadline ?? 0 });
    if (ended === 'abort') return fail({ reason: 'command-aborted', tool });
    if (result.exitCode === 0) return ok({ stderr: errors });
    return fail({
      reason: 'command-failed',
      tool,
      args,
      ...(result.exitCode === undefined ? {} : { exitCode: result.exitCode }),
      ...(result.signal === undefined ? {} : { signal: result.signal }),
      stdout: '',
      stderr: errors,
    });
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
    clearTimeout(deadlineTimer);
    clearTimeout(killTimer);
  }
}

/** Where Debian has e2fsprogs, and an ordinary user's PATH does not look. */
const ASIDE = ['/usr/sbin', '/sbin', '/usr/local/sbin'];

/** Where `tool` is on PATH, or beside it, or undefined. A name with a slash is taken as it is. */
export function findProgram(tool: string): string | undefined {
  if (tool.includes('/')) return isExecutable(tool) ? tool : undefined;
  // eslint-disable-next-line no-restricted-properties -- the very PATH that the program is started with
  const path = (process.env['PATH'] ?? '/usr/bin:/bin').split(delimiter);
  for (const dir of [...path, ...ASIDE]) {
    const candidate = join(dir, tool);
    if (dir !== '' && isExecutable(candidate)) return candidate;
  }
  return undefined;
}

/** Debian's packages of the programs that stowage runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  skopeo: 'skopeo',
  docker: 'docker.io',
  podman: 'podman',
  sudo: 'sudo',
  mke2fs: 'e2fsprogs',
  e2fsck: 'e2fsprogs',
  resize2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  dumpe2fs: 'e2fsprogs',
  mount: 'mount',
  umount: 'mount',
};

/** The project's failure for a command's, where nothing more is known of it. `doing` is a phrase: `making the file system`. */
export function commandFailure(failure: CommandFailure, doing: string): Failure {
  switch (failure.reason) {
    case 'command-missing':
      return {
        reason: 'tool-missing',
        tool: failure.tool,
        package: PACKAGES[failure.tool] ?? failure.tool,
      };
    case 'command-failed':
      return {
        reason: 'tool-failed',
        tool: failure.tool,
        doing,
        ...(failure.exitCode === undefined ? {} : { exitCode: failure.exitCode }),
        detail:
          lastLines(failure.stderr === '' ? failure.stdout : failure.stderr, 5) ||
          (failure.signal === undefined ? 'it did not say why' : `${failure.signal} ended it`),
      };
    case 'deadline-passed':
      return {
        reason: 'tool-failed',
        tool: failure.tool,
        doing,
        detail: `it did not end within ${Math.round(failure.milliseconds / 1000)} s`,
      };
    case 'command-aborted':
      return { reason: 'interrupted', signal: 'SIGTERM' };
  }
}

/** The last `count` lines with content, joined by newlines. */
export function lastLines(text: string, count: number): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .slice(-count)
    .join('\n');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `target` as kill(2) takes it: a process, or a group as a negative number. */
function kill(target: number | undefined, signal: NodeJS.Signals): void {
  if (target === undefined) return;
  try {
    process.kill(target, signal);
  } catch {
    // It is gone already.
  }
}

function feed(stdin: NodeJS.WritableStream, input: string | Uint8Array | Readable): void {
  // The program may end without reading all of it; its exit code tells what that means.
  stdin.on('error', () => undefined);
  if (typeof input === 'string' || input instanceof Uint8Array) stdin.end(input);
  else {
    input.on('error', () => {
      stdin.end();
    });
    input.pipe(stdin);
  }
}

async function collectErrors(
  stream: Readable,
  onLine: ((line: string) => void) | undefined,
): Promise<string> {
  let text = '';
  let partial = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    text = (text + chunk).slice(-STDERR_KEPT);
    if (onLine === undefined) continue;
    const lines = (partial + chunk).split('\n');
    partial = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  }
  if (partial !== '') onLine?.(partial);
  return text;
}

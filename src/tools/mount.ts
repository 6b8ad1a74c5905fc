import { readFile, realpath } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { CommandFailure, CommandOutput } from './run-command.ts';
import { commandFailure, findProgram, lastLines, runCommand } from './run-command.ts';

/**
 * The only two commands that stowage ever runs as root (docs/security.md lists them as sudoers lines: a
 * change here is a change there).
 */

/** Set-user-ID files and devices are content on the builder, never to be used there. */
const MOUNT_OPTIONS = 'loop,nosuid,nodev,noexec';
const MOUNT_DEADLINE = 60_000;
const UNMOUNT_ATTEMPTS = 20;
/** Milliseconds. */
const UNMOUNT_PAUSE = 250;

/** A command that is run as root, and the arguments that sudoers(5) has to allow for it, as a regular expression. */
export interface RootCommand {
  readonly tool: 'mount' | 'umount';
  readonly args: readonly string[];
  readonly rule: string;
}

/** Both commands, for an output `data.ext4` in `directory`. */
export function rootCommands(directory: string): readonly RootCommand[] {
  const work = `${directory}/.data.ext4.stowage`;
  const options = MOUNT_OPTIONS.replaceAll(',', '\\,');
  return [
    {
      tool: 'mount',
      args: mountArguments(`${work}/data.ext4`, `${work}/mnt`),
      rule: `^-t ext4 -o ${options} /[^ ]+\\.stowage/data\\.ext4 /[^ ]+\\.stowage/mnt$`,
    },
    { tool: 'umount', args: [`${work}/mnt`], rule: '^/[^ ]+\\.stowage/mnt$' },
  ];
}

function mountArguments(image: string, directory: string): string[] {
  return ['-t', 'ext4', '-o', MOUNT_OPTIONS, image, directory];
}

/** Mounts the ext4 image through a loop device that goes away with the mount. */
export async function mountImage(
  image: string,
  directory: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const mounted = await asRoot('mount', mountArguments(image, directory), signal);
  if (mounted.ok) return ok();
  const failure = mounted.failure;
  if (failure.reason === 'command-failed') {
    if (/loop device|losetup|could not find any/i.test(failure.stderr))
      return fail({
        reason: 'machine-lacks',
        what: `a free loop device (mount said: ${lastLines(failure.stderr, 1)})`,
        remedy: 'sudo modprobe loop',
      });
    if (/unknown filesystem type/.test(failure.stderr))
      return fail({
        reason: 'machine-lacks',
        what: 'ext4 in its kernel',
        remedy: 'sudo modprobe ext4',
      });
  }
  return fail(rootFailure(failure, 'mounting the data image'));
}

/** Unmounts, and looks whether it is true. Not being mounted is success. */
export async function unmountImage(directory: string): Promise<Result<void>> {
  const doing = 'unmounting the data image';
  for (let attempt = 1; await isMounted(directory); attempt++) {
    // No signal: a clean-up is not interrupted.
    const unmounted = await asRoot('umount', [directory]);
    if (!(await isMounted(directory))) break;
    // Indexers and the like look into what has just been mounted, and soon lose interest.
    const busy =
      unmounted.ok ||
      (unmounted.failure.reason === 'command-failed' && /busy/.test(unmounted.failure.stderr));
    if (busy && attempt < UNMOUNT_ATTEMPTS) {
      await sleep(UNMOUNT_PAUSE);
      continue;
    }
    if (!unmounted.ok) return fail(rootFailure(unmounted.failure, doing));
    return fail({
      reason: 'tool-failed',
      tool: 'umount',
      doing,
      detail: `${directory} is still mounted`,
    });
  }
  return ok();
}

export async function isMounted(directory: string): Promise<boolean> {
  // The kernel lists real paths; a directory that is not there has nothing mounted on it.
  const real = await realpath(directory).catch(() => undefined);
  return real !== undefined && (await mountPoints()).includes(real);
}

/** Every mount point of this process's mount name space, unescaped: proc(5), /proc/pid/mountinfo. */
export async function mountPoints(): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) =>
      (line.split(' ')[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(parseInt(octal, 8)),
      ),
    );
}

/** True where `mount` and `umount` are run without sudo. */
export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

async function asRoot(
  tool: 'mount' | 'umount',
  args: readonly string[],
  signal?: AbortSignal,
): Promise<Result<CommandOutput, CommandFailure>> {
  const options = { signal, deadline: MOUNT_DEADLINE, inOurSession: true };
  if (isRoot()) return runCommand(tool, args, options);
  const path = findProgram(tool);
  if (path === undefined) return fail({ reason: 'command-missing', tool });
  // -n: a release build must fail and say so, not sit at a password prompt that nobody sees.
  return runCommand('sudo', ['-n', path, ...args], options);
}

function rootFailure(failure: CommandFailure, doing: string): Failure {
  if (
    failure.reason === 'command-failed' &&
    failure.tool === 'sudo' &&
    /^sudo: |not in the sudoers|not allowed to (execute|run)/m.test(failure.stderr)
  )
    return {
      reason: 'privilege-refused',
      command: failure.args.slice(1).join(' '),
      detail: lastLines(failure.stderr, 2),
    };
  return commandFailure(failure, doing);
}

import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { CommandFailure, CommandOutput } from './run-command.ts';
import { usersBelow } from './file-users.ts';
import { commandFailure, findProgram, lastLines, runCommand } from './run-command.ts';

/**
 * The only commands that stowage ever runs as root (docs/security.md lists them as sudoers lines: a change here is a
 * change there).
 */

/**
 * Set-user-ID files and devices are content on the builder, never to be used there. No barriers: the image gets its
 * name only after a sync of the whole, so no step on the way has to wait for the disk.
 */
const MOUNT_OPTIONS = 'loop,nosuid,nodev,noexec,nobarrier';
const MOUNT_DEADLINE = 60_000;
const UNMOUNT_ATTEMPTS = 20;
/** Milliseconds. */
const UNMOUNT_PAUSE = 250;
const SHORT_PAUSE = 20;

/** A command that is run as root, and the arguments that sudoers(5) has to allow for it, as a regular expression. */
export interface RootCommand {
  readonly tool: 'mount' | 'umount';
  /** What tells it from the others. */
  readonly name: string;
  readonly args: readonly string[];
  readonly rule: string;
}

/** All of them, for an output `data.ext4` in `directory`. */
export function rootCommands(directory: string): readonly RootCommand[] {
  const work = `${directory}/.data.ext4.stowage`;
  const options = MOUNT_OPTIONS.replaceAll(',', '\\,');
  return [
    {
      tool: 'mount',
      name: 'mount --bind',
      args: shareArguments(`${work}/mnt`),
      rule: '^--bind --make-private --make-shared /[^ ]+\\.stowage/mnt /[^ ]+\\.stowage/mnt$',
    },
    {
      tool: 'mount',
      name: 'mount -t ext4',
      args: mountArguments(`${work}/data.ext4`, `${work}/mnt/data`),
      rule: `^-t ext4 -o ${options} /[^ ]+\\.stowage/data\\.ext4 /[^ ]+\\.stowage/mnt/data$`,
    },
    {
      tool: 'mount',
      name: 'mount --make-private',
      args: shareAnewArguments(`${work}/mnt`),
      rule: '^--make-private --make-shared /[^ ]+\\.stowage/mnt$',
    },
    {
      tool: 'umount',
      name: 'umount',
      args: [`${work}/mnt`],
      rule: '^/[^ ]+\\.stowage/mnt(/data)?$',
    },
  ];
}

function mountArguments(image: string, directory: string): string[] {
  return ['-t', 'ext4', '-o', MOUNT_OPTIONS, image, directory];
}

function shareArguments(directory: string): string[] {
  return ['--bind', '--make-private', '--make-shared', directory, directory];
}

/**
 * Makes a directory a mount of itself, so that a container that sees it also sees what is mounted below it later. Its own
 * alone: where all mounts are shared, as systemd has it, it would else be one more of the file system it lies in.
 */
export async function shareMounts(directory: string, signal?: AbortSignal): Promise<Result<void>> {
  const shared = await asRoot('mount', shareArguments(directory), signal);
  return shared.ok ? ok() : fail(rootFailure(shared.failure, 'mounting the data image'));
}

function shareAnewArguments(directory: string): string[] {
  return ['--make-private', '--make-shared', directory];
}

/**
 * Ends that, and begins it with others: who has seen a mount keeps it, and can be in the way of no unmounting here. A
 * mount name space that somebody makes from now on, as systemd does for services, lets go of what is unmounted here.
 */
export async function shareMountsAnew(
  directory: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const shared = await asRoot('mount', shareAnewArguments(directory), signal);
  return shared.ok ? ok() : fail(rootFailure(shared.failure, 'mounting the data image'));
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
    // Where there is no such device at all, mount only says that it may not.
    const noLoops = !existsSync('/dev/loop-control');
    if (noLoops || /loop device|losetup|could not find any/i.test(failure.stderr))
      return fail({
        reason: 'machine-lacks',
        what: `a free loop device (mount said: ${lastLines(failure.stderr, 1)})`,
        remedy:
          'sudo modprobe loop; in a container, hand in /dev/loop-control and the loop devices of its host',
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

/**
 * Unmounts, and looks whether it is true: the loop device must be gone too, as it stays for as long as any other
 * mount name space has the file system, which the kernel may then still write to. Not being mounted is success.
 */
export async function unmountImage(directory: string): Promise<Result<void>> {
  const doing = 'unmounting the data image';
  const before = await loopDeviceOf(directory);
  for (let attempt = 1; await isMounted(directory); attempt++) {
    // No signal: a clean-up is not interrupted.
    const unmounted = await asRoot('umount', [directory]);
    if (!(await isMounted(directory))) break;
    if (attempt < UNMOUNT_ATTEMPTS && mayYetWork(unmounted)) {
      await sleep(UNMOUNT_PAUSE);
      continue;
    }
    const users = await usersBelow(directory);
    if (users.length > 0) return fail({ reason: 'mount-busy', directory, by: users });
    if (!unmounted.ok) return fail(rootFailure(unmounted.failure, doing));
    return fail({
      reason: 'tool-failed',
      tool: 'umount',
      doing,
      detail: `${directory} is still mounted`,
    });
  }
  if (before === undefined) return ok();
  for (let attempt = 1; (await backingFile(before.device)) === before.file; attempt++) {
    if (attempt === UNMOUNT_ATTEMPTS)
      return fail({
        reason: 'mount-busy',
        directory,
        by: [`a copy of the mount in another mount name space (it keeps /dev/${before.device})`],
      });
    await sleep(attempt === 1 ? SHORT_PAUSE : UNMOUNT_PAUSE);
  }
  return ok();
}

/** Indexers and the like look into what has just been mounted, and soon lose interest; a Ctrl-C ends umount. */
function mayYetWork(unmounted: Result<CommandOutput, CommandFailure>): boolean {
  if (unmounted.ok) return true;
  const { failure } = unmounted;
  return (
    failure.reason === 'command-failed' &&
    (failure.signal !== undefined || /busy/.test(failure.stderr))
  );
}

/** The loop device below a mount point, and the file behind it as the kernel calls it. */
async function loopDeviceOf(
  directory: string,
): Promise<{ readonly device: string; readonly file: string } | undefined> {
  const real = await realpath(directory).catch(() => undefined);
  const mount = (await mounts()).find(({ point }) => point === real);
  const device = /^\/dev\/(loop\d+)$/.exec(mount?.source ?? '')?.[1];
  const file = device === undefined ? undefined : await backingFile(device);
  return device === undefined || file === undefined ? undefined : { device, file };
}

/** Undefined where the device has none. */
async function backingFile(device: string): Promise<string | undefined> {
  return readFile(`/sys/block/${device}/loop/backing_file`, 'utf8').catch(() => undefined);
}

export async function isMounted(directory: string): Promise<boolean> {
  // The kernel lists real paths; a directory that is not there has nothing mounted on it.
  const real = await realpath(directory).catch(() => undefined);
  return real !== undefined && (await mountPoints()).includes(real);
}

/** Every mount point of this process's mount name space. */
export async function mountPoints(): Promise<string[]> {
  return (await mounts()).map(({ point }) => point);
}

/** Unescaped: proc(5), /proc/pid/mountinfo, where a lone hyphen precedes type and source. */
async function mounts(): Promise<{ readonly point: string; readonly source: string }[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8');
  const plain = (field = ''): string =>
    field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      return { point: plain(fields[4]), source: plain(fields[fields.indexOf('-', 6) + 2]) };
    });
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

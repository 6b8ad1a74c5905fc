import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where the kernel tells; another place in tests. */
export interface KernelViews {
  readonly proc: string;
  readonly sys: string;
}

const KERNEL: KernelViews = { proc: '/proc', sys: '/sys' };

/** Milliseconds. */
interface Patience {
  readonly whole: number;
  readonly pause: number;
}

const PATIENCE: Patience = { whole: 2000, pause: 50 };

/**
 * Who uses `file` as a disk: each loop device on it and where that is mounted, as phrases such as
 * `/dev/loop3, mounted on /mnt/data`. Empty where nobody does, and where the file is not there. A mount in
 * another mount name space shows as its loop device alone; so does, for a moment, one that has just been ended while
 * the kernel or udev was still at the device, which is waited for.
 */
export async function usersOf(
  file: string,
  kernel: KernelViews = KERNEL,
  patience: Patience = PATIENCE,
): Promise<string[]> {
  const until = Date.now() + patience.whole;
  for (;;) {
    const users = await usersNow(file, kernel);
    const isMounted = users.some((user) => user.places.length > 0);
    if (users.length === 0 || isMounted || Date.now() > until)
      return users.map(({ device, places }) =>
        [device, ...(places.length > 0 ? [`mounted on ${places.join(', ')}`] : [])]
          .filter((part) => part !== undefined)
          .join(', '),
      );
    await sleep(patience.pause);
  }
}

interface User {
  /** Of a loop device. */
  readonly device?: string;
  /** Where it is mounted. */
  readonly places: readonly string[];
}

async function usersNow(file: string, kernel: KernelViews): Promise<User[]> {
  const target = await identify(file);
  if (target === undefined) return [];
  const mounts = await readMounts(kernel);
  const users: User[] = [];
  for (const loop of await loopDevices(kernel)) {
    const backing = await readText(join(kernel.sys, 'block', loop, 'loop', 'backing_file'));
    if (backing === undefined || !(await isSame(target, backing.replace(/\n$/, '')))) continue;
    const number = (await readText(join(kernel.sys, 'block', loop, 'dev')))?.trim();
    const places = mounts
      .filter((mount) => mount.source === `/dev/${loop}` || mount.device === number)
      .map((mount) => mount.point);
    users.push({ device: `/dev/${loop}`, places });
  }
  // fuse2fs and its like name the file itself.
  for (const mount of mounts)
    if (mount.source.startsWith('/') && mount.source === target.path)
      users.push({ places: [mount.point] });
  return users;
}

interface Identity {
  readonly path: string;
  readonly dev: number;
  readonly ino: number;
}

async function identify(file: string): Promise<Identity | undefined> {
  try {
    const path = await realpath(file);
    const { dev, ino } = await stat(path);
    return { path, dev, ino };
  } catch {
    return undefined;
  }
}

/** By inode too: the kernel names the file as it was called when the device was made. */
async function isSame(target: Identity, backing: string): Promise<boolean> {
  if (backing === target.path) return true;
  const other = await identify(backing);
  return other !== undefined && other.dev === target.dev && other.ino === target.ino;
}

async function loopDevices(kernel: KernelViews): Promise<string[]> {
  try {
    const names = await readdir(join(kernel.sys, 'block'));
    return names.filter((name) => /^loop\d+$/.test(name)).sort();
  } catch {
    return [];
  }
}

interface Mount {
  readonly device: string;
  readonly point: string;
  readonly source: string;
}

/** proc(5), /proc/pid/mountinfo: optional fields end with a lone hyphen. */
async function readMounts(kernel: KernelViews): Promise<Mount[]> {
  const table = (await readText(join(kernel.proc, 'self', 'mountinfo'))) ?? '';
  return table.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const end = fields.indexOf('-', 6);
    const [device, point, source] = [fields[2], fields[4], fields[end + 2]];
    if (end < 0 || device === undefined || point === undefined || source === undefined) return [];
    return [{ device, point: unescapeMount(point), source: unescapeMount(source) }];
  });
}

function unescapeMount(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

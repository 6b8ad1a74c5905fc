import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Owner } from './owner.ts';
import { asRoot, must, run } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

export interface GuestOptions {
  /** Of the memory that it takes from this machine; default 256M. */
  readonly memory?: string;
  /** Its vec0 is this tap device of this network namespace, ip-netns(8). */
  readonly network?: { readonly namespace: string; readonly tap: string };
  /** Milliseconds; default two minutes. */
  readonly deadline?: number;
}

/**
 * Runs a shell script as root of a Linux kernel that is an ordinary process (Debian's user-mode-linux, 41 MB, kept in
 * build/user-mode-linux/): there it may do what the kernel of this machine refuses. It sees this machine's files and
 * may change none; `images` are its /dev/ubda, /dev/ubdb and so on. Throws unless the script succeeds. Returns what
 * the console shows.
 */
export async function inUserModeLinux(
  owner: Owner,
  images: readonly string[],
  script: string,
  { memory = '256M', network, deadline = 120_000 }: GuestOptions = {},
): Promise<string> {
  const kernel = join(await userModeLinux(), 'usr', 'bin', 'linux.uml');
  const init = join(temporaryTree(owner), 'init');
  await writeFile(init, `${PROLOGUE}\n(${script})\n${EPILOGUE}\n`);
  await chmod(init, 0o755);
  const disks = images.map((image, i) => `ubd${'abcdefgh'[i] ?? ''}=${image}`);
  const boot = [
    ...[`mem=${memory}`, 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro'],
    ...[...disks, `init=${init}`, 'con=null', 'con0=fd:0,fd:1'],
  ];
  const [program, args] =
    network === undefined
      ? ([kernel, boot] as const)
      : asRoot('timeout', [
          // Its helpers go on when it is killed alone, and hold what it said open.
          ...['--signal=KILL', String(deadline / 1000)],
          ...['ip', 'netns', 'exec', network.namespace, kernel, ...boot],
          `vec0:transport=tap,ifname=${network.tap},gro=1`,
        ]);
  const { stdout } = await run(program, args, { deadline: deadline + 5_000 });
  if (!stdout.includes(DONE)) throw new Error(`user-mode Linux did not succeed:\n${stdout}`);
  return stdout;
}

const DONE = 'the script is done';
const PROLOGUE = String.raw`#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmpfs /mnt`;
const EPILOGUE = String.raw`[ $? = 0 ] && echo "${DONE}"
sync
poweroff -f`;

/** The package, unpacked: the kernel is usr/bin/linux.uml, its modules are in usr/lib/uml/modules. */
export async function userModeLinux(): Promise<string> {
  const parent = fileURLToPath(new URL('../../build/user-mode-linux', import.meta.url));
  const root = join(parent, 'root');
  if (existsSync(root)) return root;
  await must('mkdir', ['-p', parent]);
  const staging = await mkdtemp(`${root}.`);
  try {
    await must('apt-get', ['download', '-q', 'user-mode-linux'], { cwd: staging });
    const name = readdirSync(staging).find((file) => file.endsWith('.deb'));
    await must('dpkg-deb', ['--extract', name ?? '', 'root'], { cwd: staging });
    await rename(join(staging, 'root'), root).catch((error: unknown) => {
      // Another process was sooner, and its result will do.
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return root;
}

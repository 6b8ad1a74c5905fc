import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { atEnd, type Owner } from './owner.ts';
import { must, mustAsRoot } from './process.ts';
import { RUN_TAG } from './run-tag.ts';
import { userModeLinux } from './user-mode-linux.ts';

/** A network that only kernels of the test are on, and a registry: `address` of `namespace`. */
export interface GuestNetwork {
  readonly namespace: string;
  /** The bridge's, in a network of 24 bits. */
  readonly address: string;
  /** A tap device for each guest. */
  readonly taps: readonly string[];
}

const NET = '10.99.0';

export async function guestNetwork(owner: Owner, guests: number): Promise<GuestNetwork> {
  const namespace = `stw-${RUN_TAG}-${randomBytes(2).toString('hex')}`;
  await mustAsRoot('ip', ['netns', 'add', namespace]);
  // Its devices go with it.
  atEnd(owner, async () => {
    await mustAsRoot('ip', ['netns', 'del', namespace]);
  });
  const inside = (...args: readonly string[]): Promise<string> =>
    mustAsRoot('ip', ['-n', namespace, ...args]);
  await inside('link', 'add', 'br0', 'type', 'bridge');
  await inside('addr', 'add', `${NET}.1/24`, 'dev', 'br0');
  await inside('link', 'set', 'br0', 'up');
  const taps = Array.from({ length: guests }, (_, index) => `tap${index}`);
  for (const tap of taps) {
    await inside('tuntap', 'add', tap, 'mode', 'tap');
    await inside('link', 'set', tap, 'master', 'br0', 'up');
  }
  return { namespace, address: `${NET}.1`, taps };
}

/** Functions for scripts in user-mode Linux: the kernel's own NFS server and client, with Debian's programs. */
export interface NfsScripts {
  /** To begin with: `guest NAME NUMBER` gives the machine a name and an address. */
  readonly prologue: string;
  /** `serve` exports /dev/ubda, mounted at /mnt/export, by NFS 4.2. */
  readonly server: string;
  /** `join_server NUMBER` mounts that at /mnt/export, with the defaults; tries until the server is up. */
  readonly client: string;
}

export async function nfsScripts(): Promise<NfsScripts> {
  const programs = await nfsPrograms();
  const libraries = (await must('find', [programs, '-name', '*.so*', '-printf', '%h\n']))
    .split('\n')
    .filter((line) => line !== '');
  const path = [...new Set(libraries)].join(':');
  return {
    prologue: `
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib; mkdir -p /mnt/export /mnt/home /var/lib/nfs/v4recovery /var/lib/nfs/sm
export HOME=/mnt/home TMPDIR=/mnt/home
own() { LD_LIBRARY_PATH=${path} PATH=${programs}/usr/sbin:${programs}/sbin:$PATH "$@"; }
own_modprobe() { LD_LIBRARY_PATH=${path} ${programs}/modprobe -d ${programs} "$1"; }
guest() { hostname "$1"; ip link set lo up; ip addr add ${NET}.$2/24 dev vec0; ip link set vec0 up; }`,
    server: `
serve() {
  own_modprobe nfsd && mount /dev/ubda /mnt/export && mount -t nfsd nfsd /proc/fs/nfsd || return 1
  # Nobody is there who could claim anything of before.
  echo 10 > /proc/fs/nfsd/nfsv4leasetime; echo 10 > /proc/fs/nfsd/nfsv4gracetime
  own exportfs -o rw,no_root_squash,fsid=0,no_subtree_check "${NET}.0/24:/mnt/export"
  # Its exit code is of /etc/exports, which need not be there.
  own rpcbind -w && own rpc.mountd && own rpc.nfsd -N 3 4
}`,
    client: `
join_server() {
  own_modprobe nfsv4 || return 1
  for try in 1 2 3 4 5 6 7 8 9 10; do
    own mount.nfs4 ${NET}.$1:/ /mnt/export -o vers=4.2 && return
    sleep 2
  done
  return 1
}`,
  };
}

/**
 * The server's and the client's programs, and what loads kernel modules: Debian's packages with what they depend on and
 * this machine does not have, unpacked in build/nfs/ and not installed, so that nothing is started here.
 */
async function nfsPrograms(): Promise<string> {
  const parent = fileURLToPath(new URL('../../build/nfs', import.meta.url));
  const root = join(parent, 'root');
  if (existsSync(root)) return root;
  await must('mkdir', ['-p', parent]);
  const staging = await mkdtemp(`${root}.`);
  try {
    const archives = join(staging, 'archives');
    await must('mkdir', ['-p', join(archives, 'partial')]);
    // Looks for what is missing; `download` takes no lock and changes nothing.
    const planned = await must('apt-get', [
      ...['install', '--simulate', '--no-install-recommends', '-o', 'Debug::NoLocking=1'],
      ...['nfs-kernel-server', 'kmod'],
    ]);
    const names = [...planned.matchAll(/^Inst (\S+)/gmu)].map(([, name = '']) => name);
    const wanted = [...new Set([...names, 'nfs-kernel-server', 'nfs-common', 'kmod'])];
    await must('apt-get', ['download', '-q', ...wanted], { cwd: archives });
    const unpacked = join(staging, 'root');
    for (const file of (await readdir(archives)).filter((name) => name.endsWith('.deb')))
      await must('dpkg-deb', ['--extract', file, unpacked], { cwd: archives });
    const kmod = (
      await must('find', [unpacked, '-name', 'kmod', '-type', 'f', '-perm', '/111'])
    ).split('\n');
    const [program = ''] = kmod.filter((path) => path.endsWith('/bin/kmod'));
    await must('cp', [program, join(unpacked, 'modprobe')]);
    // modprobe looks for lib/modules.
    await must('mkdir', ['-p', join(unpacked, 'lib')]);
    await symlink(
      join(await userModeLinux(), 'usr', 'lib', 'uml', 'modules'),
      join(unpacked, 'lib', 'modules'),
    );
    await rename(unpacked, root).catch((error: unknown) => {
      // Another process was sooner, and its result will do.
      if (!existsSync(root)) throw error;
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return root;
}

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OuterEngine } from './engine.ts';
import { mountsBelow } from './machine-state.ts';
import { atEnd, type Owner } from './owner.ts';
import { asRoot, must, mustAsRoot, run, startDaemon, waitFor } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

/** Podman as root has it; `service` is the same on a socket, which is how an ordinary user gets at it. */
export interface Podman extends OuterEngine {
  readonly service: OuterEngine;
}

/** Debian's Podman with storage, locks and networks of its own, and its service on a socket that `group` may use. */
export async function startPodman(owner: Owner, group: number): Promise<Podman> {
  const dir = temporaryTree(owner);
  const place = (name: string): string => {
    mkdirSync(join(dir, name));
    return join(dir, name);
  };
  const storage = join(dir, 'storage.conf');
  const configuration = join(dir, 'containers.conf');
  writeFileSync(
    storage,
    `[storage]
driver = "overlay"
graphroot = "${place('root')}"\nrunroot = "${place('run')}"
[storage.options.overlay]
skip_mount_home = "true"
`,
  );
  writeFileSync(
    configuration,
    `[engine]
tmp_dir = "${place('tmp')}"
volume_path = "${place('volumes')}"
image_copy_tmp_dir = "${place('copies')}"
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "cni"
network_config_dir = "${place('networks')}"
`,
  );
  const files = { CONTAINERS_STORAGE_CONF: storage, CONTAINERS_CONF: configuration };
  const assignments = Object.entries(files).map(([name, value]) => `${name}=${value}`);
  const command = (args: readonly string[]): [string, string[]] =>
    asRoot('env', [...assignments, 'podman', ...args]);
  atEnd(owner, async () => {
    await run(...command(['rm', '--all', '--force', '--volumes', '--time', '0']));
    for (const mount of mountsBelow(dir).reverse()) await mustAsRoot('umount', [mount]);
    await mustAsRoot('rm', ['-rf', '--one-file-system', dir]);
  });
  const version = (await must('podman', ['--version'])).trim().split(' ').at(-1) ?? '';
  const socket = join(dir, 'podman.sock');
  const host = `unix://${socket}`;
  const pidFile = join(dir, 'pid');
  const service = ['podman', 'system', 'service', '--time=0', host];
  const script = 'echo $$ >"$0"; exec env "$@"';
  const daemon = startDaemon('sh', ['-c', script, pidFile, ...assignments, ...service], {
    root: true,
    pid: () => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : undefined),
  });
  atEnd(owner, () => daemon.stop());
  await waitFor('the service of podman listens', 20_000, async () => {
    daemon.assertAlive();
    return (await run('test', ['-S', socket])).code === 0 ? true : undefined;
  });
  await mustAsRoot('chgrp', [String(group), socket]);
  await mustAsRoot('chmod', ['0660', socket]);
  const engine: OuterEngine = {
    ...{ host, version, ours: true },
    environment: { ...files, STOWAGE_ENGINE: 'podman' },
    docker: (args, input) => run(...command(args), input === undefined ? {} : { input }),
    mustDocker: (args, input) => must(...command(args), input === undefined ? {} : { input }),
    load: () => Promise.reject(new Error('stowage loads the dind image by itself')),
    log: () => '',
    stop: () => Promise.resolve(),
  };
  return { ...engine, service: { ...engine, environment: { CONTAINER_HOST: host } } };
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DindImage } from './dind-image.ts';
import type { OuterEngine } from './engine.ts';
import { mountLoop } from './loop-mount.ts';
import { atEnd, type Owner } from './owner.ts';
import { must, PATH_WITH_SBIN, run, waitFor, type Outcome } from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

export interface DeviceImage {
  /** `ghcr.io/x/y:1` */
  readonly name: string;
  /** What the name stands for: with the containerd store the digest of the manifest or index. */
  readonly digest: string;
  /** `ghcr.io/x/y@sha256:…`, for every name of the same image. */
  readonly repoDigests: readonly string[];
}

/** The engine of a device: a real one of the given version that has booted on a data image. */
export interface DeviceEngine {
  readonly version: string;
  /** Every name the engine knows, sorted; `<none>:<none>` is an image without one. */
  images(): Promise<DeviceImage[]>;
  /** What `docker inspect` says of an image or container. */
  inspect(name: string): Promise<Record<string, unknown>>;
  /** Runs a container with no network to its end. */
  run(name: string, args?: readonly string[]): Promise<Outcome>;
  docker(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Outcome>;
  /** Ends the engine as a shutdown does, and boots it again on the same partition. */
  restart(): Promise<void>;
  /** A process in its network, which is a loopback alone; another one after each boot. */
  pid(): Promise<number>;
  log(): Promise<string>;
  /** Where the partition is mounted; files in it belong to root. */
  readonly partition: string;
  stop(): Promise<void>;
}

export interface DeviceOptions {
  readonly engine: OuterEngine;
  readonly dind: DindImage;
  /** The engine's data root on the partition. Default `docker`. */
  readonly dataRoot?: string;
  /** Where it keeps images. Default `containerd`. */
  readonly store?: 'containerd' | 'overlay2';
  /** Bytes that the copy gets on top, as a device grows its partition at first boot. Default 256 MiB. */
  readonly grow?: number;
}

/** What an engine needs to run containers of its own inside a container (loading alone needs less). */
export const RUNNING_FLAGS: readonly string[] = [
  ...['--network', 'none', '--cap-add', 'SYS_ADMIN', '--cap-add', 'NET_ADMIN'],
  // To reach the namespaces of a container whose user is not root.
  ...['--cap-add', 'SYS_PTRACE'],
  ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
  ...['--security-opt', 'systempaths=unconfined', '-v', '/sys/fs/cgroup:/sys/fs/cgroup'],
];

/** Boots on a copy of `dataImage`, which itself is only read. The engine has to know the dind image. */
export async function startDevice(
  owner: Owner,
  dataImage: string,
  options: DeviceOptions,
): Promise<DeviceEngine> {
  const dir = temporaryTree(owner);
  const copy = join(dir, 'data.ext4');
  const partition = join(dir, 'mnt');
  const sockets = join(dir, 's');
  await mkdir(partition);
  await mkdir(sockets);
  // A file, as a device has one: --feature is younger than some engines.
  const features = { 'containerd-snapshotter': options.store !== 'overlay2' };
  const driver = options.store === 'overlay2' ? { 'storage-driver': 'overlay2' } : {};
  await writeFile(join(sockets, 'daemon.json'), JSON.stringify({ features, ...driver }));
  await must('cp', ['--sparse=always', '--reflink=auto', dataImage, copy]);
  await must('chmod', ['u+w', copy]);
  await must('truncate', ['--size', `+${options.grow ?? 256 * 1024 * 1024}`, copy]);
  // 1 is "mended", which a copy that has just been grown may need.
  const check = await run('e2fsck', ['-fy', copy]);
  if (check.code > 1) throw new Error(`e2fsck: ${check.stdout}${check.stderr}`);
  await must('resize2fs', [copy]);
  const unmount = await mountLoop(owner, copy, partition);
  const name = `device-${dir.split('-').at(-1) ?? ''}`;
  const { engine } = options;
  const host = `unix://${join(sockets, 'docker.sock')}`;
  const log = async (): Promise<string> => {
    const { stdout, stderr } = await engine.docker(['logs', '--tail', '60', name]);
    return stdout + stderr;
  };
  let running = true;
  const stopContainer = async (): Promise<void> => {
    if (!running) return;
    running = false;
    await engine.docker(['stop', '--time', '20', name]);
    await engine.mustDocker(['rm', '-fv', name]);
  };
  atEnd(owner, stopContainer);
  await engine.mustDocker([
    ...['run', '--detach', '--name', name, ...RUNNING_FLAGS],
    ...['-v', `${partition}:/mnt/data`, '-v', `${sockets}:/run/device`, '--entrypoint', 'dockerd'],
    ...[options.dind.name, '--data-root', `/mnt/data/${options.dataRoot ?? 'docker'}`],
    ...['--host', 'unix:///run/device/docker.sock', '--group', String(process.getgid?.() ?? 0)],
    ...['--config-file', '/run/device/daemon.json', '--bridge=none', '--iptables=false'],
    '--ip6tables=false',
  ]);
  const booted = (): Promise<string> =>
    waitFor('the device boots', 40_000, async () => {
      const asked = await run('docker', ['-H', host, 'version', '-f', '{{.Server.Version}}']);
      if (asked.code === 0) return asked.stdout.trim();
      const state = await engine.docker(['inspect', '-f', '{{.State.Running}}', name]);
      if (state.stdout.trim() !== 'true') throw new Error(`dockerd ended:\n${await log()}`);
      return undefined;
    });
  const version = await booted();
  const docker: DeviceEngine['docker'] = (args, env) =>
    run('docker', ['-H', host, ...args], {
      env: { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C', ...env },
    });
  const restart = async (): Promise<void> => {
    await engine.mustDocker(['stop', '--time', '20', name]);
    await engine.mustDocker(['start', name]);
    await booted();
  };
  const pid = async (): Promise<number> =>
    Number(await engine.mustDocker(['inspect', '-f', '{{.State.Pid}}', name]));
  const stop = async (): Promise<void> => {
    await stopContainer();
    await unmount();
  };
  return {
    ...{ version, docker, restart, pid, log, partition, stop },
    images: async () => {
      const list = ['images', '--format', '{{.Repository}}:{{.Tag}}'];
      const names = (await must('docker', ['-H', host, ...list]))
        .split('\n')
        .filter(Boolean)
        .sort();
      if (names.length === 0) return [];
      // Not `images --digests`, which shows a digest beside one name of an image only.
      const format = '{{.Id}} {{json .RepoDigests}}';
      const lines = await must('docker', ['-H', host, 'image', 'inspect', '-f', format, ...names]);
      return lines.split('\n').flatMap((line, number) => {
        const [digest = '', repoDigests = '[]'] = line.split(' ');
        const name = names[number];
        return name === undefined || digest === ''
          ? []
          : [{ name, digest, repoDigests: JSON.parse(repoDigests) as string[] }];
      });
    },
    inspect: async (what) => {
      const text = await must('docker', ['-H', host, 'inspect', what]);
      const [first] = JSON.parse(text) as Record<string, unknown>[];
      if (first === undefined) throw new Error(`docker inspect ${what}: nothing`);
      return first;
    },
    run: (what, args = []) =>
      docker(['run', '--rm', '--pull', 'never', '--network', 'none', what, ...args]),
  };
}

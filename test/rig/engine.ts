import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dindBlobs, type DindImage } from './dind-image.ts';
import { copyRoot, keepRoot } from './engine-root.ts';
import { mountsBelow } from './machine-state.ts';
import { inMountSpace } from './mount-space.ts';
import { atEnd, type Owner } from './owner.ts';
import {
  collect,
  must,
  mustAsRoot,
  PATH_WITH_SBIN,
  run,
  startDaemon,
  waitFor,
  type Daemon,
  type Outcome,
} from './process.ts';
import { temporaryTree } from './temporary-tree.ts';

/** An engine on the builder, as stowage's loaders use it. */
export interface OuterEngine {
  /** For DOCKER_HOST: `unix:///tmp/stw-…/docker.sock`. */
  readonly host: string;
  readonly version: string;
  /** What a stowage that is to use it finds in its environment; where absent, DOCKER_HOST with `host`. */
  readonly environment?: Readonly<Record<string, string>>;
  /** False where it is the machine's own, which nobody here starts or ends. */
  readonly ours: boolean;
  /** Runs the docker command against it. */
  docker(args: readonly string[], input?: string): Promise<Outcome>;
  /** The same, and it has to succeed: standard output. */
  mustDocker(args: readonly string[], input?: string): Promise<string>;
  /** Makes the dind image known to it, under its full name, where it is not yet. */
  load(image: DindImage): Promise<void>;
  /** What the daemon said; empty where it is not ours. */
  log(): string;
  /** Ends it if it is ours; may be called more than once. */
  stop(): Promise<void>;
}

/** An engine of ours, whose daemon can be made to fail. */
export interface OwnEngine extends OuterEngine {
  /** Ends the daemon and waits until it is gone: SIGTERM as at a shutdown, SIGKILL as for want of memory. */
  halt(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again on the same socket and data root. */
  resume(): Promise<void>;
}

export interface EngineSettings {
  /** Whom the socket belongs to; default our own group. */
  readonly group?: number;
  /** `userns-remap`: whose subordinate IDs containers get. */
  readonly remap?: string;
  /** Lets the daemon see no mount that is made after it started, as one that is outside of our container. */
  readonly apart?: boolean;
  /** Knows this image from the start: taken from a data root that an earlier one has left, and not loaded again. */
  readonly holding?: DindImage;
}

/**
 * Debian's dockerd with a socket, data root and pid file of its own, that touches neither bridge nor
 * firewall. The socket belongs to `group` (default ours), so that an ordinary user can use it.
 */
export async function startEngine(owner: Owner, options: EngineSettings = {}): Promise<OwnEngine> {
  const dir = temporaryTree(owner);
  const pidFile = join(dir, 'pid');
  const logFile = join(dir, 'dockerd.log');
  const configFile = join(dir, 'daemon.json');
  // Not /etc/docker/daemon.json, which may well name other hosts and roots.
  writeFileSync(configFile, '{}');
  const host = `unix://${join(dir, 'docker.sock')}`;
  const name = dir.split('-').at(-1) ?? 'stowage';
  const args = [
    ...['--config-file', configFile, '--host', host, '--pidfile', pidFile],
    ...['--data-root', join(dir, 'root'), '--exec-root', join(dir, 'run')],
    ...['--group', String(options.group ?? process.getgid?.() ?? 0)],
    ...['--bridge=none', '--iptables=false'],
    ...(options.remap === undefined ? [] : [`--userns-remap=${options.remap}`]),
    // dockerd uses the machine's containerd where one runs: keep apart from others in it.
    ...['--containerd-namespace', `stw-${name}`, '--containerd-plugins-namespace', `stwp-${name}`],
  ];
  const command = ['sh', '-c', LAUNCH, logFile, ...args];
  const [program = '', ...rest] =
    options.apart === true ? ['unshare', ...inMountSpace('private', dir, command)] : command;
  const launch = (): Daemon =>
    startDaemon(program, rest, {
      root: true,
      pid: () => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : undefined),
    });
  const { holding } = options;
  const root = join(dir, 'root');
  const held = holding !== undefined && (await copyRoot(holding, root));
  let daemon: Daemon | undefined = launch();
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '');
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    // What a killed daemon left running only a daemon can end.
    if (daemon === undefined) await resume();
    const containers = await run('docker', ['-H', host, 'ps', '-aq']);
    const ids = containers.stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await run('docker', ['-H', host, 'rm', '-fv', ...ids]);
    await daemon?.stop();
    for (const mount of mountsBelow(dir).reverse()) await mustAsRoot('umount', [mount]);
    await mustAsRoot('rm', ['-rf', '--one-file-system', join(dir, 'root'), join(dir, 'run')]);
  };
  const answers = (): Promise<string> =>
    waitFor('dockerd answers', 30_000, async () => {
      try {
        daemon?.assertAlive();
      } catch (error) {
        throw new Error(`dockerd did not start:\n${log().slice(-4000)}`, { cause: error });
      }
      return engineVersion(host);
    });
  const resume = async (): Promise<void> => {
    daemon ??= launch();
    await answers();
  };
  const halt: OwnEngine['halt'] = async (signal) => {
    const halted = daemon;
    if (halted === undefined) return;
    daemon = undefined;
    if (signal === 'SIGKILL') await mustAsRoot('kill', ['-KILL', readFileSync(pidFile, 'utf8')]);
    await halted.stop();
    if (signal === 'SIGKILL') await mustAsRoot('rm', ['-f', pidFile]);
  };
  atEnd(owner, stop);
  const version = await answers();
  const engine = { ...engineAt(host, version, true, log, stop), halt, resume };
  if (holding === undefined) return engine;
  await engine.load(holding);
  if (!held) {
    // For the next one: of an engine that is at rest.
    await halt('SIGTERM');
    await keepRoot(holding, root);
    await resume();
  }
  return engine;
}

const LAUNCH = 'exec dockerd "$@" >>"$0" 2>&1';

/** The machine's own engine if one answers, else one of ours. */
export async function anyEngine(owner: Owner): Promise<OuterEngine> {
  const host = process.env['DOCKER_HOST'] ?? 'unix:///var/run/docker.sock';
  const version = await engineVersion(host);
  if (version === undefined) return startEngine(owner);
  return engineAt(
    host,
    version,
    false,
    () => '',
    () => Promise.resolve(),
  );
}

async function engineVersion(host: string): Promise<string | undefined> {
  const asked = ['-H', host, 'version', '--format', '{{.Server.Version}}'];
  const { code, stdout } = await run('docker', asked, { deadline: 20_000 });
  return code === 0 && stdout.trim() !== '' ? stdout.trim() : undefined;
}

function engineAt(
  host: string,
  version: string,
  ours: boolean,
  log: () => string,
  stop: () => Promise<void>,
): OuterEngine {
  const input = (text: string | undefined): object => (text === undefined ? {} : { input: text });
  return {
    ...{ host, version, ours, log, stop },
    docker: (args, text) => run('docker', ['-H', host, ...args], input(text)),
    mustDocker: (args, text) => must('docker', ['-H', host, ...args], input(text)),
    load: async (image) => {
      const known = ['-H', host, 'image', 'inspect', '--format', '{{.Id}}', image.name];
      const [config] = dindBlobs(image);
      if ((await run('docker', known)).stdout.trim() === `sha256:${config?.hex ?? ''}`) return;
      const env = { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C' };
      const tar = spawn(
        'tar',
        ['-C', image.layout, '-cf', '-', 'oci-layout', 'index.json', 'manifest.json', 'blobs'],
        { env, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const load = spawn('docker', ['-H', host, 'load', '-q'], {
        env,
        stdio: [tar.stdout, 'pipe', 'pipe'],
      });
      const outcome = await collect(load);
      if (outcome.code !== 0) throw new Error(`docker load: ${outcome.stderr}`);
    },
  };
}

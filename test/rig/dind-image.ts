import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { digestOf } from './image.ts';
import { machinePlatform } from './platform.ts';
import { asRoot, must, PATH_WITH_SBIN } from './process.ts';

/**
 * An image like the official docker:…-dind, made of Debian's packages with no engine and no registry.
 * It lies in build/dind/ and is made once: some 20 seconds.
 */
export interface DindImage {
  /** OCI layout that is a docker archive too: `docker load` and skopeo take it alike. */
  readonly layout: string;
  /** Its name in the layout's index. */
  readonly name: string;
  /** Of the engine in it: `28.5.2`. */
  readonly version: string;
  readonly platform: string;
  /** A busybox for this machine that needs no libraries. */
  readonly busybox: string;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PACKAGES = [
  ...['base-files', 'docker.io', 'docker-cli', 'containerd', 'runc', 'iptables', 'e2fsprogs'],
  ...['busybox-static', 'ca-certificates', 'mount', 'util-linux', 'procps', 'coreutils', 'dash'],
  'pigz',
];
/** bookworm's docker.io holds the client itself. */
const PACKAGES_OF_BOOKWORM = PACKAGES.filter((name) => name !== 'docker-cli');

/** Debian's suites by the engine that each has; only the first is to be had on Ubuntu, as its own suite's. */
export const DIND_SUITES = {
  '28.5': 'forky',
  '26.1': 'trixie',
  '20.10': 'bookworm',
} as const;

/** What the official image does before dockerd, in short; a loader must not depend on it, nor trip over it. */
const ENTRYPOINT = `#!/bin/sh
set -eu
if [ "$#" -eq 0 ] || [ "\${1#-}" != "$1" ]; then
  set -- dockerd --host=unix:///var/run/docker.sock "$@"
fi
if [ "$1" = dockerd ]; then
  # With cgroup v2, processes must leave the root group before controllers can be handed down.
  if [ -f /sys/fs/cgroup/cgroup.controllers ] && mkdir -p /sys/fs/cgroup/init 2>/dev/null; then
    xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null || :
  fi
  find /run /var/run -iname 'docker*.pid' -delete 2>/dev/null || :
  shift
  exec dockerd "$@"
fi
exec "$@"
`;

/** Made by the layout's builder last, and so the sign that it is complete. */
const RECORD = 'stowage-dind.json';

/** What bundles name, or mean by naming none. */
const BUNDLED_VERSION = '28.5.2';
let usualVersion = BUNDLED_VERSION;

/** For stowage where the usual image here is of another version than bundles name: builds would refuse it. */
export function engineEnvironment(): Readonly<Record<string, string>> {
  return usualVersion === BUNDLED_VERSION ? {} : { STOWAGE_ENGINE_VERSION: usualVersion };
}

/** `suite` is Debian's: `offersDebian` tells whether this machine's mirror has it. */
export async function dindImage(
  report: (line: string) => void = () => undefined,
  options: { readonly suite?: string } = {},
): Promise<DindImage> {
  const { suite, mirror } = await debianSource(options.suite);
  const packages = suite === 'bookworm' ? PACKAGES_OF_BOOKWORM : PACKAGES;
  const key = createHash('sha256')
    .update(JSON.stringify([packages, ENTRYPOINT]))
    .digest('hex');
  const dir = join(ROOT, 'build', 'dind', `${suite}-${process.arch}-${key.slice(0, 12)}`);
  if (!existsSync(join(dir, RECORD))) {
    report(`making the engine's image from Debian ${suite}'s packages (once, some 20 seconds)`);
    await mkdir(join(ROOT, 'build', 'dind'), { recursive: true });
    const staging = await mkdtemp(`${dir}.`);
    await chmod(staging, 0o755);
    try {
      await makeLayout(staging, suite, mirror, packages);
      // Two processes may make it at once: the first rename wins, and both results will do.
      await rename(staging, dir).catch((error: unknown) => {
        if (!existsSync(join(dir, RECORD))) throw error;
      });
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  }
  const record = JSON.parse(readFileSync(join(dir, RECORD), 'utf8')) as Omit<
    DindImage,
    'layout' | 'busybox'
  >;
  if (options.suite === undefined) usualVersion = record.version;
  return { layout: dir, ...record, busybox: join(dir, 'busybox') };
}

/** Its config and its layer. */
export function dindBlobs({ layout }: DindImage): readonly { file: string; hex: string }[] {
  const text = readFileSync(join(layout, 'manifest.json'), 'utf8');
  const [{ Config, Layers }] = JSON.parse(text) as [{ Config: string; Layers: string[] }];
  return [Config, ...Layers].map((path) => ({
    file: join(layout, path),
    hex: path.split('/').at(-1) ?? '',
  }));
}

/**
 * Where this machine's own packages come from, read from apt. On Debian the suite is the one whose engine
 * the bundles name; elsewhere it is the machine's own, with whatever engine that has.
 */
export async function debianSource(suiteAsked?: string): Promise<DebianSource> {
  const suiteWanted = suiteAsked ?? process.env['STOWAGE_DIND_SUITE'];
  const format = '$(ORIGIN) $(CODENAME) $(SITE)';
  const targets = await must('apt-get', [
    'indextargets',
    '--format',
    format,
    'Created-By: Packages',
  ]);
  for (const line of targets.split('\n')) {
    const [origin, suite, mirror] = line.split(' ');
    if (suite === undefined || mirror === undefined || suite.includes('-')) continue;
    if (origin === 'Debian') return { origin, suite: suiteWanted ?? 'forky', mirror };
    if (origin === 'Ubuntu') return { origin, suite: suiteWanted ?? suite, mirror };
  }
  throw new Error(
    'apt knows no Debian or Ubuntu mirror on this machine: run `sudo apt-get update`',
  );
}

export interface DebianSource {
  readonly origin: 'Debian' | 'Ubuntu';
  readonly suite: string;
  readonly mirror: string;
}

/** Whether `dindImage` can make images of Debian's suites here. */
export async function offersDebian(): Promise<boolean> {
  return (await debianSource()).origin === 'Debian';
}

async function makeLayout(
  dir: string,
  suite: string,
  mirror: string,
  packages: readonly string[],
): Promise<void> {
  const blobs = join(dir, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const entrypoint = join(dir, 'dockerd-entrypoint.sh');
  writeFileSync(entrypoint, ENTRYPOINT, { mode: 0o755 });
  const layer = join(dir, 'layer.tar.gz');
  const { diffId, log } = await bootstrap(layer, [
    ...['--variant=extract', `--include=${packages.join(',')}`],
    // The mirror may be a snapshot that was frozen long ago.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    // Packages are only unpacked, so what their scripts would make is missing.
    '--extract-hook=mkdir -p "$1/usr/local/bin" "$1/var/lib" "$1/root" "$1/tmp"',
    `--extract-hook=cp "${entrypoint}" "$1/usr/local/bin/dockerd-entrypoint.sh"`,
    // bookworm's package has it in /bin, which only a later step of an installation makes a link.
    `--extract-hook=install -m 0755 "$(ls "$1/usr/bin/busybox" "$1/bin/busybox" 2>/dev/null | head -n 1)" "${join(dir, 'busybox')}"`,
    '--extract-hook=chroot "$1" dockerd --version >&2',
    // Nobody reads them there, and every test would copy them.
    '--extract-hook=rm -rf "$1/usr/share/doc" "$1/usr/share/man" "$1/usr/share/locale" "$1/usr/bin/ctr"',
    ...[suite, '-', mirror],
  ]);
  await rm(entrypoint);
  const version = /Docker version (\d+\.\d+\.\d+)/.exec(log)?.[1];
  if (version === undefined) throw new Error(`the new image's dockerd tells no version:\n${log}`);
  const digest = await digestOfFile(layer);
  const size = (await stat(layer)).size;
  await rename(layer, join(blobs, digest.slice(7)));
  const put = (
    mediaType: string,
    value: object,
  ): { mediaType: string; digest: string; size: number } => {
    const bytes = Buffer.from(JSON.stringify(value));
    writeFileSync(join(blobs, digestOf(bytes).slice(7)), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const platform = machinePlatform();
  const [os, architecture, variant] = platform.split('/');
  const config = put('application/vnd.oci.image.config.v1+json', {
    ...{ created: '2023-11-14T22:13:20Z', os, architecture },
    ...(variant === undefined ? {} : { variant }),
    config: {
      Env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        `DOCKER_VERSION=${version}`,
        'DOCKER_TLS_CERTDIR=/certs',
      ],
      ExposedPorts: { '2375/tcp': {}, '2376/tcp': {} },
      Volumes: { '/var/lib/docker': {} },
      Entrypoint: ['dockerd-entrypoint.sh'],
      Cmd: [],
    },
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: '2023-11-14T22:13:20Z', created_by: "Debian's packages" }],
  });
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const manifest = put(manifestType, {
    ...{ schemaVersion: 2, mediaType: manifestType, config },
    layers: [{ mediaType: layerType, digest, size }],
  });
  const name = `docker.io/library/docker:${version}-dind`;
  const json = (file: string, value: object): void => {
    writeFileSync(join(dir, file), JSON.stringify(value));
  };
  json('oci-layout', { imageLayoutVersion: '1.0.0' });
  const annotations = {
    'org.opencontainers.image.ref.name': name,
    'io.containerd.image.name': name,
  };
  json('index.json', {
    schemaVersion: 2,
    manifests: [{ ...manifest, platform: { os, architecture, variant }, annotations }],
  });
  const inLayout = (blob: string): string => `blobs/sha256/${blob.slice(7)}`;
  json('manifest.json', [
    { Config: inLayout(config.digest), RepoTags: [name], Layers: [inLayout(digest)] },
  ]);
  json(RECORD, { name, version, platform });
}

/** Runs mmdebstrap into a gzip file; the digest is of what it wrote, before compression. */
async function bootstrap(file: string, args: string[]): Promise<{ diffId: string; log: string }> {
  const env = { ...process.env, PATH: PATH_WITH_SBIN, LC_ALL: 'C' };
  const [program, argv] = asRoot('mmdebstrap', args);
  const maker = spawn(program, argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const packer = spawn('sh', ['-c', 'exec pigz -n -1 > "$0"', file], {
    env,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const hash = createHash('sha256');
  let log = '';
  maker.stderr.on('data', (chunk: Buffer) => (log += chunk.toString('utf8')));
  maker.stdout.on('data', (chunk: Buffer) => hash.update(chunk));
  const codes = [maker, packer].map(
    (child) =>
      new Promise<number>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code) => {
          resolve(code ?? -1);
        });
      }),
  );
  await Promise.all([pipeline(maker.stdout, packer.stdin), ...codes]);
  if ((await codes[0]) !== 0) throw new Error(`mmdebstrap failed:\n${log}`);
  if ((await codes[1]) !== 0) throw new Error('pigz failed');
  return { diffId: `sha256:${hash.digest('hex')}`, log };
}

async function digestOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}

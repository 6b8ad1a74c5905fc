import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { makeImage, makeIndex, makeLayer, noise, type Image, type Layer } from '../rig/image.ts';
import { atEnd, type Owner } from '../rig/owner.ts';
import { push } from '../rig/publish.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';

/** A board of Home Assistant OS, as its own defconfig has it. */
export interface Board {
  /** Of `stowage_<name>_defconfig`, and of HAOS's `<name>_defconfig`. */
  readonly name: string;
  readonly platform: 'linux/amd64' | 'linux/arm64';
  readonly machine: string;
}

export const BOARDS: readonly Board[] = [
  { name: 'generic_aarch64', platform: 'linux/arm64', machine: 'qemuarm-64' },
  { name: 'generic_x86_64', platform: 'linux/amd64', machine: 'generic-x86-64' },
  { name: 'green', platform: 'linux/arm64', machine: 'green' },
  { name: 'khadas_vim3', platform: 'linux/arm64', machine: 'khadas-vim3' },
  { name: 'odroid_c2', platform: 'linux/arm64', machine: 'odroid-c2' },
  { name: 'odroid_c4', platform: 'linux/arm64', machine: 'odroid-c4' },
  { name: 'odroid_m1', platform: 'linux/arm64', machine: 'odroid-m1' },
  { name: 'odroid_m1s', platform: 'linux/arm64', machine: 'odroid-m1' },
  { name: 'odroid_n2', platform: 'linux/arm64', machine: 'odroid-n2' },
  { name: 'ova', platform: 'linux/amd64', machine: 'qemux86-64' },
  { name: 'rpi3_64', platform: 'linux/arm64', machine: 'raspberrypi3-64' },
  { name: 'rpi4_64', platform: 'linux/arm64', machine: 'raspberrypi4-64' },
  { name: 'rpi5_64', platform: 'linux/arm64', machine: 'raspberrypi5-64' },
  { name: 'yellow', platform: 'linux/arm64', machine: 'yellow' },
];

/** Home Assistant's words for the platforms. */
export const ARCH = { 'linux/amd64': 'amd64', 'linux/arm64': 'aarch64' } as const;

export const APPARMOR = 'profile hassio-supervisor flags=(attach_disconnected) {}\n';

const VERSIONS = {
  supervisor: '2026.07.5',
  cli: '2026.06.0',
  dns: '2026.02.0',
  audio: '2026.02.0',
  multicast: '2026.08.0',
  observer: '2026.08.0',
} as const;

/** Core's versions, of which two machines have their own. */
const CORE = { default: '2026.8.3', green: '2026.8.2', 'qemux86-64': '2026.8.1' } as const;

/** Small images under Home Assistant's names on a registry that serves as mirror, and its catalog. */
export interface HomeAssistant {
  readonly registry: Registry;
  /** For `--set versions=`. */
  readonly versions: string;
  /** The names that the device of `board` must have, each with its manifest's digest. */
  names(board: Board, page: 'landingpage' | 'core'): Readonly<Record<string, string>>;
}

export async function startHomeAssistant(owner: Owner): Promise<HomeAssistant> {
  const registry = await startRegistry(owner);
  const digests = new Map<string, string>();
  const bases = new Map<string, Layer>();
  const publish = async (
    name: string,
    platforms: readonly string[],
    file: string,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const images: Record<string, Image> = {};
    for (const platform of platforms) {
      const base = bases.get(platform) ?? (await baseOf(platform));
      bases.set(platform, base);
      const layers = [base, { [file]: `${name} for ${platform}\n` }];
      images[platform] = await makeImage({ platform, layers, config: { Labels: labels } });
      digests.set(`${name} ${platform}`, images[platform].descriptor.digest);
    }
    await push(registry, `home-assistant/${name}`, makeIndex(images));
  };
  for (const [platform, arch] of Object.entries(ARCH))
    for (const [key, version] of Object.entries(VERSIONS))
      await publish(`${arch}-hassio-${key}:${version}`, [platform], `usr/${key}`, {
        'io.hass.type': key,
        'io.hass.arch': arch,
      });
  // For every platform, so that taking the wrong one is possible.
  for (const machine of new Set(BOARDS.map((board) => board.machine)))
    for (const tag of ['landingpage', coreVersion(machine)])
      await publish(`${machine}-homeassistant:${tag}`, Object.keys(ARCH), 'usr/page');
  return {
    registry,
    versions: await serve(owner),
    names: ({ platform, machine }, page) => {
      const supervisor = `${ARCH[platform]}-hassio-supervisor`;
      const tag = page === 'core' ? coreVersion(machine) : page;
      const names = [
        ...Object.entries(VERSIONS).map(([key, tag]) => `${ARCH[platform]}-hassio-${key}:${tag}`),
        `${machine}-homeassistant:${tag}`,
      ].map((name) => [name, digests.get(`${name} ${platform}`) ?? ''] as const);
      const latest = [
        `${supervisor}:latest`,
        Object.fromEntries(names)[`${supervisor}:${VERSIONS.supervisor}`] ?? '',
      ] as const;
      return Object.fromEntries(
        [...names, latest].map(([name, digest]) => [`ghcr.io/home-assistant/${name}`, digest]),
      );
    },
  };
}

function baseOf(platform: string): Promise<Layer> {
  return makeLayer({
    'etc/platform': platform,
    'bin/base': { content: noise(platform.length, 100_000), mode: 0o755 },
  });
}

function coreVersion(machine: string): string {
  return Object.entries(CORE).find(([name]) => name === machine)?.[1] ?? CORE.default;
}

/** The catalog and what else version.home-assistant.io has; resolves with its address. */
async function serve(owner: Owner): Promise<string> {
  const images = Object.keys(VERSIONS).map((key) => [
    key,
    `ghcr.io/home-assistant/{arch}-hassio-${key}`,
  ]);
  const catalog = {
    channel: 'stable',
    ...VERSIONS,
    homeassistant: CORE,
    hassos: { ova: '18.2' },
    images: {
      core: 'ghcr.io/home-assistant/{machine}-homeassistant',
      ...(Object.fromEntries(images) as Record<string, string>),
    },
  };
  const documents = new Map([
    ['/stable.json', JSON.stringify(catalog)],
    ['/beta.json', JSON.stringify({ ...catalog, channel: 'beta' })],
    ['/apparmor_stable.txt', APPARMOR],
    ['/apparmor_beta.txt', APPARMOR],
  ]);
  const server = createServer((request, response) => {
    const document = documents.get(request.url ?? '');
    response.statusCode = document === undefined ? 404 : 200;
    response.end(document);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(owner, async () => {
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { dindImage, type DindImage } from '../rig/dind-image.ts';

import { makeImage, makeIndex, makeLayer, noise, type Image } from '../rig/image.ts';
import { atEnd, type Owner } from '../rig/owner.ts';
import { push, pushDind } from '../rig/publish.ts';
import { startRegistry, type Registry } from '../rig/registry.ts';

/** The bundle that is shipped, as users have it. */
export const BUNDLE = join(
  import.meta.dirname,
  '..',
  '..',
  'buildroot-external',
  'bundles',
  'home-assistant.yaml',
);
export const APPARMOR = 'profile hassio-supervisor flags=(attach_disconnected) {}\n';

/** What a target's data image must list. */
export interface Board {
  readonly platform: string;
  readonly machine: string;
  readonly arch: string;
  /** Full name to the manifest digest that the registry serves. */
  readonly names: ReadonlyMap<string, string>;
}

/** A registry with the images of a product as HAOS has them, and where its versions are served. */
export interface Product {
  readonly registry: Registry;
  readonly dind: DindImage;
  /** For `--set versions=`. */
  readonly versions: string;
  readonly boards: readonly Board[];
  /** Requests that the server of versions got. */
  readonly asked: readonly string[];
}

const VERSIONS = {
  supervisor: '2026.07.5',
  cli: '2026.06.0',
  dns: '2026.02.0',
  audio: '2026.02.0',
  multicast: '2026.08.0',
  observer: '2026.08.0',
} as const;

const BOARDS = [
  { platform: 'linux/amd64', machine: 'qemux86-64', arch: 'amd64' },
  { platform: 'linux/arm64', machine: 'raspberrypi4-64', arch: 'aarch64' },
] as const;

/** `size` is that of each image's own layer, in bytes; the base that all share is three times as big. */
export async function startProduct(owner: Owner, size = 200_000): Promise<Product> {
  const registry = await startRegistry(owner);
  const dind = await dindImage();
  await pushDind(registry, dind);
  const boards: Board[] = [];
  for (const [number, board] of BOARDS.entries()) {
    const names = new Map<string, string>();
    const seed = number * 100;
    const base = await makeLayer({
      'etc/platform': board.platform,
      'bin/base': { content: noise(seed, size * 3), mode: 0o755 },
    });
    for (const [index, [key, version]] of Object.entries(VERSIONS).entries()) {
      const image = await makeImage({
        platform: board.platform,
        // HAOS's images are of both kinds.
        format: index % 2 === 0 ? 'docker' : 'oci',
        layers: [base, { [`usr/${key}`]: noise(seed + index + 1, size) }],
      });
      const name = `home-assistant/${board.arch}-hassio-${key}`;
      await push(registry, `${name}:${version}`, image);
      names.set(`ghcr.io/${name}:${version}`, image.descriptor.digest);
      if (key === 'supervisor') names.set(`ghcr.io/${name}:latest`, image.descriptor.digest);
    }
    const page = await makeImage({
      platform: board.platform,
      layers: [base, { 'usr/page': noise(seed + 50, size) }],
    });
    const pageName = `home-assistant/${board.machine}-homeassistant:landingpage`;
    await push(registry, pageName, page);
    names.set(`ghcr.io/${pageName}`, page.descriptor.digest);
    boards.push({ ...board, names });
  }
  const served = await serveVersions(owner);
  return { registry, dind, boards, ...served };
}

/** Two images over one base for `platform`, as an index, for tests that need no seven. */
export async function pushPair(registry: Registry, platform: string): Promise<readonly Image[]> {
  const base = await makeLayer({ 'etc/base': noise(900, 400_000) });
  const images = [
    await makeImage({ platform, layers: [base, { one: noise(901, 200_000) }] }),
    await makeImage({ platform, layers: [base, { two: noise(902, 300_000) }] }),
  ];
  for (const [index, image] of images.entries())
    await push(registry, `pair/${index + 1}:1`, makeIndex({ [platform]: image }));
  return images;
}

async function serveVersions(
  owner: Owner,
): Promise<{ readonly versions: string; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const images = Object.keys(VERSIONS).map((key) => [
    key,
    `ghcr.io/home-assistant/{arch}-hassio-${key}`,
  ]);
  const catalog = {
    channel: 'stable',
    ...VERSIONS,
    homeassistant: { default: '2026.8.3', 'raspberrypi4-64': '2026.8.3' },
    hassos: { ova: '18.2' },
    images: {
      core: 'ghcr.io/home-assistant/{machine}-homeassistant',
      ...(Object.fromEntries(images) as Record<string, string>),
    },
  };
  const documents: Readonly<Record<string, string>> = {
    '/stable.json': JSON.stringify(catalog),
    '/apparmor_stable.txt': APPARMOR,
  };
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const document = documents[request.url ?? ''];
    response.statusCode = document === undefined ? 404 : 200;
    response.end(document ?? 'no');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(
    owner,
    () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  );
  return { versions: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** The builder's engine and what every stowage run against the product takes. */
export function targetArguments(product: Product, board: Board): string[] {
  return [
    ...['--platform', board.platform, '--machine', board.machine],
    ...['--set', `versions=${product.versions}`],
  ];
}

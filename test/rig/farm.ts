import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Content, Image, Layer } from './image.ts';
import { makeImage, makeIndex, makeLayer } from './image.ts';
import { push } from './publish.ts';
import type { Registry } from './registry.ts';

/** A board of Home Assistant OS: the name of its defconfig, and what its images are for. */
export interface Board {
  readonly name: string;
  readonly platform: 'linux/amd64' | 'linux/arm64';
  readonly machine: string;
}

/** `board: machine`, and those of which both are the same. */
const ARM: Readonly<Record<string, string>> = {
  generic_aarch64: 'qemuarm-64',
  green: 'green',
  yellow: 'yellow',
  khadas_vim3: 'khadas-vim3',
  odroid_c2: 'odroid-c2',
  odroid_c4: 'odroid-c4',
  odroid_n2: 'odroid-n2',
  odroid_m1: 'odroid-m1',
  // The one machine that two boards are.
  odroid_m1s: 'odroid-m1',
  rpi3_64: 'raspberrypi3-64',
  rpi4_64: 'raspberrypi4-64',
  rpi5_64: 'raspberrypi5-64',
};
const INTEL: Readonly<Record<string, string>> = {
  generic_x86_64: 'generic-x86-64',
  ova: 'qemux86-64',
};

/** The fourteen: twelve for arm64, two for amd64, thirteen machines. */
export const BOARDS: readonly Board[] = [
  ...Object.entries(ARM).map(([name, machine]) => ({
    name,
    platform: 'linux/arm64' as const,
    machine,
  })),
  ...Object.entries(INTEL).map(([name, machine]) => ({
    name,
    platform: 'linux/amd64' as const,
    machine,
  })),
];
export const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;

export interface FarmImages {
  /** Size of every layer and config that some board needs, by digest. */
  readonly blobs: ReadonlyMap<string, number>;
}

/** What a layer consists of: `seed` decides what is in it, `part` (1 is all) how much there is. */
export type LayerFiles = (seed: number, megabytes: number) => Record<string, Uint8Array>;

/** Megabytes of each image's own layers, above a base that all images of a platform have. */
const OWN: Readonly<Record<string, readonly number[]>> = {
  supervisor: [38, 20, 6],
  cli: [12, 4],
  dns: [10, 6],
  audio: [18, 8],
  multicast: [9],
  observer: [13, 12],
};
const BASE = 16;
/** The landing page: one layer that all machines of a platform have, and one of the machine's own. */
const LANDING_PAGE = 20;
const OF_THE_MACHINE = 1;

/**
 * Publishes six images for both platforms as `farm/NAME:1`, and for each machine a landing page that shares most of its
 * layers with the others, as `farm/MACHINE-core:landingpage`.
 */
export async function publishFarm(registry: Registry, files: LayerFiles): Promise<FarmImages> {
  const blobs = new Map<string, number>();
  let seed = 40_000;
  const layer = (megabytes: number): Promise<Layer> => {
    seed += 1;
    return makeLayer(files(seed, megabytes));
  };
  const publish = async (name: string, image: Image, content: Content = image): Promise<void> => {
    for (const [digest, blob] of image.blobs)
      if (digest !== image.descriptor.digest) blobs.set(digest, blob.length);
    await push(registry, name, content);
  };
  const images = new Map<string, Record<string, Image>>();
  for (const platform of PLATFORMS) {
    const base = await layer(BASE);
    for (const [name, own] of Object.entries(OWN)) {
      const layers = [base];
      for (const megabytes of own) layers.push(await layer(megabytes));
      const variants = images.get(name) ?? {};
      variants[platform] = await makeImage({ platform, layers });
      images.set(name, variants);
    }
    const page = await layer(LANDING_PAGE);
    const machines = BOARDS.filter((board) => board.platform === platform);
    for (const machine of new Set(machines.map((board) => board.machine))) {
      const layers = [base, page, await layer(OF_THE_MACHINE)];
      const image = await makeImage({ platform, layers });
      await publish(`farm/${machine}-core:landingpage`, image);
    }
  }
  for (const [name, variants] of images) {
    for (const image of Object.values(variants))
      await publish(`farm/${name}:1`, image, makeIndex(variants));
  }
  return { blobs };
}

/**
 * Writes `directory`/farm.yaml, in which the landing page is the machine's, and `directory`/product.yaml, which is the
 * same for every machine of a platform; `host` serves both.
 */
export async function writeFarmBundles(
  directory: string,
  host: string,
): Promise<{ readonly farm: string; readonly product: string }> {
  const common = Object.keys(OWN).map(
    (name) => [name, { from: `docker://${host}/farm/${name}:1` }] as const,
  );
  const core = { from: `docker://${host}/farm/{machine}-core:landingpage` };
  const document = (images: readonly (readonly [string, object])[]): string =>
    JSON.stringify({
      stowage: 1,
      partition: { label: 'farm-data' },
      engine: { version: '28.5.2' },
      images: Object.fromEntries(images),
    });
  const farm = join(directory, 'farm.yaml');
  const product = join(directory, 'product.yaml');
  await writeFile(farm, document([...common, ['core', core]]));
  await writeFile(product, document(common));
  return { farm, product };
}

/** How a verb is told which board it is for. */
export function boardArguments({ platform, machine }: Board): string[] {
  return ['--platform', platform, '--machine', machine];
}

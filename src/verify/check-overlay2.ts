import { chainIds } from '../data-root/containerd-store.ts';
import type { Overlay2Paths } from '../data-root/overlay2-store.ts';
import {
  formatLower,
  isCacheId,
  isLink,
  LAYER_FILES,
  overlay2Paths,
  readRepositories,
} from '../data-root/overlay2-store.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf, parseDigest } from '../model/digest.ts';
import type { TargetPins } from '../model/pins.ts';
import type { DriverLayer } from './check-graph-driver.ts';
import type { Inspection } from './inspection.ts';
import { eachOfTwo } from './inspection.ts';
import { isRecord } from './stored-content.ts';

/** An image that must be there: of what is pinned all that a graph driver keeps. */
interface WantedImage {
  /** What messages begin with: `image core`. */
  readonly owner: string;
  readonly config: Digest;
  /** How many layers the manifest has; absent where nobody knows it. */
  readonly layers?: number;
}

interface WantedLayer {
  readonly owner: string;
  readonly diffId: Digest;
  readonly parent?: Digest;
}

export interface Overlay2Summary {
  readonly images: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly snapshots: number;
  /** Those whose files can be looked at. */
  readonly layers: readonly DriverLayer[];
}

/**
 * The images of a data root of overlay2: its names are the pinned ones and stand for the pinned configs, whose bytes
 * are right; every layer of theirs is unpacked, on the right parent; nothing else is there. Without pins they are
 * compared with themselves.
 */
export async function checkOverlay2(
  inspection: Inspection,
  dataRoot: string,
  pins: TargetPins | undefined,
): Promise<Overlay2Summary> {
  const paths = overlay2Paths(dataRoot);
  const none: Overlay2Summary = { images: 0, blobs: 0, bytes: 0, snapshots: 0, layers: [] };
  const text = await inspection.read(`/${paths.repositories}`, "the engine's list of names");
  if (text === undefined) return none;
  const names = readRepositories(text.toString('utf8'));
  if (!names.ok) {
    inspection.find(`${paths.repositories} is damaged: ${names.failure.detail}`);
    return none;
  }
  if (pins !== undefined) checkNames(inspection, pins, names.value);
  const wanted = pins === undefined ? fromNames(names.value) : fromPins(pins);
  const layers = new Map<Digest, WantedLayer>();
  const hashed = { blobs: 0, bytes: 0 };
  let complete = true;
  for (const image of wanted) {
    const diffIds = await readConfig(inspection, paths, image, hashed);
    if (diffIds === undefined) complete = false;
    const chain = chainIds(diffIds ?? []);
    chain.forEach((chainId, i) => {
      const diffId = diffIds?.[i];
      const parent = chain[i - 1];
      if (diffId === undefined || layers.has(chainId)) return;
      const { owner } = image;
      layers.set(chainId, { owner, diffId, ...(parent === undefined ? {} : { parent }) });
    });
  }
  const cacheIds = await checkLayers(inspection, paths, layers);
  const links = await checkDirectories(inspection, paths, layers, cacheIds);
  // Where a config could not be read nobody knows what is too much.
  if (complete) {
    const configs = new Set(wanted.map(({ config }) => hexOf(config)));
    await checkStrangers(inspection, paths.configs, configs, 'belongs to no pinned image');
    const chains = new Set([...layers.keys()].map(hexOf));
    await checkStrangers(inspection, paths.layers, chains, 'is a layer of no pinned image');
    const directories = new Set([...cacheIds.values(), 'l']);
    await checkStrangers(inspection, paths.driver, directories, 'is of no layer');
    await checkStrangers(inspection, paths.links, new Set(links.values()), 'is of no layer');
  }
  // Without pins there is one for each config, whatever its names.
  const images = pins === undefined ? wanted.length : Object.keys(pins.images).length;
  return { images, ...hashed, snapshots: layers.size, layers: unpacked(paths, layers, cacheIds) };
}

function unpacked(
  paths: Overlay2Paths,
  layers: ReadonlyMap<Digest, WantedLayer>,
  cacheIds: ReadonlyMap<Digest, string>,
): readonly DriverLayer[] {
  return [...layers].flatMap(([chainId, { owner, diffId, parent }]) => {
    const cacheId = cacheIds.get(chainId);
    if (cacheId === undefined) return [];
    return [
      {
        ...{ owner, diffId, isBase: parent === undefined },
        directory: `/${paths.driver}/${cacheId}/diff`,
        record: `/${paths.layers}/${hexOf(chainId)}/${LAYER_FILES.tarSplit}`,
      },
    ];
  });
}

function checkNames(
  inspection: Inspection,
  pins: TargetPins,
  names: ReadonlyMap<string, Digest>,
): void {
  const expected = new Set<string>();
  for (const [owner, pin] of Object.entries(pins.images))
    for (const name of pin.names) {
      expected.add(name);
      const id = names.get(name);
      if (id === undefined) inspection.find(`image ${owner}: the engine has no ${name}`);
      else if (id !== pin.config.digest)
        inspection.find(`image ${owner}: ${name} is ${id}, pinned is ${pin.config.digest}`);
    }
  for (const [name, id] of names)
    if (!expected.has(name)) inspection.findExtra(`image ${name} is not pinned (it is ${id})`);
}

/** One for each config: several pins may have one. */
function fromPins(pins: TargetPins): readonly WantedImage[] {
  const images = new Map<Digest, WantedImage>();
  for (const [name, pin] of Object.entries(pins.images))
    if (!images.has(pin.config.digest))
      images.set(pin.config.digest, {
        owner: `image ${name}`,
        config: pin.config.digest,
        layers: pin.layers.length,
      });
  return [...images.values()];
}

function fromNames(names: ReadonlyMap<string, Digest>): readonly WantedImage[] {
  const images = new Map<Digest, WantedImage>();
  for (const [name, config] of names)
    if (!images.has(config)) images.set(config, { owner: `image ${name}`, config });
  return [...images.values()];
}

/** The diff IDs of an image whose config is what its name says. */
async function readConfig(
  inspection: Inspection,
  paths: Overlay2Paths,
  { owner, config, layers }: WantedImage,
  hashed: { blobs: number; bytes: number },
): Promise<readonly Digest[] | undefined> {
  const path = `/${paths.configs}/${hexOf(config)}`;
  const hash = await inspection.hash(path, owner);
  if (hash === undefined) return undefined;
  hashed.blobs += 1;
  hashed.bytes += hash.size;
  if (hash.sha256 !== config) {
    inspection.find(`${owner}: config ${config} has other bytes: ${hash.sha256}`);
    return undefined;
  }
  const bytes = await inspection.read(path, owner);
  const diffIds = bytes === undefined ? undefined : diffIdsOf(bytes);
  if (diffIds === undefined) inspection.find(`${owner}: config ${config} has no list of diff IDs`);
  else if (layers !== undefined && diffIds.length !== layers) {
    inspection.find(
      `${owner}: config ${config} has ${diffIds.length} diff IDs for ${layers} layers`,
    );
    return undefined;
  }
  return diffIds;
}

function diffIdsOf(bytes: Buffer): readonly Digest[] | undefined {
  try {
    const config = JSON.parse(bytes.toString('utf8')) as unknown;
    const rootfs = isRecord(config) ? config['rootfs'] : undefined;
    const listed = isRecord(rootfs) ? rootfs['diff_ids'] : undefined;
    // An image of no layers may say null.
    const diffIds = Array.isArray(listed) ? listed.map((diffId) => parseDigest(diffId)) : [];
    return diffIds.every((diffId) => diffId !== undefined) ? diffIds : undefined;
  } catch {
    return undefined;
  }
}

/** What the layer database says of each layer; returns the names of their directories. */
async function checkLayers(
  inspection: Inspection,
  paths: Overlay2Paths,
  layers: ReadonlyMap<Digest, WantedLayer>,
): Promise<Map<Digest, string>> {
  const cacheIds = new Map<Digest, string>();
  const known = new Set(
    (await inspection.list(`/${paths.layers}`, 'the layers'))?.map((entry) => entry.name) ?? [],
  );
  await eachOfTwo(layers, async ([chainId, { owner, diffId, parent }]) => {
    const directory = `/${paths.layers}/${hexOf(chainId)}`;
    if (!known.has(hexOf(chainId))) {
      inspection.find(`${owner}: its layer with chain ID ${chainId} is not unpacked`);
      return;
    }
    const what = `${owner}: layer ${chainId}`;
    const entries = (await inspection.list(directory, owner)) ?? [];
    const sizes = new Map(entries.map((entry) => [entry.name, entry.size]));
    const read = async (name: string): Promise<string | undefined> => {
      if (!sizes.has(name)) return undefined;
      return (await inspection.read(`${directory}/${name}`, owner))?.toString('utf8');
    };
    const diff = await read(LAYER_FILES.diffId);
    if (diff !== diffId)
      inspection.find(`${what} has the diff ID ${diff ?? 'none'} instead of ${diffId}`);
    const below = await read(LAYER_FILES.parent);
    if (below !== parent)
      inspection.find(`${what} has the parent ${below ?? 'none'} instead of ${parent ?? 'none'}`);
    if (!/^\d+$/.test((await read(LAYER_FILES.size)) ?? '')) inspection.find(`${what} has no size`);
    if ((sizes.get(LAYER_FILES.tarSplit) ?? 0) === 0)
      inspection.find(`${what} has no ${LAYER_FILES.tarSplit}, without which it can't be saved`);
    const cacheId = await read(LAYER_FILES.cacheId);
    if (cacheId === undefined || !isCacheId(cacheId))
      inspection.find(`${what} does not say which directory it has`);
    else if ([...cacheIds.values()].includes(cacheId))
      inspection.find(`${what} has the directory ${cacheId} of another layer`);
    else cacheIds.set(chainId, cacheId);
  });
  return cacheIds;
}

/** The driver's directory of each layer, and how it finds those below it; returns their links. */
async function checkDirectories(
  inspection: Inspection,
  paths: Overlay2Paths,
  layers: ReadonlyMap<Digest, WantedLayer>,
  cacheIds: ReadonlyMap<Digest, string>,
): Promise<ReadonlyMap<Digest, string>> {
  const links = new Map<Digest, string>();
  const lowers = new Map<Digest, string>();
  await eachOfTwo(cacheIds, async ([chainId, cacheId]) => {
    const owner = layers.get(chainId)?.owner ?? chainId;
    const directory = `/${paths.driver}/${cacheId}`;
    const entries = await inspection.list(directory, owner);
    if (entries === undefined) return;
    const has = (name: string): boolean => entries.some((entry) => entry.name === name);
    if (!entries.some(({ name, type }) => name === 'diff' && type === 'directory'))
      inspection.find(`${owner}: ${directory.slice(1)}/diff is not there`);
    const link = has('link') ? await inspection.read(`${directory}/link`, owner) : undefined;
    const name = link?.toString('utf8') ?? '';
    if (isLink(name)) links.set(chainId, name);
    else inspection.find(`${owner}: ${directory.slice(1)} has no link`);
    const lower = has('lower') ? await inspection.read(`${directory}/lower`, owner) : undefined;
    lowers.set(chainId, lower?.toString('utf8') ?? '');
  });
  await eachOfTwo(links, async ([chainId, link]) => {
    const owner = layers.get(chainId)?.owner ?? chainId;
    const cacheId = cacheIds.get(chainId) ?? '';
    const target = await inspection.readLink(`/${paths.links}/${link}`, owner);
    if (target !== undefined && target !== `../${cacheId}/diff`)
      inspection.find(
        `${owner}: ${paths.links}/${link} leads to ${target}, not to ../${cacheId}/diff`,
      );
    const below = linksBelow(chainId, layers, links);
    if (below !== undefined && lowers.get(chainId) !== formatLower(below))
      inspection.find(`${owner}: ${paths.driver}/${cacheId} does not lie on the layers below it`);
  });
  return links;
}

/** The nearest first; undefined where one of them has none, which is a finding already. */
function linksBelow(
  chainId: Digest,
  layers: ReadonlyMap<Digest, WantedLayer>,
  links: ReadonlyMap<Digest, string>,
): readonly string[] | undefined {
  const below: string[] = [];
  for (let at = layers.get(chainId)?.parent; at !== undefined; at = layers.get(at)?.parent) {
    const link = links.get(at);
    if (link === undefined) return undefined;
    below.push(link);
  }
  return below;
}

async function checkStrangers(
  inspection: Inspection,
  directory: string,
  expected: ReadonlySet<string>,
  problem: string,
): Promise<void> {
  for (const { name } of (await inspection.list(`/${directory}`, directory)) ?? [])
    if (!expected.has(name)) inspection.findExtra(`${directory}/${name} ${problem}`);
}

import { createHash } from 'node:crypto';
import type { Digest } from '../model/digest.ts';
import { digestOf, hexOf } from '../model/digest.ts';
import { nameOf, parseReference, taggedName } from '../model/reference.ts';
import { formatLower, LAYER_FILES, overlay2Paths } from './overlay2-store.ts';
import type { StorageDirectory, StorageFile, StorageItem, StorageLink } from './storage-item.ts';
import { ancestors } from './storage-item.ts';

/** What a graph driver overlay2 is to know. */
export interface Overlay2Content {
  readonly images: readonly Overlay2Image[];
  /** Every layer of the images once, parents before children. */
  readonly layers: readonly Overlay2Layer[];
}

export interface Overlay2Image {
  /** Byte for byte; its digest is the image's ID. */
  readonly config: Uint8Array;
  /** Full names with tags: `docker.io/library/x:tag`. */
  readonly names: readonly string[];
}

export interface Overlay2Layer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** The chain ID below; absent for a base. */
  readonly parent?: Digest;
  /** The sum of the sizes of its regular files, as their headers have them. */
  readonly size: number;
  /** What `TarSplit` made of its archive. */
  readonly tarSplit: Uint8Array;
}

/**
 * Everything that the engine keeps of the images besides the files in the layers, which go into `overlay2LayerRoot`:
 * directories, files and symbolic links with the engine's modes, parents before what is in them. The directories include the
 * data root's own and `diff` of every layer.
 */
export function overlay2Items(dataRoot: string, content: Overlay2Content): StorageItem[] {
  const paths = overlay2Paths(dataRoot);
  const image = `${dataRoot}/image`;
  const store = `${image}/overlay2`;
  const above = ancestors(dataRoot);
  return [
    ...above.map((path, i) => directory(path, i < above.length - 1 ? 0o755 : 0o710)),
    directory(image, 0o700),
    directory(store, 0o700),
    directory(`${store}/imagedb`, 0o700),
    directory(`${store}/imagedb/content`, 0o700),
    directory(paths.configs, 0o700),
    directory(`${store}/imagedb/metadata`, 0o700),
    directory(`${store}/imagedb/metadata/sha256`, 0o700),
    directory(`${store}/layerdb`, 0o700),
    directory(paths.layers, 0o755),
    file(paths.repositories, 0o600, repositories(content.images)),
    ...configs(paths.configs, content.images),
    ...content.layers.flatMap((layer) => records(`${paths.layers}/${hexOf(layer.chainId)}`, layer)),
    directory(paths.driver, 0o710),
    directory(paths.links, 0o700),
    ...unpacked(paths.driver, paths.links, content.layers),
  ];
}

/** Where the layer's files go: relative to the partition's root. */
export function overlay2LayerRoot(dataRoot: string, chainId: Digest): string {
  return `${overlay2Paths(dataRoot).driver}/${cacheIdOf(chainId)}/diff`;
}

/** The engine takes random ones; any that are unique do, and these are the same in every build. */
function cacheIdOf(chainId: Digest): string {
  return createHash('sha256').update(`cache-id of ${chainId}`).digest('hex');
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function linkOf(chainId: Digest): string {
  const hash = createHash('sha256').update(`link of ${chainId}`).digest();
  return [...hash.subarray(0, 26)].map((byte) => BASE32.charAt(byte % 32)).join('');
}

function configs(into: string, images: readonly Overlay2Image[]): StorageFile[] {
  const byId = new Map(images.map(({ config }) => [hexOf(digestOf(config)), config]));
  return [...byId].sort(byKey).map(([hex, config]) => file(`${into}/${hex}`, 0o600, config));
}

/** `layer/filestore.go` of moby. */
function records(at: string, layer: Overlay2Layer): StorageItem[] {
  const put = (name: string, content: string | Uint8Array): StorageFile =>
    file(`${at}/${name}`, 0o644, content);
  return [
    directory(at, 0o700),
    put(LAYER_FILES.cacheId, cacheIdOf(layer.chainId)),
    put(LAYER_FILES.diffId, layer.diffId),
    ...(layer.parent === undefined ? [] : [put(LAYER_FILES.parent, layer.parent)]),
    put(LAYER_FILES.size, String(layer.size)),
    put(LAYER_FILES.tarSplit, layer.tarSplit),
  ];
}

/** `daemon/graphdriver/overlay2` of moby. */
function unpacked(driver: string, links: string, layers: readonly Overlay2Layer[]): StorageItem[] {
  const parents = new Map(layers.map(({ chainId, parent }) => [chainId, parent]));
  const below = (chainId: Digest): string[] => {
    const found: string[] = [];
    for (let id = parents.get(chainId); id !== undefined; id = parents.get(id)) {
      if (!parents.has(id)) throw new Error(`layer ${id} is not there`);
      found.push(linkOf(id));
    }
    return found;
  };
  const above = new Set(parents.values());
  return layers.flatMap(({ chainId }) => {
    const at = `${driver}/${cacheIdOf(chainId)}`;
    const lower = below(chainId);
    return [
      directory(at, 0o710),
      directory(`${at}/diff`, 0o755),
      file(`${at}/link`, 0o644, linkOf(chainId)),
      // The driver says so of what it has put something on.
      ...(above.has(chainId) ? [file(`${at}/committed`, 0o600, '')] : []),
      ...(lower.length === 0
        ? []
        : [directory(`${at}/work`, 0o700), file(`${at}/lower`, 0o644, formatLower(lower))]),
      link(`${links}/${linkOf(chainId)}`, `../${cacheIdOf(chainId)}/diff`),
    ];
  });
}

/** `reference/store.go` of moby: by short name, as users write them. An image that was loaded has no name by digest. */
function repositories(images: readonly Overlay2Image[]): string {
  const tags = new Map<string, Map<string, Digest>>();
  for (const { config, names } of images)
    for (const name of names) {
      const reference = parseReference(name);
      const full = reference.ok ? taggedName(reference.value) : undefined;
      if (!reference.ok || full === undefined) throw new Error(`${name} is no name with a tag`);
      const repository = shorten(nameOf(reference.value));
      const known = tags.get(repository) ?? new Map<string, Digest>();
      tags.set(repository, known.set(shorten(full), digestOf(config)));
    }
  const sorted = [...tags]
    .sort(byKey)
    .map(([name, ids]): [string, object] => [name, Object.fromEntries([...ids].sort(byKey))]);
  return JSON.stringify({ Repositories: Object.fromEntries(sorted) });
}

function shorten(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/(?=[^/]*$))?/, '');
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function directory(path: string, mode: number): StorageDirectory {
  return { type: 'directory', path, mode };
}

function file(path: string, mode: number, content: string | Uint8Array): StorageFile {
  return { type: 'file', path, mode, bytes: Buffer.from(content) };
}

function link(path: string, target: string): StorageLink {
  return { type: 'symlink', path, target };
}

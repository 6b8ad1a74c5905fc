import type { Hash } from 'node:crypto';
import { createHash } from 'node:crypto';
import type { ContentImage } from '../inspect/contents.ts';
import type { DataImage } from '../inspect/data-image.ts';
import type { ContainerdContent } from '../inspect/containerd-content.ts';
import type { ImageBlobs } from '../inspect/image-blobs.ts';
import { readDocument } from '../inspect/blobs.ts';
import type { Context } from '../model/event.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';
import { readImageParts } from '../oci/image-parts.ts';
import { firstDifference } from '../trees/compare-nodes.ts';
import type { CompareTreesOptions, TreeDifference } from '../trees/compare-trees.ts';
import { compareTrees } from '../trees/compare-trees.ts';
import { imageTreeAt } from '../trees/image-tree.ts';
import { single } from '../trees/merged-tree.ts';
import { isOverlaysOwn } from '../trees/tree-node.ts';
import { FileCollector, isEmpty } from './collect-files.ts';
import type {
  FieldChange,
  FileDifferences,
  RecordChange,
  UnpackedDifference,
} from './difference.ts';
import { isEngineMade } from './engine-files.ts';
import type { Pairing } from './pair-images.ts';

/** What two data images have besides names and images that moved. */
export interface DataImageDifferences {
  readonly records: readonly RecordChange[];
  readonly unpacked: readonly UnpackedDifference[];
  readonly files: FileDifferences;
  readonly dataRoot: FileDifferences;
  readonly engineMade: FileDifferences;
  readonly fileSystem: readonly FieldChange[];
  /** Chain IDs of layers whose files are the same on both. */
  readonly sameLayers: ReadonlySet<string>;
  /** Blobs that both have, whose bytes are what their digests say. */
  readonly hashed: ReadonlySet<Digest>;
}

/** Throws `Stopped`. `most` is how many files are listed of each tree. */
export async function compareDataImages(
  from: DataImage,
  to: DataImage,
  pairing: Pairing,
  most: number,
  { signal }: Context,
): Promise<DataImageDifferences> {
  const unpacked: UnpackedDifference[] = [];
  const sameLayers = new Set<string>();
  const records: RecordChange[] = [];
  for (const { from: a, to: b } of pairing.same)
    if (a.index !== b.index)
      records.push({
        ...{ what: 'index', key: a.names[0] ?? b.names[0] ?? '' },
        ...side(a.index, b.index),
      });
  for (const [chainId, images] of chainsOf(from, to)) {
    const [a, b] = [from.layerPath(chainId), to.layerPath(chainId)];
    if (a === undefined || b === undefined) {
      if (a !== b) records.push({ what: 'snapshot', key: chainId, ...side(a, b) });
      continue;
    }
    const collector = new FileCollector(most);
    const trees = [
      await imageTreeAt(from.reader, a, signal),
      await imageTreeAt(to.reader, b, signal),
    ] as const;
    const [x, y] = trees.map((tree) => (tree === undefined ? undefined : single(tree)));
    for await (const difference of compareTrees(x, y, { ignoreXattr: isOverlaysOwn }))
      collector.take(difference);
    if (isEmpty(collector.result)) sameLayers.add(chainId);
    else
      unpacked.push({
        chainId,
        images: images.flatMap(({ names }) => names),
        files: collector.result,
      });
  }
  const engineMade = new FileCollector(most);
  const hashed = new Set<Digest>();
  if (from.containerd !== undefined && to.containerd !== undefined)
    records.push(...(await compareStores(from.containerd, to.containerd, engineMade, hashed)));
  if (from.overlay2 !== undefined && to.overlay2 !== undefined)
    records.push(
      ...(await compareBlobs(from.overlay2.blobs, to.overlay2.blobs, hashed)),
      ...compareLists('snapshot', from.overlay2.foreign, to.overlay2.foreign),
    );
  return {
    ...{ records, unpacked, sameLayers, hashed },
    ...(await compareRest(from, to, most, engineMade, signal)),
    fileSystem: compareFacts(from, to),
  };
}

/** Those that both have, with the images of theirs. */
function chainsOf(from: DataImage, to: DataImage): ReadonlyMap<string, readonly ContentImage[]> {
  const chains = (image: DataImage): Map<string, ContentImage[]> => {
    const found = new Map<string, ContentImage[]>();
    for (const one of image.contents.images)
      for (const { chainId } of one.layers)
        if (chainId !== undefined) found.set(chainId, [...(found.get(chainId) ?? []), one]);
    return found;
  };
  const others = chains(to);
  return new Map([...chains(from)].filter(([chainId]) => others.has(chainId)));
}

async function compareStores(
  from: ContainerdContent,
  to: ContainerdContent,
  engineMade: FileCollector,
  hashed: Set<Digest>,
): Promise<RecordChange[]> {
  const records = await compareBlobs(from.blobs, to.blobs, hashed);
  for (const digest of from.blobs.digests())
    if (to.blobs.size(digest) !== undefined) records.push(...compareLabels(digest, from, to));
  for (const [kind, mine, theirs] of [
    ['removed', from, to],
    ['added', to, from],
  ] as const) {
    for (const digest of mine.extra) {
      if (theirs.blobs.size(digest) !== undefined) continue;
      const size = mine.blobs.size(digest) ?? 0;
      // `docker load` leaves an archive's index as a blob of nobody's.
      if (await pointsAtImages(mine, digest))
        engineMade.add({ kind, path: `blob ${digest}`, type: 'file', size });
      else
        records.push({
          ...{ what: 'blob', key: digest },
          ...(kind === 'removed' ? { from: `${size} bytes` } : { to: `${size} bytes` }),
        });
    }
  }
  records.push(
    ...compareLists('snapshot', without(from.foreign, to), without(to.foreign, from)),
    ...compareLists('entry', entriesOf(from), entriesOf(to)),
  );
  for (const [key, { parent }] of from.store.snapshots) {
    const other = to.store.snapshots.get(key);
    if (other !== undefined && other.parent !== parent)
      records.push({ what: 'parent', key, ...side(parent, other.parent) });
  }
  return records;
}

/** Byte for byte, those that both have; `hashed` gets those that are the same, and what their digests say. */
async function compareBlobs(
  from: ImageBlobs,
  to: ImageBlobs,
  hashed: Set<Digest>,
): Promise<RecordChange[]> {
  const records: RecordChange[] = [];
  for (const digest of from.digests()) {
    const [a, b] = [from.size(digest), to.size(digest)];
    if (a === undefined || b === undefined) continue;
    if (a !== b) records.push({ what: 'content', key: digest, ...side(`${a}`, `${b}`) });
    else if (a > 0) {
      const hash = createHash('sha256');
      const at = await firstDifference(hashing(from.read(digest), hash), to.read(digest));
      if (at === undefined && digestFromHex(hash.digest('hex')) === digest) hashed.add(digest);
      if (at !== undefined)
        records.push({
          ...{ what: 'content', key: digest },
          ...side(`${a} bytes`, `others from byte ${at} on`),
        });
    }
  }
  return records;
}

async function* hashing(source: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    hash.update(piece);
    yield piece;
  }
}

function compareLabels(
  digest: Digest,
  from: ContainerdContent,
  to: ContainerdContent,
): RecordChange[] {
  const [a, b] = [from.store.blobs.get(digest), to.store.blobs.get(digest)];
  if (a === undefined || b === undefined)
    return a === b ? [] : [{ what: 'blob', key: digest, ...side(a && 'known', b && 'known') }];
  return [...new Set([...Object.keys(a.labels), ...Object.keys(b.labels)])]
    .sort()
    .filter((label) => a.labels[label] !== b.labels[label])
    .map((label) => ({
      ...{ what: 'label', key: `${digest} ${label}` },
      ...side(a.labels[label], b.labels[label]),
    }));
}

async function pointsAtImages(content: ContainerdContent, digest: Digest): Promise<boolean> {
  const bytes = await readDocument(content.blobs, digest);
  const parts = bytes === undefined ? undefined : readImageParts(bytes);
  const known = new Set(content.images.flatMap(({ manifest, index }) => [manifest, index]));
  return parts?.kind === 'index' && parts.parts.every((part) => known.has(part.digest));
}

/** What the other side has as well is of an image there whose manifest or config is missing here. */
function without(
  foreign: readonly string[],
  { store, foreign: others }: ContainerdContent,
): string[] {
  return foreign.filter((key) => others.includes(key) || !store.snapshots.has(key));
}

function entriesOf({ store }: ContainerdContent): readonly string[] {
  return [
    ...store.namespaces.map((name) => `namespace ${name}`),
    ...store.containers.map((name) => `container ${name}`),
    ...store.leases.map((name) => `lease ${name}`),
    ...store.ingests.map((name) => `ingest ${name}`),
  ];
}

function compareLists(
  what: RecordChange['what'],
  from: readonly string[],
  to: readonly string[],
): RecordChange[] {
  return [
    ...from.filter((key) => !to.includes(key)).map((key) => ({ what, key, from: 'there' })),
    ...to.filter((key) => !from.includes(key)).map((key) => ({ what, key, to: 'there' })),
  ];
}

/** Everything that is no image. */
async function compareRest(
  from: DataImage,
  to: DataImage,
  most: number,
  engineMade: FileCollector,
  signal: AbortSignal,
): Promise<Pick<DataImageDifferences, 'files' | 'dataRoot' | 'engineMade'>> {
  const [files, dataRoot] = [new FileCollector(most), new FileCollector(most)];
  const [a, b] = [from.root?.dataRoot, to.root?.dataRoot];
  const known = new Set([...ownPaths(from), ...ownPaths(to)]);
  const options: CompareTreesOptions = {
    skip: (path) => path === 'lost+found' || known.has(path),
    // They are of the build.
    times: false,
    ignoreXattr: isOverlaysOwn,
  };
  const [x, y] = [await treeAt(from, signal), await treeAt(to, signal)];
  for await (const difference of compareTrees(x, y, options)) {
    const within = [a, b].flatMap((root) => relativeTo(root, difference.path))[0];
    if (within === undefined && !isRootsMode(difference, [a, b])) files.take(difference);
    else if (within === undefined) engineMade.take(difference);
    else (isByEngine(within, difference) ? engineMade : dataRoot).take(difference);
  }
  return { files: files.result, dataRoot: dataRoot.result, engineMade: engineMade.result };
}

/** Directories come and go by themselves; that one is another's, or open to others, is somebody's doing. */
function isByEngine(path: string, difference: TreeDifference): boolean {
  if (difference.kind !== 'changed') return isEngineMade(path, difference.node.type);
  return difference.to.type === 'file' && isEngineMade(path, 'file');
}

/** Every dockerd gives its data root a mode of its own when it starts, which one depends on its version. */
const ROOT_MODES = new Set(['0700', '0701', '0710', '0711']);

function isRootsMode(difference: TreeDifference, roots: readonly (string | undefined)[]): boolean {
  if (difference.kind !== 'changed' || difference.path === '' || !roots.includes(difference.path))
    return false;
  return difference.changes.every(
    ({ what, from, to }) => what === 'mode' && ROOT_MODES.has(from) && ROOT_MODES.has(to),
  );
}

async function treeAt(
  image: DataImage,
  signal: AbortSignal,
): Promise<ReturnType<typeof single> | undefined> {
  const tree = await imageTreeAt(image.reader, '/', signal);
  return tree === undefined ? undefined : single(tree);
}

/** Where in the data root, if it is in it. */
function relativeTo(root: string | undefined, path: string): string[] {
  if (root === undefined || path === '') return [];
  if (root === '') return [path];
  return path.startsWith(`${root}/`) ? [path.slice(root.length + 1)] : [];
}

/** What is compared by its meaning, and not by its bytes. */
function ownPaths({ containerd, overlay2 }: DataImage): readonly string[] {
  const plain = (path: string): string => path.replace(/^\/+/, '');
  if (containerd !== undefined) {
    const { blobs, metaDb, snapshotsDb, snapshots } = containerd.paths;
    return [blobs, metaDb, snapshotsDb, snapshots].map(plain);
  }
  if (overlay2 === undefined) return [];
  const { repositories, configs, layers, driver } = overlay2.paths;
  return [repositories, configs, layers, driver].map(plain);
}

function compareFacts(from: DataImage, to: DataImage): FieldChange[] {
  const facts = ({ contents, root }: DataImage): Readonly<Record<string, unknown>> => ({
    label: contents.fileSystem?.label,
    'engine.store': root?.store,
    'engine.layout': root?.layout,
    'engine.dataRoot': root?.dataRoot,
  });
  const [a, b] = [facts(from), facts(to)];
  return Object.keys(a)
    .filter((path) => a[path] !== b[path])
    .map((path) => ({ path, ...side(a[path], b[path]) }));
}

function side<T>(from: T | undefined, to: T | undefined): { readonly from?: T; readonly to?: T } {
  return { ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
}

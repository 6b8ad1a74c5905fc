import { chainIds, containerdPaths, readContainerdStore } from '../data-root/containerd-store.ts';
import { pathProblem } from '../model/bundle-paths.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { FilePin, ImagePin } from '../model/pins.ts';
import { formatPlatform, platformOf } from '../model/platform.ts';
import { parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readDiffIds, readImageParts, readStatedPlatform } from '../oci/image-parts.ts';
import type { DirectoryEntry, ReadFailure } from '../ext4/reader/at-path.ts';
import { hashAt, linkAt, listAt, readAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import { escapeName, isPlainName, strangeNames } from './into-names.ts';

/** What lies on a data partition that nobody has told us about: read with no mount and no engine. */
export interface ExistingContent {
  /** By their first name. All that the engine lists, with all their names. */
  readonly images: Readonly<Record<string, ImagePin>>;
  /** Every path outside the data root, `lost+found` aside, directories with a slash at the end; what it is, in words. */
  readonly tree: ReadonlyMap<string, string>;
  /** Of these, what pins can describe: root's plain files, under names that a bundle could give them. */
  readonly files: Readonly<Record<string, FilePin>>;
  /** What of an engine is there besides images, and would be lost, and what nothing can be added to; phrases. */
  readonly state: readonly string[];
}

/** The largest file that is read at once: a database of containerd's. */
const READ_LIMIT = 256 * 1024 * 1024;

/** Fails with `into-refused` where it can't be read for what it is, and as `openImage` does. */
export async function readExisting(
  image: string,
  dataRoot: string,
  signal: AbortSignal,
): Promise<Result<ExistingContent>> {
  const opened = await openImage(image);
  if (!opened.ok) return opened;
  try {
    return await readContent(opened.value, dataRoot, signal);
  } finally {
    await opened.value.close();
  }
}

async function readContent(
  image: ImageReader,
  dataRoot: string,
  signal: AbortSignal,
): Promise<Result<ExistingContent>> {
  const tree = new Map<string, string>();
  const files: Record<string, FilePin> = {};
  const strange: string[] = [];
  const walked = await walk(image, '', { dataRoot, tree, files, strange, signal });
  if (!walked.ok) return walked;
  const listed = await list(image, `/${dataRoot}`);
  if (!listed.ok) return listed;
  // None yet: the engine makes one.
  if (listed.value === undefined) {
    return ok({ images: {}, tree, files, state: strange.map(describeStrange) });
  }
  const inRoot = await strangeNames(image, dataRoot);
  if (!inRoot.ok) return fail(unreadable(image.path, inRoot.failure));
  const state = await engineState(image, dataRoot);
  if (!state.ok) return state;
  const read = await readImages(image, dataRoot);
  if (!read.ok) return read;
  const { images, packed } = read.value;
  const phrases = [
    ...state.value,
    ...(packed.length === 0
      ? []
      : [
          `only to images whose content is unpacked can any be added; not so: ${packed.join(', ')}`,
        ]),
    ...[...strange, ...inRoot.value].map(describeStrange),
  ];
  return ok({ images, tree, files, state: phrases });
}

function describeStrange(path: string): string {
  return `a name in it is no UTF-8, or has control characters: ${path}`;
}

interface Walk {
  readonly dataRoot: string;
  readonly tree: Map<string, string>;
  readonly files: Record<string, FilePin>;
  /** Paths with names that are not plain, escaped. */
  readonly strange: string[];
  readonly signal: AbortSignal;
}

async function walk(image: ImageReader, directory: string, found: Walk): Promise<Result<void>> {
  const { dataRoot, tree, files, signal } = found;
  const entries = await list(image, `/${directory}`);
  if (!entries.ok) return entries;
  for (const entry of entries.value ?? []) {
    const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
    if (path === dataRoot || path === 'lost+found') continue;
    if (!isPlainName(entry.bytes)) {
      found.strange.push(`${directory === '' ? '' : `${directory}/`}${escapeName(entry.bytes)}`);
      continue;
    }
    const about = `${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`;
    if (entry.type === 'directory') {
      tree.set(`${path}/`, about);
      const below = await walk(image, path, found);
      if (!below.ok) return below;
      continue;
    }
    if (entry.type === 'symlink') {
      const target = await linkAt(image, `/${path}`);
      if (!target.ok) return fail(unreadable(image.path, target.failure));
      tree.set(path, `${about} to ${target.value}`);
      continue;
    }
    if (entry.type !== 'file') {
      tree.set(path, about);
      continue;
    }
    const hashed = await hashAt(image, `/${path}`, signal);
    if (!hashed.ok) return fail(unreadable(image.path, hashed.failure));
    const { size, sha256 } = hashed.value;
    tree.set(path, `${about} ${size} ${sha256}`);
    if (entry.uid === 0 && entry.gid === 0 && pathProblem(path) === undefined)
      files[path] = { sha256, size, mode: entry.mode.toString(8).padStart(4, '0') };
  }
  return ok();
}

/** What an engine keeps that is somebody's, in directories that are empty or not there in an image of ours. */
async function engineState(image: ImageReader, dataRoot: string): Promise<Result<string[]>> {
  const found: string[] = [];
  const look = async (
    directory: string,
    what: string,
    isSomebodys: (entry: DirectoryEntry) => boolean,
  ): Promise<Result<void>> => {
    const entries = await list(image, `/${dataRoot}/${directory}`);
    if (!entries.ok) return entries;
    const names = (entries.value ?? []).filter(isSomebodys).map(({ bytes }) => escapeName(bytes));
    if (names.length > 0) found.push(`it has ${what}: ${names.join(', ')}`);
    return ok();
  };
  const directories = (entry: DirectoryEntry): boolean => entry.type === 'directory';
  for (const looked of [
    await look('volumes', 'volumes', directories),
    await look('containers', 'containers', directories),
    // The other two are the plugins' common store and what is left of an installation.
    await look(
      'plugins',
      'plugins',
      (entry) => directories(entry) && entry.name !== 'storage' && entry.name !== 'tmp',
    ),
    await look('swarm', 'a swarm', () => true),
    await look('image/overlay2/imagedb/content/sha256', 'images in overlay2', () => true),
  ])
    if (!looked.ok) return looked;
  return ok(found);
}

interface ReadImages {
  readonly images: Record<string, ImagePin>;
  /** First names of those of which the engine has no snapshots. */
  readonly packed: readonly string[];
}

async function readImages(image: ImageReader, dataRoot: string): Promise<Result<ReadImages>> {
  const paths = containerdPaths(dataRoot, 'daemon');
  const refuse = (conflict: string): Result<never> =>
    fail({ reason: 'into-refused', image: image.path, conflicts: [conflict] });
  const meta = await readDatabase(image, paths.metaDb);
  if (!meta.ok) return meta;
  if (meta.value === undefined) return ok({ images: {}, packed: [] });
  const snapshots = await readDatabase(image, paths.snapshotsDb);
  if (!snapshots.ok) return snapshots;
  const store = readContainerdStore(meta.value, snapshots.value);
  if (!store.ok) return refuse(`its ${store.failure.database} is damaged: ${store.failure.detail}`);
  const read = async (digest: Digest): Promise<Buffer | undefined> => {
    if (!store.value.blobs.has(digest)) return undefined;
    const bytes = await readAt(image, `/${paths.blobs}/${hexOf(digest)}`, READ_LIMIT);
    return bytes.ok ? bytes.value : undefined;
  };
  const images: Record<string, ImagePin> = {};
  const packed: string[] = [];
  const keys = new Map<Digest, string>();
  for (const [name, { target }] of [...store.value.images].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const reference = parseReference(name);
    if (!reference.ok || taggedName(reference.value) !== name)
      return refuse(`its image ${escapeName(name)} has no name that pins can have`);
    const key = keys.get(target.digest) ?? name;
    const known = images[key];
    if (known !== undefined) images[key] = { ...known, names: [...known.names, name].sort() };
    else {
      const found = await readImage(name, target, read);
      if (found === undefined) return refuse(`its image ${name} is not whole`);
      images[name] = found.pin;
      const top = chainIds(found.diffIds).at(-1);
      const isUnpacked = snapshots.value !== undefined && store.value.snapshots.has(top ?? '');
      if (top !== undefined && !isUnpacked) packed.push(name);
      keys.set(target.digest, name);
    }
  }
  return ok({ images, packed });
}

/** Undefined where there is none. */
async function readDatabase(image: ImageReader, path: string): Promise<Result<Buffer | undefined>> {
  const bytes = await readAt(image, `/${path}`, READ_LIMIT);
  if (bytes.ok) return bytes;
  const { failure } = bytes;
  if (failure.reason === 'not-in-image' && failure.problem === 'missing') return ok(undefined);
  return fail(unreadable(image.path, failure));
}

async function readImage(
  name: string,
  target: Descriptor,
  read: (digest: Digest) => Promise<Buffer | undefined>,
): Promise<{ readonly pin: ImagePin; readonly diffIds: readonly Digest[] } | undefined> {
  const top = await read(target.digest);
  const parts = top && readImageParts(top);
  if (parts === undefined) return undefined;
  let manifest = target;
  let body = parts;
  if (parts.kind === 'index') {
    // An engine stores one platform of several.
    for (const part of parts.parts) {
      const bytes = await read(part.digest);
      const inner = bytes && readImageParts(bytes);
      if (inner?.kind !== 'manifest') continue;
      manifest = part;
      body = inner;
      break;
    }
    if (manifest === target) return undefined;
  }
  const [config, ...layers] = body.parts;
  const stated = config && (await read(config.digest));
  const platform = stated && platformOf(...readStatedPlatform(stated));
  const diffIds = stated && readDiffIds(stated);
  if (config === undefined || platform === undefined || diffIds === undefined) return undefined;
  const pin = {
    reference: `${name}@${target.digest}`,
    ...(manifest === target ? {} : { index: target.digest, keptIndex: target }),
    manifest,
    config,
    layers,
    platform: formatPlatform(platform),
    names: [name],
  };
  return { pin, diffIds };
}

/** Undefined where there is no such directory. */
async function list(
  image: ImageReader,
  path: string,
): Promise<Result<DirectoryEntry[] | undefined>> {
  const listed = await listAt(image, path);
  if (listed.ok) return listed;
  if (listed.failure.reason === 'not-in-image' && listed.failure.problem === 'missing')
    return ok(undefined);
  return fail(unreadable(image.path, listed.failure));
}

function unreadable(image: string, failure: ReadFailure) {
  if (failure.reason !== 'not-in-image') return failure;
  return {
    reason: 'into-refused',
    image,
    conflicts: [`${failure.path} is ${failure.problem}`],
  } as const;
}

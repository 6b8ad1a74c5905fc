import { containerdPaths, readContainerdStore } from '../data-root/containerd-store.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { FilePin, ImagePin } from '../model/pins.ts';
import { formatPlatform, platformOf } from '../model/platform.ts';
import { parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readImageParts, readStatedPlatform } from '../oci/image-parts.ts';
import type { DirectoryEntry, ReadFailure } from '../ext4/reader/at-path.ts';
import { hashAt, listAt, readAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { openImage } from '../ext4/reader/open-image.ts';

/** What lies on a data partition that nobody has told us about: read with no mount and no engine. */
export interface ExistingContent {
  /** By their first name. All that the engine lists, with all their names. */
  readonly images: Readonly<Record<string, ImagePin>>;
  /** Every path outside the data root, `lost+found` aside, directories with a slash at the end; what it is, in words. */
  readonly tree: ReadonlyMap<string, string>;
  /** Of these, what pins can describe: root's plain files. */
  readonly files: Readonly<Record<string, FilePin>>;
  /** What of an engine is there besides images, and would be lost; phrases. */
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
  const walked = await walk(image, '', dataRoot, tree, files, signal);
  if (!walked.ok) return walked;
  const listed = await list(image, `/${dataRoot}`);
  if (!listed.ok) return listed;
  // None yet: the engine makes one.
  if (listed.value === undefined) return ok({ images: {}, tree, files, state: [] });
  const state = await engineState(image, dataRoot);
  if (!state.ok) return state;
  const images = await readImages(image, dataRoot);
  return images.ok ? ok({ images: images.value, tree, files, state: state.value }) : images;
}

async function walk(
  image: ImageReader,
  directory: string,
  dataRoot: string,
  tree: Map<string, string>,
  files: Record<string, FilePin>,
  signal: AbortSignal,
): Promise<Result<void>> {
  const entries = await list(image, `/${directory}`);
  if (!entries.ok) return entries;
  for (const entry of entries.value ?? []) {
    const path = directory === '' ? entry.name : `${directory}/${entry.name}`;
    if (path === dataRoot || path === 'lost+found') continue;
    const about = `${entry.type} ${entry.mode.toString(8)} ${entry.uid}:${entry.gid}`;
    if (entry.type === 'directory') {
      tree.set(`${path}/`, about);
      const below = await walk(image, path, dataRoot, tree, files, signal);
      if (!below.ok) return below;
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
    if (entry.uid === 0 && entry.gid === 0)
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
    const names = (entries.value ?? []).filter(isSomebodys).map(({ name }) => name);
    if (names.length > 0) found.push(`it has ${what}: ${names.join(', ')}`);
    return ok();
  };
  const directories = (entry: DirectoryEntry): boolean => entry.type === 'directory';
  for (const looked of [
    await look('volumes', 'volumes', directories),
    await look('containers', 'containers', directories),
    await look('swarm', 'a swarm', () => true),
    await look('image/overlay2/imagedb/content/sha256', 'images in overlay2', () => true),
  ])
    if (!looked.ok) return looked;
  return ok(found);
}

async function readImages(
  image: ImageReader,
  dataRoot: string,
): Promise<Result<Record<string, ImagePin>>> {
  const paths = containerdPaths(dataRoot, 'daemon');
  const refuse = (conflict: string): Result<never> =>
    fail({ reason: 'into-refused', image: image.path, conflicts: [conflict] });
  const databases: Buffer[] = [];
  for (const path of [paths.metaDb, paths.snapshotsDb]) {
    const bytes = await readAt(image, `/${path}`, READ_LIMIT);
    if (!bytes.ok) {
      if (bytes.failure.reason === 'not-in-image' && databases.length === 0) return ok({});
      return fail(unreadable(image.path, bytes.failure));
    }
    databases.push(bytes.value);
  }
  const [meta = Buffer.of(), snapshots = Buffer.of()] = databases;
  const store = readContainerdStore(meta, snapshots);
  if (!store.ok) return refuse(`its ${store.failure.database} is damaged: ${store.failure.detail}`);
  const read = async (digest: Digest): Promise<Buffer | undefined> => {
    if (!store.value.blobs.has(digest)) return undefined;
    const bytes = await readAt(image, `/${paths.blobs}/${hexOf(digest)}`, READ_LIMIT);
    return bytes.ok ? bytes.value : undefined;
  };
  const images: Record<string, ImagePin> = {};
  const keys = new Map<Digest, string>();
  for (const [name, { target }] of [...store.value.images].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const reference = parseReference(name);
    if (!reference.ok || taggedName(reference.value) !== name)
      return refuse(`its image ${name} has no name that pins can have`);
    const key = keys.get(target.digest) ?? name;
    const known = images[key];
    if (known !== undefined) images[key] = { ...known, names: [...known.names, name].sort() };
    else {
      const pin = await readImage(name, target, read);
      if (pin === undefined) return refuse(`its image ${name} is not whole`);
      images[name] = pin;
      keys.set(target.digest, name);
    }
  }
  return ok(images);
}

async function readImage(
  name: string,
  target: Descriptor,
  read: (digest: Digest) => Promise<Buffer | undefined>,
): Promise<ImagePin | undefined> {
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
  if (config === undefined || platform === undefined) return undefined;
  return {
    reference: `${name}@${target.digest}`,
    ...(manifest === target ? {} : { index: target.digest, keptIndex: target }),
    manifest,
    config,
    layers,
    platform: formatPlatform(platform),
    names: [name],
  };
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

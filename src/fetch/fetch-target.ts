import type { Descriptor } from '../model/descriptor.ts';
import type { Context } from '../model/event.ts';
import type { BlobBad } from '../model/failure.ts';
import type { Digest } from '../model/digest.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Platform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { ImageToFetch, Locations } from '../plan/fetch-plan.ts';
import { blobsOf, bytesOf, imagesToFetch } from '../plan/fetch-plan.ts';
import type { WantedFile } from '../plan/wanted.ts';
import { hasImageLayout, writeImageLayout } from '../store/image-layout.ts';
import type { Shelf, Store } from '../store/store.ts';
import { checkContent, createStore, openStore } from '../store/store.ts';
import { sweepStore } from '../store/sweep.ts';
import type { FileToFetch } from './fetch-file.ts';
import { fetchFile } from './fetch-file.ts';
import type { ImageAccess } from './fetch-image.ts';
import { availableBytes, fetchImage, noSpace } from './fetch-image.ts';
import { inParallel } from './parallel.ts';

export interface FetchOptions extends ImageAccess {
  /** The store's directory; it is made where there is none. */
  readonly store: string;
  /** Images at a time. */
  readonly jobs?: number | undefined;
  /** No network: what is missing is a failure. */
  readonly offline?: boolean | undefined;
  /** The builder's platform, where the loader needs its image. */
  readonly dindPlatform?: Platform | undefined;
  /** Where the bundle has its local images; without it their paths begin at the working directory. */
  readonly locations?: Locations | undefined;
}

export interface FetchSummary {
  readonly images: number;
  readonly files: number;
  /** Bytes. */
  readonly downloaded: number;
  readonly blobs: readonly Digest[];
}

/** What a fetch would do: names of images as in the bundle, paths of files. */
export interface FetchPlan {
  readonly images: number;
  readonly files: number;
  readonly missingImages: readonly string[];
  readonly missingFiles: readonly string[];
  /** What would be downloaded, each blob once. */
  readonly bytes: number;
  /** What an offline fetch would fail with. */
  readonly first?: BlobBad;
}

const JOBS = 4;
/** Stats and small reads at a time: the warm check. */
const CHECKS = 16;

/**
 * Has everything of a target in the store. Where all is there it only looks: no request, no lock, no program, and no
 * write but to remove what a killed process left. Fails as docs/store.md says: blob-bad (offline), registry-…,
 * platform-mismatch, no-space, access-denied, store-invalid, tool-missing, interrupted.
 */
export async function fetchTarget(
  pins: TargetPins,
  files: Readonly<Record<string, WantedFile>>,
  options: FetchOptions,
  context: Context,
): Promise<Result<FetchSummary>> {
  const images = imagesToFetch(pins, options.dindPlatform, options.locations);
  if (!images.ok) return images;
  const opened = await openStore(options.store);
  if (!opened.ok) return opened;
  const lacks = await findMissing(opened.value, images.value, pins, context);
  if (!lacks.ok) return lacks;
  const { blobs, lackingImages, lackingFiles } = lacks.value;
  const bytes = bytesOf([...blobs, ...lackingFiles]);
  const missing = lackingImages.length;
  const { first } = lacks.value;
  // Offline nothing is going to be fetched.
  if (first !== undefined && options.offline === true) return fail(first);
  context.report({ type: 'fetch-planned', images: images.value.length, missing, bytes });
  const counts = { images: images.value.length, files: Object.keys(pins.files).length };
  const done = (fetched: readonly Descriptor[], fileBytes: number): Result<FetchSummary> => {
    const downloaded = bytesOf(fetched) + fileBytes;
    const summary = { ...counts, downloaded, blobs: fetched.map((blob) => blob.digest) };
    context.report({ type: 'fetched', ...summary });
    return ok(summary);
  };
  if (first === undefined) {
    await sweepStore(opened.value, context.report);
    const written = await writeMissingLayouts(opened.value, images.value, context);
    return written.ok ? done([], 0) : written;
  }

  const created = await createStore(options.store);
  if (!created.ok) return created;
  const store = created.value;
  await sweepStore(store, context.report);
  const available = await availableBytes(store);
  if (available !== undefined && available < bytes) return fail(await noSpace(store, bytes));
  const sources = lackingFiles.map((file) => fileSource(file, pins, files, store));
  const fetchedFiles = await inParallel(
    sources,
    options.jobs ?? JOBS,
    context,
    async (file, inner) => (file.ok ? fetchFile(store, file.value, options, inner) : file),
  );
  if (!fetchedFiles.ok) return fetchedFiles;
  const fetched = await inParallel(lackingImages, options.jobs ?? JOBS, context, (image, inner) =>
    fetchImage(store, image, options, inner),
  );
  if (!fetched.ok) return fetched;
  const written = await writeMissingLayouts(store, images.value, context);
  if (!written.ok) return written;
  return done(
    fetched.value.flat(),
    fetchedFiles.value.reduce((sum, size) => sum + size, 0),
  );
}

/** Looks as `fetchTarget` does, and changes nothing. */
export async function planFetch(
  pins: TargetPins,
  options: Pick<FetchOptions, 'store' | 'dindPlatform' | 'locations'>,
  context: Context,
): Promise<Result<FetchPlan>> {
  const images = imagesToFetch(pins, options.dindPlatform, options.locations);
  if (!images.ok) return images;
  const store = await openStore(options.store);
  if (!store.ok) return store;
  const lacks = await findMissing(store.value, images.value, pins, context);
  if (!lacks.ok) return lacks;
  const { blobs, lackingImages, lackingFiles, first } = lacks.value;
  return ok({
    images: images.value.length,
    files: Object.keys(pins.files).length,
    missingImages: lackingImages.map(({ owner }) => owner),
    missingFiles: lackingFiles.map(({ path }) => path),
    bytes: bytesOf([...blobs, ...lackingFiles]),
    ...(first === undefined ? {} : { first }),
  });
}

interface Missing {
  readonly blobs: readonly Descriptor[];
  /** Those that lack most come first: they take longest. */
  readonly lackingImages: readonly ImageToFetch[];
  readonly lackingFiles: readonly MissingFile[];
  readonly first?: BlobBad;
}

interface MissingFile {
  readonly path: string;
  readonly digest: Digest;
  readonly size: number;
}

async function findMissing(
  store: Store,
  images: readonly ImageToFetch[],
  pins: TargetPins,
  context: Context,
): Promise<Result<Missing>> {
  const owners = new Map<Digest, { readonly blob: Descriptor; readonly owner: string }>();
  for (const image of images)
    for (const blob of blobsOf(image))
      if (!owners.has(blob.digest)) owners.set(blob.digest, { blob, owner: image.owner });
  const pinnedFiles = Object.entries(pins.files).map(([path, pin]) => ({
    path,
    digest: pin.sha256,
    size: pin.size,
  }));
  const look = async (
    shelf: Shelf,
    content: Pick<Descriptor, 'digest' | 'size'>,
    owner: string,
  ): Promise<Result<BlobBad | undefined>> => {
    const problem = await checkContent(store, shelf, content);
    if (problem === 'good') return ok(undefined);
    const { digest } = content;
    return ok({ reason: 'blob-bad', problem, digest, owner, store: store.directory });
  };
  const blobs = await inParallel([...owners.values()], CHECKS, context, ({ blob, owner }) =>
    look('blobs', blob, owner),
  );
  if (!blobs.ok) return blobs;
  const files = await inParallel(pinnedFiles, CHECKS, context, (file) =>
    look('files', file, file.path),
  );
  if (!files.ok) return files;
  const bad = [...blobs.value, ...files.value].filter((found) => found !== undefined);
  const badDigests = new Set(
    blobs.value.flatMap((found) => (found === undefined ? [] : [found.digest])),
  );
  const lacking = (image: ImageToFetch): number =>
    bytesOf(blobsOf(image).filter((blob) => badDigests.has(blob.digest)));
  return ok({
    blobs: [...owners.values()]
      .map(({ blob }) => blob)
      .filter((blob) => badDigests.has(blob.digest)),
    lackingImages: images
      .filter((image) => blobsOf(image).some((blob) => badDigests.has(blob.digest)))
      .sort((a, b) => lacking(b) - lacking(a)),
    lackingFiles: pinnedFiles.filter((_, index) => files.value[index] !== undefined),
    ...(bad[0] === undefined ? {} : { first: bad[0] }),
  });
}

/** Where a missing file comes from: its URL in the pins, or the bundle's own text. */
function fileSource(
  file: MissingFile,
  pins: TargetPins,
  files: Readonly<Record<string, WantedFile>>,
  store: Store,
): Result<FileToFetch> {
  const url = pins.files[file.path]?.url;
  const wanted = files[file.path];
  if (url !== undefined) {
    const location = wanted?.kind === 'url' && wanted.url === url ? wanted.location : undefined;
    return ok({ ...file, from: { url, location } });
  }
  if (wanted?.kind === 'content') return ok({ ...file, from: { content: wanted.content } });
  const { digest, path: owner } = file;
  return fail({ reason: 'blob-bad', problem: 'missing', digest, owner, store: store.directory });
}

/** Images whose blobs all came with others'. On a store that is somebody else's they are done without. */
async function writeMissingLayouts(
  store: Store,
  images: readonly ImageToFetch[],
  context: Context,
): Promise<Result<void>> {
  for (const { name, manifest } of images) {
    if (await hasImageLayout(store, { name, manifest })) continue;
    const written = await writeImageLayout(store, { name, manifest });
    if (written.ok) continue;
    if (written.failure.reason !== 'access-denied') return written;
    const { path: about, detail } = written.failure;
    context.report({ type: 'warning', about, detail });
  }
  return ok();
}

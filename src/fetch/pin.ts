import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { PlatformNotOffered } from '../model/failure.ts';
import type { DindPin, FilePin, ImagePin, PlatformPin, TargetPins } from '../model/pins.ts';
import { formatPlatform } from '../model/platform.ts';
import type { Platform } from '../model/platform.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference, withDigest } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { staleDind, staleFile, staleImage } from '../plan/compare-pins.ts';
import { DIND } from '../plan/fetch-plan.ts';
import type { LocatedSource, Wanted, WantedFile, WantedImage } from '../plan/wanted.ts';
import { createStore } from '../store/store.ts';
import type { Store } from '../store/store.ts';
import type { NetworkAccess } from './access.ts';
import { resolveFile } from './fetch-file.ts';
import { inParallel } from './parallel.ts';
import type { ImageAccess } from './fetch-image.ts';
import { localDocuments } from './local-image.ts';
import { choosePolicy } from './policy.ts';
import type { Documents, ResolvedImage, ResolvedName } from './resolve.ts';
import { platformsOf, registryDocuments, resolveName, resolvePlatform } from './resolve.ts';

export interface PinOptions extends ImageAccess {
  /** Where files are kept that had to be downloaded to know their digest; nowhere without it. */
  readonly store?: string | undefined;
  /** Where local images are copied that have to be; the system's directory for such without it. */
  readonly temporary?: string | undefined;
  /** Images and files at a time. */
  readonly jobs?: number | undefined;
  /** Pins of before: each that still fits what is wanted is taken over, and nobody asked. */
  readonly keep?: TargetPins | undefined;
}

const JOBS = 4;

/** What builders run on. */
const BUILDERS = [
  { os: 'linux', arch: 'amd64' },
  { os: 'linux', arch: 'arm64' },
] as const satisfies readonly Platform[];

/**
 * Fixes everything of a target to digests: images for its platform, the loader's image, where it has one, for every
 * builder platform it offers, files by what their addresses serve. Fails with platform-not-offered, platform-mismatch, registry-…,
 * tool-missing and interrupted, and as the store does where one is given.
 */
export async function pinTarget(
  wanted: Wanted,
  options: PinOptions,
  context: Context,
): Promise<Result<TargetPins>> {
  const jobs = options.jobs ?? JOBS;
  const { keep } = options;
  const store = await storeFor(wanted, options);
  if (!store.ok) return store;
  // All of them are told at once: they are mended at once, in the bundle.
  const notOffered: PlatformNotOffered[] = [];
  const images = await inParallel(
    Object.entries(wanted.images),
    jobs,
    context,
    async ([name, image], inner): Promise<Result<readonly (readonly [string, ImagePin])[]>> => {
      const kept = keep?.images[name];
      if (kept !== undefined && staleImage(name, image, kept).length === 0)
        return ok([[name, kept]]);
      const pin = await pinImage(name, image, wanted.platform, options, inner);
      if (pin.ok) return ok([[name, pin.value]]);
      if (pin.failure.reason !== 'platform-not-offered') return pin;
      notOffered.push(pin.failure);
      return ok([]);
    },
  );
  if (!images.ok) return images;
  const [lacking, ...others] = notOffered.sort((a, b) => (a.image < b.image ? -1 : 1));
  if (lacking !== undefined) return fail(others.length === 0 ? lacking : { ...lacking, others });
  const dind =
    wanted.withoutDind === true ||
    (keep?.dind !== undefined && staleDind(wanted, keep.dind).length === 0)
      ? ok(keep?.dind)
      : await pinDind(wanted.dind, wanted.dindLocal, options, context);
  if (!dind.ok) return dind;
  const files = await inParallel(
    Object.entries(wanted.files),
    jobs,
    context,
    async ([path, file], inner) => {
      const kept = keep?.files[path];
      if (kept !== undefined && staleFile(path, file, kept).length === 0)
        return ok([path, kept] as const);
      return named(path, await pinFile(path, file, store.value, options, inner));
    },
  );
  if (!files.ok) return files;
  return ok({
    target: wanted.target,
    ...(wanted.catalog === undefined ? {} : { catalog: wanted.catalog }),
    images: Object.fromEntries(images.value.flat()),
    files: Object.fromEntries(files.value),
    ...(dind.value === undefined ? {} : { dind: dind.value }),
  });
}

/** One image of a target: what `pin --update` moves. */
export async function pinImage(
  name: string,
  image: WantedImage,
  platform: Platform,
  access: PinOptions,
  context: Context,
): Promise<Result<ImagePin>> {
  const { reference, local } = image;
  return withDocuments(name, reference, local, platform, access, context, async (documents) => {
    const found = await resolveName(name, documents, context);
    if (!found.ok) return found;
    const resolved = await resolvePlatform(name, documents, found.value, platform);
    if (!resolved.ok) return resolved;
    return ok(imagePin(name, image, found.value, resolved.value, context));
  });
}

function imagePin(
  name: string,
  image: WantedImage,
  found: ResolvedName,
  resolved: ResolvedImage,
  context: Context,
): ImagePin {
  const { manifest, config, layers, platform } = resolved;
  const { digest, size, document } = found;
  const keepsIndex = image.keepIndex === true && document.kind === 'index';
  const pin = {
    ...pinnedName(image.reference, image.local, found),
    ...(keepsIndex ? { keptIndex: { digest, mediaType: document.mediaType, size } } : {}),
    manifest,
    config,
    layers,
    platform: formatPlatform(platform),
    names: image.names,
  };
  context.report({ type: 'pinned', name, reference: pin.reference });
  return pin;
}

/** The loader's image for each builder platform it has; an image without an index is for the one its config states. */
export async function pinDind(
  reference: Reference,
  local: LocatedSource | undefined,
  access: PinOptions,
  context: Context,
): Promise<Result<DindPin>> {
  const [first] = BUILDERS;
  return withDocuments(DIND, reference, local, first, access, context, async (documents) => {
    const found = await resolveName(DIND, documents, context);
    if (!found.ok) return found;
    const platforms = await dindPlatforms(documents, found.value);
    if (!platforms.ok) return platforms;
    const pin = { ...pinnedName(reference, local, found.value), platforms: platforms.value };
    context.report({ type: 'pinned', name: DIND, reference: pin.reference });
    return ok(pin);
  });
}

async function dindPlatforms(
  documents: Documents,
  found: ResolvedName,
): Promise<Result<DindPin['platforms']>> {
  const { document } = found;
  const offered = document.kind === 'index' ? platformsOf(document.entries) : BUILDERS;
  const wanted = BUILDERS.filter((builder) => offered.some(({ arch }) => arch === builder.arch));
  const platforms: Record<string, PlatformPin> = {};
  let refusal: Result<never> | undefined;
  for (const platform of wanted) {
    const image = await resolvePlatform(DIND, documents, found, platform);
    if (image.ok) {
      const { manifest, config, layers } = image.value;
      platforms[formatPlatform(platform)] = { manifest, config, layers };
    } else if (image.failure.reason === 'platform-not-offered') refusal ??= image;
    else return image;
  }
  if (Object.keys(platforms).length > 0) return ok(platforms);
  return (
    refusal ??
    fail({
      reason: 'platform-not-offered',
      image: DIND,
      reference: documents.source,
      wanted: BUILDERS.map(formatPlatform).join(' or '),
      offered: offered.map(formatPlatform),
    })
  );
}

/** Whatever had to be copied to be known is gone again afterwards. */
async function withDocuments<T>(
  what: string,
  reference: Reference,
  local: LocatedSource | undefined,
  platform: Platform,
  options: PinOptions,
  context: Context,
  use: (documents: Documents) => Promise<Result<T>>,
): Promise<Result<T>> {
  if (local === undefined) return use(registryDocuments(what, reference, options, context));
  const directory = await mkdtemp(join(options.temporary ?? tmpdir(), 'stowage-pin-'));
  try {
    const policy = await choosePolicy(options.policy, directory);
    return await use(localDocuments(what, local, platform, options, policy, directory, context));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function pinFile(
  path: string,
  file: WantedFile,
  store: Store | undefined,
  access: NetworkAccess,
  context: Context,
): Promise<Result<FilePin>> {
  const { mode } = file;
  if (file.kind === 'content')
    return ok({ sha256: digestOf(file.content), size: file.content.length, mode });
  const resolved = await resolveFile(path, file.url, file.location, store, access, context);
  return resolved.ok ? ok({ ...resolved.value, mode, url: file.url }) : resolved;
}

/** The digest in the reference is what the name stands for: the index's where there is one. */
function pinnedName(
  reference: Reference,
  local: LocatedSource | undefined,
  { digest, document }: ResolvedName,
): Pick<ImagePin, 'reference' | 'from' | 'index'> {
  return {
    reference: formatReference(withDigest(reference, digest)),
    ...(local === undefined ? {} : { from: local.text }),
    ...(document.kind === 'index' ? { index: digest } : {}),
  };
}

async function storeFor(wanted: Wanted, options: PinOptions): Promise<Result<Store | undefined>> {
  const needed = Object.values(wanted.files).some((file) => file.kind === 'url');
  return options.store === undefined || !needed ? ok(undefined) : createStore(options.store);
}

function named<T>(name: string, result: Result<T>): Result<readonly [string, T]> {
  return result.ok ? ok([name, result.value] as const) : result;
}

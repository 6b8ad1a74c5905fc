import { digestOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { DindPin, FilePin, ImagePin, PlatformPin, TargetPins } from '../model/pins.ts';
import { formatPlatform } from '../model/platform.ts';
import type { Platform } from '../model/platform.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference, withDigest } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { DIND } from '../plan/fetch-plan.ts';
import type { Wanted, WantedFile, WantedImage } from '../plan/wanted.ts';
import { createStore } from '../store/store.ts';
import type { Store } from '../store/store.ts';
import type { NetworkAccess } from './access.ts';
import { resolveFile } from './fetch-file.ts';
import { inParallel } from './parallel.ts';
import type { ResolvedName } from './resolve.ts';
import { platformsOf, resolveName, resolvePlatform } from './resolve.ts';

export interface PinOptions extends NetworkAccess {
  /** Where files are kept that had to be downloaded to know their digest; nowhere without it. */
  readonly store?: string | undefined;
  /** Images and files at a time. */
  readonly jobs?: number | undefined;
}

const JOBS = 4;

/** What builders run on. */
const BUILDERS = ['amd64', 'arm64'];

/**
 * Fixes everything of a target to digests: images for its platform, the loader's image for every builder platform it
 * offers, files by what their addresses serve. Fails with platform-not-offered, platform-mismatch, registry-…,
 * tool-missing and interrupted, and as the store does where one is given.
 */
export async function pinTarget(
  wanted: Wanted,
  options: PinOptions,
  context: Context,
): Promise<Result<TargetPins>> {
  const jobs = options.jobs ?? JOBS;
  const store = await storeFor(wanted, options);
  if (!store.ok) return store;
  const images = await inParallel(
    Object.entries(wanted.images),
    jobs,
    context,
    async ([name, image], inner) =>
      named(name, await pinImage(name, image, wanted.platform, options, inner)),
  );
  if (!images.ok) return images;
  const dind = await pinDind(wanted.dind, options, context);
  if (!dind.ok) return dind;
  const files = await inParallel(
    Object.entries(wanted.files),
    jobs,
    context,
    async ([path, file], inner) =>
      named(path, await pinFile(path, file, store.value, options, inner)),
  );
  if (!files.ok) return files;
  return ok({
    target: wanted.target,
    ...(wanted.catalog === undefined ? {} : { catalog: wanted.catalog }),
    images: Object.fromEntries(images.value),
    files: Object.fromEntries(files.value),
    dind: dind.value,
  });
}

/** One image of a target: what `pin --update` moves. */
export async function pinImage(
  name: string,
  image: WantedImage,
  platform: Platform,
  access: NetworkAccess,
  context: Context,
): Promise<Result<ImagePin>> {
  const { reference } = image;
  const found = await resolveName(name, reference, access, context);
  if (!found.ok) return found;
  const resolved = await resolvePlatform(name, reference, found.value, platform, access, context);
  if (!resolved.ok) return resolved;
  const { manifest, config, layers } = resolved.value;
  const pin = {
    ...pinnedName(reference, found.value),
    manifest,
    config,
    layers,
    platform: formatPlatform(resolved.value.platform),
    names: image.names,
  };
  context.report({ type: 'pinned', name, reference: pin.reference });
  return ok(pin);
}

/** The loader's image for each builder platform it has; an image without an index is for the one its config states. */
export async function pinDind(
  reference: Reference,
  access: NetworkAccess,
  context: Context,
): Promise<Result<DindPin>> {
  const found = await resolveName(DIND, reference, access, context);
  if (!found.ok) return found;
  const { document } = found.value;
  const builders: readonly Platform[] = BUILDERS.map((arch) => ({ os: 'linux', arch }));
  const offered = document.kind === 'index' ? platformsOf(document.entries) : builders;
  const wanted = builders.filter((builder) => offered.some(({ arch }) => arch === builder.arch));
  const platforms: Record<string, PlatformPin> = {};
  let refusal: Result<never> | undefined;
  for (const platform of wanted) {
    const image = await resolvePlatform(DIND, reference, found.value, platform, access, context);
    if (image.ok) {
      const { manifest, config, layers } = image.value;
      platforms[formatPlatform(platform)] = { manifest, config, layers };
    } else if (image.failure.reason === 'platform-not-offered') refusal ??= image;
    else return image;
  }
  if (Object.keys(platforms).length === 0)
    return (
      refusal ??
      fail({
        reason: 'platform-not-offered',
        image: DIND,
        reference: formatReference(reference),
        wanted: builders.map(formatPlatform).join(' or '),
        offered: offered.map(formatPlatform),
      })
    );
  const pin = { ...pinnedName(reference, found.value), platforms };
  context.report({ type: 'pinned', name: DIND, reference: pin.reference });
  return ok(pin);
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
  const resolved = await resolveFile(path, file.url, store, access, context);
  return resolved.ok ? ok({ ...resolved.value, mode, url: file.url }) : resolved;
}

/** The digest in the reference is what the name stands for: the index's where there is one. */
function pinnedName(
  reference: Reference,
  { digest, document }: ResolvedName,
): Pick<ImagePin, 'reference' | 'index'> {
  return {
    reference: formatReference(withDigest(reference, digest)),
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

import { lstat, mkdir, rename, rm, statfs, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestOf, hexOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Failure, NoSpace, PinContradicted } from '../model/failure.ts';
import type { Platform } from '../model/platform.ts';
import { formatPlatform } from '../model/platform.ts';
import { formatReference, nameOf } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { ImageToFetch } from '../plan/fetch-plan.ts';
import type { Contradiction } from '../plan/compare-parts.ts';
import { contradictedSize } from '../plan/compare-parts.ts';
import { blobsOf, bytesOf } from '../plan/fetch-plan.ts';
import { atDigest } from '../plan/fetch-sources.ts';
import type { LocatedSource } from '../plan/wanted.ts';
import { claimMissing } from '../store/claims.ts';
import type { Claims } from '../store/claims.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import { writeImageLayout } from '../store/image-layout.ts';
import type { Signature } from '../store/image-signatures.ts';
import { keepSignatures } from '../store/image-signatures.ts';
import { publish } from '../store/publish.ts';
import { makeStaging, removeStaged } from '../store/staging.ts';
import type { Store } from '../store/store.ts';
import { readBlob } from '../store/store.ts';
import { copyBlob, copyToLayout } from '../tools/skopeo.ts';
import type { Fault, NetworkAccess } from './access.ts';
import { askSources, mismatch, skopeoFault, skopeoRun } from './access.ts';
import { leavesOut } from './check-index.ts';
import { compareManifest } from './check-parts.ts';
import { readConfigPlatform } from './image-documents.ts';
import { changedSource, inspectLocal, stagedBlob, stageLocal } from './local-image.ts';
import type { Policy } from './policy.ts';
import { choosePolicy, policyForMirror } from './policy.ts';
import { readRaw } from './resolve.ts';
import { readSignatures, stagedSignatures } from './signatures.ts';

export interface ImageAccess extends NetworkAccess {
  /** Path of a trust policy; the user's, the system's, or our own without it. */
  readonly policy?: string | undefined;
}

/**
 * Brings one image's missing blobs into the store, each published and its claim freed the moment it is complete,
 * then writes its layout. Resolves to the blobs that this call downloaded. Blobs that came before a failure stay.
 */
export async function fetchImage(
  store: Store,
  image: ImageToFetch,
  access: ImageAccess,
  context: Context,
): Promise<Result<readonly Descriptor[]>> {
  const claims = await claimMissing(store, 'blobs', blobsOf(image), context, image.owner);
  if (!claims.ok) return claims;
  const { missing } = claims.value;
  let signatures: readonly Signature[] = [];
  try {
    if (missing.length > 0) {
      const bytes = bytesOf(missing);
      context.report({ type: 'fetch-started', image: image.owner, bytes });
      const downloaded = await downloadMissing(store, image, claims.value, access, context);
      if (!downloaded.ok) return downloaded;
      signatures = downloaded.value;
      context.report({ type: 'fetch-finished', image: image.owner, bytes });
    }
  } finally {
    await claims.value.freeAll();
  }
  const checked = await checkAgainstPin(store, image);
  if (!checked.ok) return checked;
  const stored = { name: image.name, manifest: image.manifest };
  const written = await writeImageLayout(store, stored);
  if (!written.ok) return written;
  const kept = await keepSignatures(store, stored, signatures);
  return kept.ok ? ok(missing) : kept;
}

async function downloadMissing(
  store: Store,
  image: ImageToFetch,
  claims: Claims<Descriptor>,
  access: ImageAccess,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const staging = await makeStaging(store);
  if (!staging.ok) return staging;
  const { directory } = staging.value;
  try {
    const index = await stageIndex(store, image, claims, directory, access, context);
    if (!index.ok) return index;
    const others = claims.missing.filter((blob) => blob.digest !== image.index?.digest);
    if (others.length === 0) return ok([]);
    const policy = await choosePolicy(access.policy, directory);
    return image.local === undefined
      ? await download(
          store,
          image,
          { ...claims, missing: others },
          policy,
          directory,
          access,
          context,
        )
      : await copyLocal(
          store,
          { ...image, local: image.local },
          { ...claims, missing: others },
          policy,
          directory,
          access,
          context,
        );
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  } finally {
    await staging.value.remove();
  }
}

/** From a registry or its mirrors. */
async function download(
  store: Store,
  image: ImageToFetch,
  claims: Claims<Descriptor>,
  policy: Policy,
  directory: string,
  access: ImageAccess,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const blobs = join(directory, 'blobs');
  await mkdir(join(blobs, 'sha256'), { recursive: true });
  const missing = new Set(claims.missing.map((blob) => blob.digest));
  // Not the manifest: skopeo writes it anew, and in place, through a link into the store.
  for (const blob of [image.config, ...image.layers])
    if (!missing.has(blob.digest)) await linkBlob(store, blobs, blob.digest);
  // First: with all blobs in the store nobody would ask for them again.
  const signatures = await readSignatures(image, access, directory, context);
  if (!signatures.ok) return signatures;
  const publisher = new Publisher(store, image, blobs, claims);
  const orNoSpace = async (fault: Fault): Promise<Result<never, Fault>> =>
    fault.kind === 'network' && fault.class.kind === 'no-space'
      ? fail({ kind: 'final', failure: await noSpace(store, publisher.missingBytes) })
      : fail(fault);
  const copied = await askSources(
    image.owner,
    image.reference,
    access,
    context,
    async (name, skopeo): Promise<Result<void, Fault>> => {
      const layout = join(directory, 'layout');
      await removeStaged(layout);
      const source = `docker://${atDigest(name, image.manifest.digest)}`;
      const report = (staged: number): void => {
        const total = bytesOf(claims.missing);
        const arrived = Math.min(total, publisher.publishedBytes + staged);
        context.report({ type: 'fetch-progress', image: image.owner, bytes: arrived, total });
      };
      for (const { digest } of publisher.repeated()) {
        const alone = join(directory, hexOf(digest));
        await rm(alone, { recursive: true, force: true });
        await mkdir(alone);
        const blob = { ...skopeo, source, digest, directory: alone, onProgress: report };
        const got = await copyBlob(blob, skopeoRun(access, context));
        if (got.ok) {
          await rename(got.value, join(blobs, 'sha256', hexOf(digest)));
          const published = await publisher.publishRest(false);
          if (!published.ok) return published;
          continue;
        }
        const fault = skopeoFault(got.failure, context);
        // Where nobody knows why, skopeo may not have the command; the copy then gets it, as often as it is listed.
        if (fault.kind === 'final' || fault.class.kind !== 'temporary' || fault.class.known)
          return orNoSpace(fault);
      }
      const judged = await policyForMirror(policy, nameOf(image.reference), name, directory);
      const done = await copyToLayout(
        {
          ...skopeo,
          source,
          layout,
          blobs,
          policy: judged.path,
          platform: image.platform,
          onProgress: (staged) => {
            publisher.publishSoon();
            report(staged);
          },
        },
        skopeoRun(access, context),
      );
      // What is complete is kept, however skopeo ended.
      const published = await publisher.publishRest(done.ok);
      if (!published.ok) return published;
      if (done.ok) return publisher.left();
      return orNoSpace(skopeoFault(done.failure, context));
    },
  );
  return copied.ok ? signatures : copied;
}

/** From a file, a directory, an engine or a container storage. What it has now must be what is pinned. */
async function copyLocal(
  store: Store,
  image: ImageToFetch & { readonly local: LocatedSource },
  claims: Claims<Descriptor>,
  policy: Policy,
  directory: string,
  access: ImageAccess,
  context: Context,
): Promise<Result<readonly Signature[]>> {
  const { owner: what, local, platform } = image;
  const total = bytesOf(claims.missing);
  const staged = await stageLocal(
    { what, local, platform, policy, directory: join(directory, 'image') },
    access,
    context,
    (bytes) => {
      context.report({ type: 'fetch-progress', image: what, bytes: Math.min(total, bytes), total });
    },
  );
  if (!staged.ok)
    return staged.failure.reason === 'no-space' ? fail(await noSpace(store, total)) : staged;
  const actual = digestOf(staged.value.manifest);
  if (actual !== image.manifest.digest)
    return fail(
      changedSource(what, local, `pinned is ${image.manifest.digest}, and it has ${actual} now`),
    );
  // Under its own name, like every other blob.
  await writeFile(stagedBlob(staged.value, image.manifest), staged.value.manifest);
  for (const blob of claims.missing) {
    const published = await publish(store, 'blobs', stagedBlob(staged.value, blob), blob);
    if (!published.ok) {
      const { failure } = published;
      if (failure.reason !== 'content-wrong') return fail(failure);
      const { digest, size } = failure.actual;
      return fail(
        digest === blob.digest
          ? wrongSize(image, blob, size)
          : changedSource(what, local, `it has ${digest} for ${blob.digest}`),
      );
    }
    await claims.free(blob.digest);
  }
  return ok(await stagedSignatures(staged.value.directory));
}

/** The index is no part of what skopeo copies. */
async function stageIndex(
  store: Store,
  image: ImageToFetch,
  claims: Claims<Descriptor>,
  directory: string,
  access: ImageAccess,
  context: Context,
): Promise<Result<void>> {
  const { owner, index, local } = image;
  if (index === undefined || !claims.missing.some((blob) => blob.digest === index.digest))
    return ok();
  const read =
    local === undefined
      ? await readRaw(owner, image.reference, { digest: index.digest }, access, context)
      : await inspectLocal(owner, local, access, directory, context, false);
  if (!read.ok) return read;
  const staged = join(directory, 'index');
  await writeFile(staged, read.value);
  const published = await publish(store, 'blobs', staged, index);
  if (published.ok) {
    await claims.free(index.digest);
    return ok();
  }
  const { failure } = published;
  if (failure.reason !== 'content-wrong') return fail(failure);
  if (failure.actual.digest === index.digest)
    return fail(wrongSize(image, index, failure.actual.size));
  const detail = `pinned is the index ${index.digest}, and it has ${failure.actual.digest} now`;
  if (local !== undefined) return fail(changedSource(owner, local, detail));
  const what = `${owner} (${formatReference(image.reference)})`;
  return fail({ reason: 'registry-refused', what, why: 'wrong-content', detail });
}

/** What is needed and what there is, in the store's file system. */
export async function noSpace(store: Store, needed: number): Promise<NoSpace> {
  const available = await availableBytes(store);
  return {
    reason: 'no-space',
    where: store.directory,
    needed,
    ...(available === undefined ? {} : { available }),
  };
}

export async function availableBytes(store: Store): Promise<number | undefined> {
  const found = await statfs(store.directory).catch(() => undefined);
  return found === undefined ? undefined : found.bavail * found.bsize;
}

/** Moves staged blobs into the store while skopeo is still busy with others. */
class Publisher {
  publishedBytes = 0;
  readonly #store: Store;
  readonly #image: ImageToFetch;
  readonly #staged: string;
  readonly #claims: Claims<Descriptor>;
  readonly #left: Map<Digest, Descriptor>;
  #running: Promise<Result<void, Fault>> | undefined;
  #failed: Result<void, Fault> = ok();

  constructor(store: Store, image: ImageToFetch, staged: string, claims: Claims<Descriptor>) {
    this.#store = store;
    this.#image = image;
    this.#staged = staged;
    this.#claims = claims;
    this.#left = new Map(claims.missing.map((blob) => [blob.digest, blob]));
  }

  get missingBytes(): number {
    return bytesOf([...this.#left.values()]);
  }

  /** Missing layers that the image lists more than once: skopeo would download each as often. */
  repeated(): readonly Descriptor[] {
    const { layers } = this.#image;
    return [...this.#left.values()].filter(
      ({ digest }) => layers.filter((layer) => layer.digest === digest).length > 1,
    );
  }

  /** Starts to publish what is complete by now, unless that is going on. */
  publishSoon(): void {
    if (this.#running !== undefined) return;
    this.#running = this.#publishComplete(false).then((result) => {
      if (!result.ok) this.#failed = result;
      this.#running = undefined;
      return result;
    });
    // Its bug, if it has one, surfaces in publishRest.
    this.#running.catch(() => undefined);
  }

  /** All that is complete now that skopeo has ended; `whole` tells that it ended well. */
  async publishRest(whole: boolean): Promise<Result<void, Fault>> {
    await this.#running;
    const earlier = this.#failed;
    this.#failed = ok();
    const rest = await this.#publishComplete(whole);
    return earlier.ok ? rest : earlier;
  }

  /** Everything must have come: the pins' list of blobs may not be the manifest's. */
  left(): Result<void, Fault> {
    const blob = [...this.#left.values()][0];
    if (blob === undefined) return ok();
    const detail = `they name ${blob.digest}, which is no part of ${this.#image.manifest.digest}`;
    return fail({ kind: 'final', failure: contradicted(this.#image, { detail, pinned: blob }) });
  }

  async #publishComplete(whole: boolean): Promise<Result<void, Fault>> {
    for (const blob of this.#left.values()) {
      // skopeo writes manifests in place: complete only when it is done. Layers and configs are renamed.
      if (blob.digest === this.#image.manifest.digest && !whole) continue;
      const staged = join(this.#staged, 'sha256', hexOf(blob.digest));
      const found = await lstat(staged).catch(() => undefined);
      if (found?.isFile() !== true) continue;
      const published = await publish(this.#store, 'blobs', staged, blob);
      if (!published.ok) {
        await rm(staged, { force: true });
        const { failure } = published;
        if (failure.reason === 'content-wrong') {
          const { digest, size } = failure.actual;
          return digest === blob.digest
            ? fail({ kind: 'final', failure: wrongSize(this.#image, blob, size) })
            : mismatch(`${blob.digest} came as ${digest}, ${size} bytes`);
        }
        return fail({ kind: 'final', failure: await this.#withNeed(failure) });
      }
      // skopeo may ask for it once more: an image can list a layer twice.
      await linkBlob(this.#store, this.#staged, blob.digest);
      this.#left.delete(blob.digest);
      this.publishedBytes += blob.size;
      await this.#claims.free(blob.digest);
    }
    return ok();
  }

  async #withNeed(failure: Failure): Promise<Failure> {
    return failure.reason === 'no-space' ? noSpace(this.#store, this.missingBytes) : failure;
  }
}

/** Puts a verified blob of the store where skopeo finds it and does not download it. */
async function linkBlob(store: Store, staged: string, digest: Digest): Promise<void> {
  try {
    await symlink(resolve(store.blobPath(digest)), join(staged, 'sha256', hexOf(digest)));
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

/** The pins against what the digests stand for: the manifest's parts, and the platform its config states. */
async function checkAgainstPin(store: Store, image: ImageToFetch): Promise<Result<void>> {
  const manifest = await readBlob(store, image.manifest, image.owner);
  if (!manifest.ok) return manifest;
  const wrong = compareManifest(image, manifest.value);
  if (wrong !== undefined) return fail(contradicted(image, wrong));
  if (image.index !== undefined) {
    const index = await readBlob(store, image.index, image.owner);
    if (!index.ok) return index;
    if (leavesOut(index.value, image.manifest.digest)) {
      const detail = `the index that is kept does not list ${image.manifest.digest}`;
      return fail(contradicted(image, { detail }));
    }
  }
  const config = await readBlob(store, image.config, image.owner);
  if (!config.ok) return config;
  const { platform, stated, hasVariant } = readConfigPlatform(config.value);
  if (platform !== undefined && fits(image.platform, platform, hasVariant)) return ok();
  return fail({
    reason: 'platform-mismatch',
    image: image.owner,
    reference: formatReference(image.reference),
    expected: formatPlatform(image.platform),
    actual: stated,
  });
}

/** What a digest stands for nobody can change: the pins were. */
function contradicted(
  { owner, reference }: ImageToFetch,
  contradiction: Contradiction,
): PinContradicted {
  const text = formatReference(reference);
  return { reason: 'pin-contradicted', image: owner, reference: text, ...contradiction };
}

function wrongSize(image: ImageToFetch, blob: Descriptor, actual: number): PinContradicted {
  return contradicted(image, contradictedSize(blob, actual));
}

/** A config that states no variant contradicts none: older tools left it to the index. */
export function fits(pinned: Platform, stated: Platform, hasVariant: boolean): boolean {
  return stated.arch === pinned.arch && (!hasVariant || stated.variant === pinned.variant);
}

import { mkdir, readFile, rename, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { replaceFile, syncDirectory } from './content.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import { makeStaging } from './staging.ts';
import type { Store } from './store.ts';

/**
 * One image as an OCI layout over the store's blobs (OCI image-spec, image-layout.md): for people and for
 * tools such as skopeo, `oci:<directory>`. Nothing of stowage reads it; the pins and blobs are enough.
 */
export interface StoredImage {
  /** `ghcr.io/x/y:1`. */
  readonly name: string;
  readonly manifest: Descriptor;
}

/** True where the layout is there, word for word. */
export async function hasImageLayout(store: Store, image: StoredImage): Promise<boolean> {
  const path = join(store.imagePath(image.name, image.manifest.digest), 'index.json');
  return (await readFile(path, 'utf8').catch(() => undefined)) === indexOf(image);
}

/**
 * Puts the layout in its place, whole; call it when all blobs of the image are in the store. Idempotent, by any
 * number of processes. Fails with access-denied and no-space.
 */
export async function writeImageLayout(store: Store, image: StoredImage): Promise<Result<void>> {
  if (await hasImageLayout(store, image)) return ok();
  const path = store.imagePath(image.name, image.manifest.digest);
  const staging = await makeStaging(store);
  if (!staging.ok) return staging;
  try {
    const made = join(staging.value.directory, basename(path));
    await mkdir(made);
    await symlink('../../blobs', join(made, 'blobs'));
    await replaceFile(join(made, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await replaceFile(join(made, 'index.json'), indexOf(image));
    await moveInto(made, path, join(staging.value.directory, 'old'));
    await syncDirectory(join(store.directory, 'images'));
    return ok();
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  } finally {
    await staging.value.remove();
  }
}

/** Replaces a layout that is not as it should be; another process's that came meanwhile is as good as ours. */
async function moveInto(made: string, path: string, old: string): Promise<void> {
  try {
    await rename(made, path);
  } catch (error) {
    if (!isOccupied(error)) throw error;
    await rename(path, old).catch((gone: unknown) => {
      if (errorCode(gone) !== 'ENOENT') throw gone;
    });
    await rename(made, path).catch((again: unknown) => {
      if (!isOccupied(again)) throw again;
    });
  }
}

function isOccupied(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR';
}

function indexOf(image: StoredImage): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        mediaType: image.manifest.mediaType,
        digest: image.manifest.digest,
        size: image.manifest.size,
        annotations: { 'org.opencontainers.image.ref.name': image.name },
      },
    ],
  });
}

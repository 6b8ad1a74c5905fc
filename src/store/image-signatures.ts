import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { replaceFile, syncDirectory } from './content.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { StoredImage } from './image-layout.ts';
import { makeStaging } from './staging.ts';
import type { Store } from './store.ts';

/** Evidence about an image: what signed it, as it was found. */
export interface Signature {
  /** Relative to `signatures/`: `signature-1`, or a path in the layout of a sigstore attachment. */
  readonly path: string;
  readonly content: Uint8Array;
}

/**
 * Keeps signatures beside an image whose layout is there: images/<name>@sha256_<hex>/signatures/. They are evidence;
 * nothing of stowage reads them to decide. What was kept before is replaced as a whole, by any number of processes.
 * None to keep leaves what is there. Fails with access-denied and no-space.
 */
export async function keepSignatures(
  store: Store,
  image: StoredImage,
  signatures: readonly Signature[],
): Promise<Result<void>> {
  if (signatures.length === 0) return ok();
  const layout = store.imagePath(image.name, image.manifest.digest);
  const path = join(layout, 'signatures');
  if (await isSame(path, signatures)) return ok();
  const staging = await makeStaging(store);
  if (!staging.ok) return staging;
  try {
    const made = join(staging.value.directory, 'signatures');
    for (const signature of signatures) {
      const file = join(made, signature.path);
      await mkdir(dirname(file), { recursive: true });
      await replaceFile(file, signature.content);
    }
    await rename(path, join(staging.value.directory, 'old')).catch(ignore('ENOENT'));
    // Another process may have been faster, with the same signatures.
    await rename(made, path).catch(ignore('ENOTEMPTY', 'EEXIST'));
    await syncDirectory(layout);
    return ok();
  } catch (error) {
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  } finally {
    await staging.value.remove();
  }
}

async function isSame(path: string, signatures: readonly Signature[]): Promise<boolean> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  if (entries.filter((entry) => entry.isFile()).length !== signatures.length) return false;
  for (const { path: name, content } of signatures) {
    const there = await readFile(join(path, name)).catch(() => undefined);
    if (there?.equals(content) !== true) return false;
  }
  return true;
}

function ignore(...codes: readonly string[]): (error: unknown) => void {
  return (error) => {
    const code = errorCode(error);
    if (code === undefined || !codes.includes(code)) throw error;
  };
}

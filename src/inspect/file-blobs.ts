import { createReadStream, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { BlobContent } from './archive-content.ts';
import { broken, namedIn } from './archive-content.ts';
import { reading, translated } from './archive-members.ts';
import type { Blobs } from './blobs.ts';
import { imagesOf } from './image-content.ts';

/** Blobs that are files of their own. */
export function fileBlobs(pathOf: (digest: Digest) => string, signal: AbortSignal): Blobs {
  return {
    size: (digest) => {
      const found = statSync(pathOf(digest), { throwIfNoEntry: false });
      return found?.isFile() === true ? found.size : undefined;
    },
    read: (digest, stretch) => {
      const path = pathOf(digest);
      if (stretch !== undefined && stretch.end <= stretch.start) return nothing();
      const range = stretch === undefined ? {} : { start: stretch.start, end: stretch.end - 1 };
      const source = createReadStream(path, { ...range, highWaterMark: 1024 * 1024, signal });
      return translated(path, source, signal);
    },
  };
}

/** An OCI layout: a directory with `oci-layout`, `index.json` and blobs. Throws `Stopped`. */
export async function readLayout(
  directory: string,
  source: string,
  signal: AbortSignal,
): Promise<BlobContent> {
  const blobs = fileBlobs((digest) => join(directory, 'blobs', 'sha256', hexOf(digest)), signal);
  const file = join(directory, 'index.json');
  const text = await reading(file, () => readFile(file, 'utf8'));
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch {
    throw broken(source, 'its index.json is not JSON');
  }
  return { kind: 'OCI layout', images: await imagesOf(blobs, namedIn(index, source)), blobs };
}

// eslint-disable-next-line require-yield, @typescript-eslint/require-await -- there is nothing to be read
async function* nothing(): AsyncGenerator<Uint8Array> {
  return;
}

import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex } from '../model/digest.ts';

/** A blob whose bytes are not those its descriptor names, met while it was streamed. */
export class BlobMismatch extends Error {
  readonly digest: Digest;
  readonly problem: 'missing' | 'wrong size' | 'wrong digest' | 'unreadable';

  constructor(digest: Digest, problem: BlobMismatch['problem'], options?: ErrorOptions) {
    super(`${digest}: ${problem}`, options);
    this.digest = digest;
    this.problem = problem;
  }
}

const FIXED = { mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), type: 'file' } as const;

/** Adds a JSON document to a tar, with nothing of this machine or this moment in it. */
export async function addText(archive: Pack, name: string, value: unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.entry({ ...FIXED, name }, JSON.stringify(value), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Adds a blob's file, hashed on the way; rejects with a `BlobMismatch` before its entry is complete. */
export async function addBlob(
  archive: Pack,
  name: string,
  blob: Pick<Descriptor, 'digest' | 'size'>,
  path: string,
): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  // Before the entry is begun: a broken entry breaks the archive with an error of its own.
  const file = await openBlob(blob.digest, path);
  const entry = archive.entry({ ...FIXED, name, size: blob.size });
  await pipeline(
    file.createReadStream({ highWaterMark: 1024 * 1024 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        size += chunk.length;
        if (size > blob.size) throw new BlobMismatch(blob.digest, 'wrong size');
        hash.update(chunk);
        yield chunk;
      }
      // Before the entry ends: a reader must not see a complete entry with the wrong content.
      if (size !== blob.size) throw new BlobMismatch(blob.digest, 'wrong size');
      if (digestFromHex(hash.digest('hex')) !== blob.digest)
        throw new BlobMismatch(blob.digest, 'wrong digest');
    },
    entry,
  );
}

async function openBlob(digest: Digest, path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r');
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new BlobMismatch(digest, code === 'ENOENT' ? 'missing' : 'unreadable', { cause: error });
  }
  throw new BlobMismatch(digest, 'unreadable');
}

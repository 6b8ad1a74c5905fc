import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { Pack } from 'tar-stream';
import { pack } from 'tar-stream';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex, hexOf } from '../model/digest.ts';

/** One image of an archive: what its manifest points at, and the full names it gets. */
export interface ArchiveImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** `docker.io/library/x:tag`; at least one. */
  readonly names: readonly string[];
}

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

/**
 * A tar that every engine loads with the right digests: an OCI layout (OCI image-spec, image-layout.md)
 * with the original manifest, and `docker save`'s manifest.json over the same blobs for engines that know
 * that form only. Blobs come straight from their files and are hashed on the way; one that is not what it
 * should be destroys the stream with a `BlobMismatch`, so that no reader takes the archive for whole.
 * The bytes depend on the images alone.
 */
export function hybridArchive(
  images: readonly ArchiveImage[],
  blobPath: (digest: Digest) => string,
): Readable {
  const archive = pack();
  write(archive, images, blobPath).then(
    () => {
      archive.finalize();
    },
    (error: unknown) => {
      archive.destroy(error instanceof Error ? error : new Error(String(error)));
    },
  );
  // A stream of Node's own: `errored` tells its reader what destroyed it.
  return Readable.from(archive as AsyncIterable<Buffer>, { objectMode: false });
}

async function write(
  archive: Pack,
  images: readonly ArchiveImage[],
  blobPath: (digest: Digest) => string,
): Promise<void> {
  await addText(archive, 'oci-layout', { imageLayoutVersion: '1.0.0' });
  await addText(archive, 'index.json', {
    schemaVersion: 2,
    manifests: images.flatMap((image) =>
      image.names.map((name) => ({
        mediaType: image.manifest.mediaType,
        digest: image.manifest.digest,
        size: image.manifest.size,
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name,
        },
      })),
    ),
  });
  await addText(
    archive,
    'manifest.json',
    images.map((image) => ({
      Config: blobEntry(image.config.digest),
      RepoTags: image.names,
      Layers: image.layers.map((layer) => blobEntry(layer.digest)),
    })),
  );
  const written = new Set<Digest>();
  for (const image of images) {
    for (const blob of [image.manifest, image.config, ...image.layers]) {
      if (written.has(blob.digest)) continue;
      written.add(blob.digest);
      await addBlob(archive, blob, blobPath(blob.digest));
    }
  }
}

function blobEntry(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

const FIXED = { mode: 0o644, uid: 0, gid: 0, mtime: new Date(0), type: 'file' } as const;

async function addText(archive: Pack, name: string, value: unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    archive.entry({ ...FIXED, name }, JSON.stringify(value), (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function addBlob(archive: Pack, blob: Descriptor, path: string): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  // Before the entry is begun: a broken entry breaks the archive with an error of its own.
  const file = await openBlob(blob.digest, path);
  const entry = archive.entry({ ...FIXED, name: blobEntry(blob.digest), size: blob.size });
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

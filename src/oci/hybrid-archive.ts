import { Readable } from 'node:stream';
import type { Pack } from 'tar-stream';
import { pack } from 'tar-stream';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import { addBlob, addText } from './blob-entries.ts';

/** One image of an archive: what its manifest points at, and the full names it gets. */
export interface ArchiveImage {
  /** Where it is kept, the names are the index's, of which no more than this one manifest is there. */
  readonly keptIndex?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** `docker.io/library/x:tag`; at least one. */
  readonly names: readonly string[];
}

export { BlobMismatch } from './blob-entries.ts';

export interface ArchiveOptions {
  /** Blobs that the reader has already, which an OCI layout need not repeat. */
  readonly without?: ReadonlySet<Digest>;
  /** Called when all blobs are written; the archive ends once it resolves. */
  readonly beforeEnd?: () => Promise<void>;
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
  options: ArchiveOptions = {},
): Readable {
  const archive = pack();
  write(archive, images, blobPath, options.without)
    .then(options.beforeEnd)
    .then(
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
  without: ReadonlySet<Digest> = new Set(),
): Promise<void> {
  await addText(archive, 'oci-layout', { imageLayoutVersion: '1.0.0' });
  await addText(archive, 'index.json', {
    schemaVersion: 2,
    manifests: images.flatMap((image) => {
      const { mediaType, digest, size } = image.keptIndex ?? image.manifest;
      return image.names.map((name) => ({
        mediaType,
        digest,
        size,
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name,
        },
      }));
    }),
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
  const written = new Set<Digest>(without);
  for (const image of images) {
    const index = image.keptIndex === undefined ? [] : [image.keptIndex];
    for (const blob of [...index, image.manifest, image.config, ...image.layers]) {
      if (written.has(blob.digest)) continue;
      written.add(blob.digest);
      await addBlob(archive, blobEntry(blob.digest), blob, blobPath(blob.digest));
    }
  }
}

function blobEntry(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

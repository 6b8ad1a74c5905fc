import { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf, parseDigest } from '../model/digest.ts';
import { addBlob, addText } from './blob-entries.ts';

/**
 * The one file that carries a store's images and files to another machine: a tar, and an OCI layout at that, so
 * that `skopeo inspect oci-archive:FILE:NAME` reads it too.
 *
 *     stowage-export.json          all that follows, with sizes: first, so that a reader knows what it needs
 *     oci-layout  index.json       for other tools
 *     blobs/sha256/<hex>           in the order of their digests
 *     files/sha256/<hex>
 *
 * Its bytes depend on its content alone.
 */
export interface StoreArchive {
  readonly images: readonly ArchivedImage[];
  readonly blobs: readonly ArchivedContent[];
  readonly files: readonly ArchivedContent[];
}

export interface ArchivedImage {
  /** `ghcr.io/x/y:1`. */
  readonly name: string;
  readonly manifest: Descriptor;
  /** What signed it: paths relative to the layout's `signatures/`, sorted, and content in base64. Small. */
  readonly signatures: readonly ArchivedSignature[];
}

export interface ArchivedSignature {
  readonly path: string;
  readonly content: string;
}

export type ArchivedContent = Pick<Descriptor, 'digest' | 'size'>;

export const EXPORT_DOCUMENT = 'stowage-export.json';
/** Members that are there for other tools. */
export const FOR_OTHERS: readonly string[] = ['oci-layout', 'index.json'];
const FORMAT = 1;

/**
 * Content is hashed on the way; what is not what it should be destroys the stream with a `BlobMismatch`, so that no
 * reader takes the archive for whole.
 */
export function writeStoreArchive(
  archive: StoreArchive,
  blobPath: (digest: Digest) => string,
  filePath: (digest: Digest) => string,
): Readable {
  const tar = pack();
  const write = async (): Promise<void> => {
    const sorted = sortArchive(archive);
    await addText(tar, EXPORT_DOCUMENT, { stowageExport: FORMAT, ...sorted });
    await addText(tar, 'oci-layout', { imageLayoutVersion: '1.0.0' });
    await addText(tar, 'index.json', {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: sorted.images.map(({ name, manifest }) => ({
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.size,
        annotations: { 'org.opencontainers.image.ref.name': name },
      })),
    });
    for (const blob of sorted.blobs)
      await addBlob(tar, `blobs/sha256/${hexOf(blob.digest)}`, blob, blobPath(blob.digest));
    for (const file of sorted.files)
      await addBlob(tar, `files/sha256/${hexOf(file.digest)}`, file, filePath(file.digest));
  };
  write().then(
    () => {
      tar.finalize();
    },
    (error: unknown) => {
      tar.destroy(error instanceof Error ? error : new Error(String(error)));
    },
  );
  return Readable.from(tar as AsyncIterable<Buffer>, { objectMode: false });
}

/** Every member in one order, and nothing but what belongs there. */
function sortArchive({ images, blobs, files }: StoreArchive): StoreArchive {
  const content = (contents: readonly ArchivedContent[]): ArchivedContent[] =>
    contents
      .map(({ digest, size }) => ({ digest, size }))
      .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  const key = (image: ArchivedImage): string => `${image.name}@${image.manifest.digest}`;
  return {
    images: images
      .map(({ name, manifest: { digest, mediaType, size }, signatures }) => ({
        name,
        manifest: { digest, mediaType, size },
        signatures,
      }))
      .sort((a, b) => (key(a) < key(b) ? -1 : 1)),
    blobs: content(blobs),
    files: content(files),
  };
}

/** What an export's first member says; a phrase where it can't be one of ours. */
export function readExportDocument(text: string): StoreArchive | string {
  let value: Readonly<Record<string, unknown>>;
  try {
    value = JSON.parse(text) as Readonly<Record<string, unknown>>;
  } catch {
    return `its ${EXPORT_DOCUMENT} is no JSON document`;
  }
  const { stowageExport: format } = value;
  if (typeof format === 'number' && format > FORMAT)
    return `it has format ${format}, and this stowage knows ${FORMAT}; use the newer stowage that made it`;
  const images = listOf(value['images'], imageOf);
  const blobs = listOf(value['blobs'], contentOf);
  const files = listOf(value['files'], contentOf);
  return format !== FORMAT || images === undefined || blobs === undefined || files === undefined
    ? `its ${EXPORT_DOCUMENT} can't be understood`
    : { images, blobs, files };
}

function imageOf(value: unknown): ArchivedImage | undefined {
  const { name, manifest, signatures } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const content = contentOf(manifest);
  const { mediaType } = (manifest ?? {}) as { mediaType?: unknown };
  const signed = listOf(signatures, signatureOf);
  // The name becomes a file's and a line of a report.
  return typeof name === 'string' &&
    /^[\w./:[\]-]{1,400}$/.test(name) &&
    content !== undefined &&
    signed !== undefined
    ? {
        name,
        manifest: { ...content, mediaType: typeof mediaType === 'string' ? mediaType : '' },
        signatures: signed,
      }
    : undefined;
}

function signatureOf(value: unknown): ArchivedSignature | undefined {
  const { path, content } = (value ?? {}) as { path?: unknown; content?: unknown };
  return typeof path === 'string' &&
    typeof content === 'string' &&
    path.split('/').every((part) => /^[\w.:=-]+$/.test(part) && !/^\.+$/.test(part))
    ? { path, content }
    : undefined;
}

function contentOf(value: unknown): ArchivedContent | undefined {
  const { digest: text, size } = (value ?? {}) as { digest?: unknown; size?: unknown };
  const digest = parseDigest(text);
  return digest !== undefined && typeof size === 'number' && Number.isSafeInteger(size) && size >= 0
    ? { digest, size }
    : undefined;
}

function listOf<T>(value: unknown, read: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(read);
  return items.every((item) => item !== undefined) ? items : undefined;
}

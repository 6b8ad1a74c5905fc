import type { Digest } from '../model/digest.ts';
import { ZSTD_HEADER, zstdFrameSize } from '../oci/zstd-size.ts';

/** Content by digest, wherever it lies. Of a docker archive, whose layers have no digest of their own, by diff ID. */
export interface Blobs {
  /** Bytes; undefined where it is not there. */
  size(digest: Digest): number | undefined;
  /** Pieces that are good until the next is asked for; throws `Stopped`. From `start` up to `end`, default all. */
  read(
    digest: Digest,
    stretch?: { readonly start: number; readonly end: number },
  ): AsyncIterable<Uint8Array>;
}

/** Larger is no document: registries may refuse manifests over 4 MiB, and no config comes near. */
export const MOST_DOCUMENT = 32 * 1024 * 1024;

/** A small blob; undefined where it is not there, or too large to be a document. */
export async function readDocument(blobs: Blobs, digest: Digest): Promise<Buffer | undefined> {
  const size = blobs.size(digest);
  if (size === undefined || size > MOST_DOCUMENT) return undefined;
  return collect(blobs.read(digest));
}

/**
 * The unpacked size of a layer as far as its blob tells without being unpacked: of gzip the last member's, of zstd the
 * first frame's, so that it is a lower bound; a plain one's own.
 */
export async function unpackedSize(blobs: Blobs, digest: Digest): Promise<number | undefined> {
  const size = blobs.size(digest);
  if (size === undefined) return undefined;
  const head = await collect(blobs.read(digest, { start: 0, end: Math.min(size, ZSTD_HEADER) }));
  if (head.length >= 2 && head.readUInt16BE(0) === 0x1f8b) {
    if (size < 18) return undefined;
    const tail = await collect(blobs.read(digest, { start: size - 4, end: size }));
    return tail.length === 4 ? tail.readUInt32LE(0) : undefined;
  }
  if (head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528) return zstdFrameSize(head);
  return size;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of source) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import { hexOf } from '../model/digest.ts';
import { MEDIA_TYPES } from '../model/media-types.ts';
import type { ImageDocument } from './image-documents.ts';

const DOCKER_LAYERS = {
  none: MEDIA_TYPES.dockerLayer,
  gzip: MEDIA_TYPES.dockerLayerGzip,
  zstd: MEDIA_TYPES.dockerLayerZstd,
} as const;
const OCI_LAYERS = {
  none: MEDIA_TYPES.ociLayer,
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
} as const;

/**
 * The manifest of an image whose source keeps none (docker save, an engine, a container storage). skopeo makes one up
 * that calls plain layers gzip; this one says what the layers are, in a fixed form, so that every machine and every
 * version of skopeo gives the same digest for the same image. The config is the source's own, byte for byte.
 */
export async function statedLayers(
  document: Extract<ImageDocument, { readonly kind: 'manifest' }>,
  directory: string,
): Promise<Buffer> {
  const isDocker = document.mediaType === MEDIA_TYPES.dockerManifest;
  const types = isDocker ? DOCKER_LAYERS : OCI_LAYERS;
  const layers: Descriptor[] = [];
  for (const layer of document.layers) {
    const packed = await packing(join(directory, hexOf(layer.digest)));
    layers.push({ mediaType: types[packed], digest: layer.digest, size: layer.size });
  }
  const { config, mediaType } = document;
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: config.mediaType, digest: config.digest, size: config.size },
      layers: layers.map(({ mediaType: type, digest, size }) => ({
        mediaType: type,
        digest,
        size,
      })),
    }),
  );
}

/** By its first bytes: RFC 1952 (gzip), RFC 8878 (zstd). */
async function packing(path: string): Promise<'none' | 'gzip' | 'zstd'> {
  const handle = await open(path, 'r');
  try {
    const first = Buffer.alloc(4);
    await handle.read(first, 0, 4, 0);
    if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip';
    return first.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none';
  } finally {
    await handle.close();
  }
}

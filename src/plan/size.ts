import type { Descriptor } from '../model/descriptor.ts';
import type { Headroom, Size } from '../model/bundle.ts';
import type { TargetPins } from '../model/pins.ts';

/** How big file systems must be. All sizes are bytes. */

const MIB = 1024 * 1024;

/** Journal, inode tables and group descriptors, and what an engine writes for itself while it loads. */
const FIXED_OVERHEAD = 192 * MIB;

/** Unpacked bytes for a compressed one, where nothing better is known; HAOS's seven images measure 2.9. */
const UNPACKING_FACTOR = 4;

/** What the pinned content takes on the partition. */
export interface ContentEstimate {
  /** Blobs, each once. */
  readonly blobs: number;
  readonly files: number;
  /** Unpacked layers, each once: what is certain, and what is to be expected. */
  readonly unpacked: { readonly least: number; readonly likely: number };
}

/**
 * Estimates the content from the pins. `unpackedSize` gives a lower bound of a layer's unpacked size where one
 * is known (a gzip file's own trailer says so); a layer of several images counts once.
 */
export function estimateContent(
  pins: TargetPins,
  unpackedSize: (layer: Descriptor) => number | undefined,
): ContentEstimate {
  const blobs = new Map<string, number>();
  const layers = new Map<string, Descriptor>();
  for (const image of Object.values(pins.images)) {
    if (image.keptIndex !== undefined) blobs.set(image.keptIndex.digest, image.keptIndex.size);
    for (const blob of [image.manifest, image.config, ...image.layers])
      blobs.set(blob.digest, blob.size);
    for (const layer of image.layers) layers.set(layer.digest, layer);
  }
  const unpacked = [...layers.values()].map((layer) => {
    const known = unpackedSize(layer);
    // A trailer that counts less than the file itself is of the last of several members.
    return known !== undefined && known >= layer.size
      ? { least: known, likely: known }
      : { least: 0, likely: layer.size * UNPACKING_FACTOR };
  });
  const sum = (numbers: Iterable<number>): number => [...numbers].reduce((a, b) => a + b, 0);
  return {
    blobs: sum(blobs.values()),
    files: sum(Object.values(pins.files).map((file) => file.size)),
    unpacked: {
      least: sum(unpacked.map((layer) => layer.least)),
      likely: sum(unpacked.map((layer) => layer.likely)),
    },
  };
}

/** The size of a file system that the content is loaded into: sparse, so plenty costs little. */
export function workingSize(size: Size, content: ContentEstimate, headroom: Headroom): number {
  if (size !== 'auto') return roundUp(size.bytes);
  const bytes = content.blobs + content.files + content.unpacked.likely;
  return roundUp(Math.ceil(bytes * 1.5) + FIXED_OVERHEAD + headroomBytes(headroom, bytes));
}

/**
 * What the content takes at least: nothing smaller can do. Of a layer's tar half may be headers and padding, which
 * a file system has no blocks for.
 */
export function leastSize(content: ContentEstimate): number {
  return content.blobs + content.files + Math.floor(content.unpacked.least / 2);
}

/** What the content is expected to take: for messages. */
export function likelySize(content: ContentEstimate): number {
  return content.blobs + content.files + content.unpacked.likely + FIXED_OVERHEAD;
}

/** The size to shrink to: `used` bytes are taken in the file system as it was loaded. */
export function finalSize(used: number, headroom: Headroom): number {
  return roundUp(used + headroomBytes(headroom, used));
}

function headroomBytes(headroom: Headroom, content: number): number {
  return 'percent' in headroom ? Math.ceil((content * headroom.percent) / 100) : headroom.bytes;
}

/** To whole MiB: partition tools and resize2fs like that best. */
function roundUp(bytes: number): number {
  return Math.ceil(bytes / MIB) * MIB;
}

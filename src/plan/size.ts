import type { Descriptor } from '../model/descriptor.ts';
import type { Engine, Size } from '../model/bundle.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Geometry } from './ext4-geometry.ts';
import { fileSystemOverhead, GROUP_BYTES, sizeFor } from './ext4-geometry.ts';

/** How big file systems must be. All sizes are bytes. docs/sizes.md tells what the factors are measured on. */

const MIB = 1024 * 1024;

/** Unpacked bytes for a compressed one, where nothing better is known; HAOS's seven images measure 2.9. */
const UNPACKING_FACTOR = 4;

/** Blocks, inodes and directories for a byte of a layer's tar: whole systems take 1.05, modules for Node.js 1.15. */
const SPREAD_FACTOR = 1.1;

/** What an engine writes for itself while it loads: databases, and layers on their way. */
const ENGINE_ROOM = 8 * MIB;

/** The databases of a store that stowage writes itself: hardly ever more, however much is in it. */
const DATABASE_ROOM = MIB / 2;

/**
 * Beyond the expected content, while it is loaded. Not more, although it is sparse: what lies beyond the final size has
 * to be moved, and is on disk twice for that moment.
 */
const WORKING_ROOM = { factor: 1.12, bytes: 32 * MIB };

/** What the pinned content takes on the partition. */
export interface ContentEstimate {
  /** Blobs, each once. */
  readonly blobs: number;
  readonly files: number;
  /** Unpacked layers, each once: what is certain, and what is to be expected. */
  readonly unpacked: { readonly least: number; readonly likely: number };
  /** No engine runs while it is loaded, and so none writes anything for itself. */
  readonly withoutEngine?: boolean | undefined;
}

/**
 * Estimates the content from the pins. `unpackedSize` gives a lower bound of a layer's unpacked size where one
 * is known (a gzip file's own trailer says so); a layer that several images have on the same layers counts once.
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
    // On another layer the same one is unpacked once more.
    let chain = '';
    for (const layer of image.layers) {
      chain += layer.digest;
      layers.set(chain, layer);
    }
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

/** The part of it that an engine keeps: blobs alone where it does not unpack, and none of them in overlay2. */
export function contentFor(
  engine: Pick<Engine, 'store' | 'unpack'>,
  content: ContentEstimate,
): ContentEstimate {
  return {
    ...content,
    blobs: engine.store === 'overlay2' ? 0 : content.blobs,
    unpacked:
      engine.store === 'overlay2' || engine.unpack ? content.unpacked : { least: 0, likely: 0 },
  };
}

/** The size of a file system that the content is loaded into. */
export function workingSize(size: Size, content: ContentEstimate, geometry: Geometry): number {
  if (size !== 'auto') return roundUp(size.bytes, MIB);
  const bytes = likelyContent(content) * WORKING_ROOM.factor + WORKING_ROOM.bytes;
  // At least a whole group: one with fewer inodes would be the pattern of all that a device adds.
  return Math.max(GROUP_BYTES, roundUp(sizeFor(bytes, geometry), MIB));
}

/**
 * What the content takes at least: nothing smaller can do. Of a layer's tar half may be headers and padding, which
 * a file system has no blocks for.
 */
export function leastSize(content: ContentEstimate): number {
  return content.blobs + content.files + Math.floor(content.unpacked.least / 2);
}

/** Whether a partition of `size` can't possibly do: what it keeps for itself and the least content are too much. */
export function isTooSmall(size: number, content: ContentEstimate, geometry: Geometry): boolean {
  return fileSystemOverhead(size, geometry) + leastSize(content) > size;
}

/** What the content is expected to take on disk while it is loaded: for messages. */
export function likelySize(content: ContentEstimate, geometry: Geometry = {}): number {
  return sizeFor(likelyContent(content), geometry);
}

/** The smallest partition, in whole MiB, that is expected to do. */
export function fittingSize(content: ContentEstimate, geometry: Geometry): number {
  return roundUp(likelySize(content, geometry), MIB);
}

/** An attempt that ran out of space. */
export interface Shortage {
  /** Of the file system that was too small; what is used is metadata and content. It had no journal yet. */
  readonly size: number;
  readonly used: number;
  /** Part of the content that was in it, 0 to 1. */
  readonly loaded: number;
}

/** The smallest partition that is expected to do, after one has been too small: whole MiB. */
export function fittingSizeAfter(
  shortage: Shortage,
  content: ContentEstimate,
  geometry: Geometry,
): number {
  const { size, used, loaded } = shortage;
  const likely = likelyContent(content);
  const inside = used - fileSystemOverhead(size, { ...geometry, features: [] });
  const rest = Math.max(likely * (1 - loaded), likely / 10);
  // What all of it takes is known once all of it is there; a partition below what was expected proves nothing.
  const wanted = loaded >= 1 ? inside : inside < likely * 0.9 ? likely : inside + rest;
  return Math.max(roundUp(sizeFor(wanted, geometry), MIB), roundUp(size + 1, MIB));
}

/** Estimates of what an update leaves and what it adds. */
export interface UpdateContent {
  /** Of everything that is wanted afterwards. */
  readonly wanted: ContentEstimate;
  /** The part of it that is there already. */
  readonly kept: ContentEstimate;
  /** Of the images that are loaded, whatever they share with others; absent where none is. */
  readonly loaded?: ContentEstimate | undefined;
}

/** What an update is expected to write before it removes anything. */
export function roomForUpdate(
  engine: Pick<Engine, 'store' | 'unpack'>,
  { wanted, kept, loaded }: UpdateContent,
): number {
  const all = contentFor(engine, wanted);
  const there = contentFor(engine, kept);
  const files = all.files - there.files;
  if (loaded === undefined) return files;
  // A graph driver keeps no blobs, and yet takes the whole of an archive apart before it looks at it.
  const blobs = engine.store === 'overlay2' ? loaded.blobs : all.blobs - there.blobs;
  const unpacked = {
    least: all.unpacked.least - there.unpacked.least,
    likely: all.unpacked.likely - there.unpacked.likely,
  };
  return likelyContent({ blobs, files, unpacked });
}

function likelyContent(content: ContentEstimate): number {
  const { blobs, files, unpacked, withoutEngine } = content;
  const room = withoutEngine === true ? DATABASE_ROOM : ENGINE_ROOM;
  return Math.ceil(blobs + files + unpacked.likely * SPREAD_FACTOR) + room;
}

function roundUp(bytes: number, unit: number): number {
  return Math.ceil(bytes / unit) * unit;
}

import type { Context } from '../model/event.ts';
import type { NoSpace } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail } from '../model/result.ts';
import type { Geometry } from '../plan/ext4-geometry.ts';
import {
  GROUP_BYTES,
  GROWS_TO,
  INODES_PER_GROUP,
  MOST_INODES_PER_GROUP,
} from '../plan/ext4-geometry.ts';
import { layerBytes } from '../plan/load-order.ts';
import { contentFor, fittingSizeAfter, likelySize, workingSize } from '../plan/size.ts';
import type { NewFileSystem } from '../tools/e2fsprogs.ts';
import type { Superblock } from '../tools/ext4-superblock.ts';
import { readSuperblock } from '../tools/ext4-superblock.ts';
import type { BuildRequest, Filled, WorkFiles } from './loader.ts';
import { DATA_IMAGE } from './loader.ts';

/** How often an estimate may have been short before the content is to blame. */
const ATTEMPTS = 4;
/** By how much it then grows. */
const MORE_BYTES = 2;
/** And how many more inodes a group then has: all that a device adds to it will have as many. */
const MORE_INODES = 2;

/**
 * Fills a file system of the size that the partition has, or of one that should do: where it does not, in bytes or
 * in inodes, again in a larger one. `attempt` makes, fills and unmounts it.
 */
export async function fillSized(
  request: BuildRequest,
  work: WorkFiles,
  attempt: (fileSystem: NewFileSystem, context: Context) => Promise<Result<Filled>>,
  context: Context,
): Promise<Result<Filled>> {
  const { partition, engine } = request.wanted;
  const content = contentFor(engine, request.content);
  const { features } = partition;
  let inodesPerGroup = densityFor(partition.inodes, likelySize(content, { features }));
  let bytes = workingSize(partition.size, content, { features, inodesPerGroup });
  for (let attempts = 1; ; attempts++) {
    const watched = watchLoads(request, context);
    const fileSystem: NewFileSystem = {
      size: bytes,
      label: partition.label,
      features,
      inodes: inodesFor(bytes, inodesPerGroup),
      reserved: partition.reserved,
      growsTo: GROWS_TO,
      identity: request.identity,
    };
    const filled = await attempt(fileSystem, watched.context);
    if (filled.ok || filled.failure.reason !== 'no-space') return filled;
    if (filled.failure.where !== DATA_IMAGE) return filled;
    const left = await readSuperblock(work.image);
    if (!left.ok) return filled;
    const noInodes = isShortOfInodes(left.value);
    const mayGrow = partition.size === 'auto';
    if (attempts === ATTEMPTS || !(mayGrow || (noInodes && inodesPerGroup < MOST_INODES_PER_GROUP)))
      return fail(tooSmall(left.value, watched.loaded(), bytes, request, inodesPerGroup));
    const before = { bytes, inodes: left.value.inodes };
    // Many small files take more blocks than were expected, too.
    if (mayGrow) bytes *= MORE_BYTES;
    if (noInodes)
      inodesPerGroup = Math.min(
        MOST_INODES_PER_GROUP,
        inodesPerGroup * MORE_INODES * (mayGrow ? 1 : MORE_INODES),
      );
    context.report({
      type: 'warning',
      about: noInodes ? 'the file system had too few inodes' : 'the estimated size was too small',
      detail: noInodes
        ? `trying again with ${inodesFor(bytes, inodesPerGroup)} instead of ${before.inodes}`
        : `trying again with ${bytes / MIB} MiB instead of ${before.bytes / MIB}`,
    });
  }
}

const MIB = 1024 * 1024;

/** Inodes for each group, so that a file system of `size` bytes has at least `wanted`. */
function densityFor(wanted: number | undefined, size: number): number {
  const groups = Math.ceil(size / GROUP_BYTES);
  // Whole blocks of inodes, as mke2fs makes them.
  const each = Math.ceil((wanted ?? 0) / groups / 16) * 16;
  return Math.min(MOST_INODES_PER_GROUP, Math.max(INODES_PER_GROUP, each));
}

function inodesFor(bytes: number, inodesPerGroup: number): number {
  // mke2fs divides them by the groups, of which the last is hardly ever a whole one.
  return bytes < GROUP_BYTES
    ? Math.ceil((bytes / GROUP_BYTES) * inodesPerGroup)
    : Math.ceil(bytes / GROUP_BYTES) * inodesPerGroup;
}

/** An engine has already removed what did not fit: what it had less of is what was lacking. */
function isShortOfInodes({ freeInodes, inodes, freeBlocks, blocks }: Superblock): boolean {
  return freeInodes / inodes < freeBlocks / blocks;
}

function tooSmall(
  left: Superblock,
  loaded: number,
  size: number,
  request: BuildRequest,
  inodesPerGroup: number,
): NoSpace {
  const { partition, engine } = request.wanted;
  const geometry: Geometry = { features: partition.features, inodesPerGroup };
  const used = (left.blocks - left.freeBlocks) * left.blockSize;
  const content = contentFor(engine, request.content);
  const fits = fittingSizeAfter({ size, used, loaded }, content, geometry);
  return { reason: 'no-space', where: DATA_IMAGE, needed: fits, available: size, fits };
}

/** Counts what gets through, as a part of all: each image by the layers that it is made of. */
function watchLoads(
  request: BuildRequest,
  context: Context,
): { readonly context: Context; loaded(): number } {
  const all = Object.values(request.pins.images).reduce((sum, image) => sum + layerBytes(image), 0);
  let bytes = 0;
  return {
    context: {
      ...context,
      report(event) {
        if (event.type === 'loaded') bytes += event.bytes;
        context.report(event);
      },
    },
    loaded: () => (all === 0 ? 0 : Math.min(1, bytes / all)),
  };
}

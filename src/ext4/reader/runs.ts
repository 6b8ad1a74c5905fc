import { blockRuns } from './block-map.ts';
import { damaged } from './damage.ts';
import { extentRuns } from './extent-map.ts';
import type { RawInode } from './inode.ts';
import type { Volume } from './volume.ts';

/** Blocks of a file that lie beside each other on the disk. What no run covers is zeros. */
export interface Run {
  /** Blocks from the file's start. */
  readonly logical: number;
  /** Blocks from the file system's start, all of them within it. */
  readonly physical: number;
  readonly count: number;
}

/** Logical blocks from `from` up to, but not including, `to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What is mapped of `wanted`, in order, cut to it. The inode must not be an inline one. */
export async function* runsOf(volume: Volume, inode: RawInode, wanted: Range): AsyncGenerator<Run> {
  const { from, to } = wanted;
  let total = 0;
  for await (const run of (inode.extents ? extentRuns : blockRuns)(volume, inode, wanted)) {
    const skipped = Math.max(from - run.logical, 0);
    const count = Math.min(run.count, to - run.logical) - skipped;
    if (count <= 0) continue;
    total += count;
    // More than there are means that some are mapped again and again: a small image would be read for days.
    if (total > volume.superblock.blocks)
      throw damaged(`inode ${inode.number} maps more blocks than there are`);
    yield { logical: run.logical + skipped, physical: run.physical + skipped, count };
  }
}

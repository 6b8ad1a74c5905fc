import type { Extent } from './format/extent.ts';
import {
  EXTENT,
  itemsIn,
  sealExtentBlock,
  writeExtent,
  writeExtentHeader,
  writeExtentIndex,
} from './format/extent.ts';
import { POINTERS } from './format/inode.ts';

/** One node of each level, leaves first; zero between one tree and the next, which may use them again. */
export interface TreeNode {
  readonly bytes: Buffer;
  count: number;
}

const ROOT_ITEMS = itemsIn(POINTERS.length);

/**
 * Builds one file's tree of extents while the file is written: a node goes out as soon as it is full, so that only one
 * of each level is kept.
 */
export class ExtentTree {
  readonly #blockSize: number;
  readonly #seed: number;
  /** Writes a block of its own for a node, and tells where it is. */
  readonly #writeNode: (node: Buffer) => number;
  readonly #levels: TreeNode[];
  #top = 0;
  #last: Extent | undefined;

  /** `seed` is the inode's; `levels` are of the tree built before, or empty. */
  constructor(
    blockSize: number,
    seed: number,
    writeNode: (node: Buffer) => number,
    levels: TreeNode[] = [],
  ) {
    this.#blockSize = blockSize;
    this.#seed = seed;
    this.#writeNode = writeNode;
    this.#levels = levels;
  }

  /** Behind all that were added before. */
  add(extent: Extent): void {
    const last = this.#last;
    if (
      last !== undefined &&
      last.logical + last.length === extent.logical &&
      last.physical + last.length === extent.physical &&
      last.length + extent.length <= EXTENT.longest
    ) {
      this.#last = { ...last, length: last.length + extent.length };
      return;
    }
    this.#last = extent;
    if (last !== undefined) this.#addToLeaf(last);
  }

  /** What the inode holds: the root. */
  end(): Buffer {
    if (this.#last !== undefined) this.#addToLeaf(this.#last);
    const root = Buffer.alloc(POINTERS.length);
    let depth = 0;
    while (depth < this.#top || this.#level(depth).count > ROOT_ITEMS) {
      this.#flush(depth);
      depth += 1;
    }
    const level = this.#level(depth);
    const { bytes, count } = level;
    const end = EXTENT.header + count * EXTENT.item;
    bytes.copy(root, EXTENT.header, EXTENT.header, end);
    writeExtentHeader(root, { count, most: ROOT_ITEMS, depth });
    bytes.fill(0, 0, end);
    level.count = 0;
    return root;
  }

  #addToLeaf(extent: Extent): void {
    let { logical, physical, length } = extent;
    while (length > 0) {
      const part = Math.min(length, EXTENT.longest);
      const leaf = this.#room(0);
      writeExtent(leaf.bytes, leaf.count, { logical, physical, length: part });
      leaf.count += 1;
      logical += part;
      physical += part;
      length -= part;
    }
  }

  /** A node of that level with room for one more. */
  #room(depth: number): TreeNode {
    if (this.#level(depth).count === itemsIn(this.#blockSize)) this.#flush(depth);
    return this.#level(depth);
  }

  #flush(depth: number): void {
    const level = this.#level(depth);
    writeExtentHeader(level.bytes, {
      count: level.count,
      most: itemsIn(this.#blockSize),
      depth,
    });
    sealExtentBlock(level.bytes, this.#seed);
    const logical = level.bytes.readUInt32LE(EXTENT.header);
    const child = this.#writeNode(level.bytes);
    this.#top = Math.max(this.#top, depth + 1);
    const above = this.#room(depth + 1);
    writeExtentIndex(above.bytes, above.count, { logical, child });
    above.count += 1;
    level.bytes.fill(0);
    level.count = 0;
  }

  #level(depth: number): TreeNode {
    return (this.#levels[depth] ??= { bytes: Buffer.alloc(this.#blockSize), count: 0 });
  }
}

import type { BlockAllocator } from './block-allocator.ts';
import type { TreeNode } from './extent-tree.ts';
import { ExtentTree } from './extent-tree.ts';
import type { Run } from './geometry.ts';
import type { ImageOutput } from './image-output.ts';
import { NoRoom } from './refusal.ts';

/** What a file's or directory's inode says of its blocks. */
export interface Mapped {
  /** The root of its extents. */
  readonly pointers: Buffer;
  /** Those of its tree included. */
  readonly blocks: number;
}

/** Takes blocks and fills them. Throws `NoRoom` where the file system has no more. */
export class BlockStore {
  readonly blockSize: number;
  readonly allocator: BlockAllocator;
  readonly output: ImageOutput;
  /** For whichever file is being written, as there is one at a time: nodes of its extents, a block not yet full. */
  readonly nodes: TreeNode[] = [];
  readonly partial: Buffer;

  constructor(blockSize: number, allocator: BlockAllocator, output: ImageOutput) {
    this.blockSize = blockSize;
    this.allocator = allocator;
    this.output = output;
    this.partial = Buffer.alloc(blockSize);
  }

  /** A block for itself. Returns its number. */
  writeBlock(make: Buffer | ((at: number) => Buffer)): number {
    const { start } = this.take(1);
    this.output.write(start * this.blockSize, typeof make === 'function' ? make(start) : make);
    return start;
  }

  take(most: number): Run {
    const run = this.allocator.take(most);
    if (run === undefined) throw new NoRoom();
    return run;
  }
}

/** The blocks of one file or directory, written one after the other. */
export class MappedBlocks {
  readonly #store: BlockStore;
  readonly #extents: ExtentTree;
  #logical = 0;
  #blocks = 0;

  /** `seed` is the inode's. */
  constructor(store: BlockStore, seed: number) {
    this.#store = store;
    const writeNode = (node: Buffer): number => {
      this.#blocks += 1;
      return store.writeBlock(node);
    };
    this.#extents = new ExtentTree(store.blockSize, seed, writeNode, store.nodes);
  }

  /** Whole blocks; takes a copy. */
  append(bytes: Uint8Array): void {
    const { blockSize, output } = this.#store;
    let done = 0;
    while (done < bytes.length) {
      const { start, length } = this.#store.take((bytes.length - done) / blockSize);
      const end = done + length * blockSize;
      const part = done === 0 && end === bytes.length ? bytes : bytes.subarray(done, end);
      output.write(start * blockSize, part);
      this.#extents.add({ logical: this.#logical, physical: start, length });
      this.#logical += length;
      this.#blocks += length;
      done = end;
    }
  }

  /** So many blocks of zeros. */
  skip(blocks: number): void {
    this.#logical += blocks;
  }

  end(): Mapped {
    const pointers = this.#extents.end();
    return { pointers, blocks: this.#blocks };
  }
}

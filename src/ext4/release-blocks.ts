import type { BlockStore } from './block-store.ts';
import { itemsIn, readExtent, readExtentHeader, readExtentIndex } from './format/extent.ts';
import { INODE_FLAG, readFlags, readPointers, readXattrBlock } from './format/inode.ts';

/** Gives back what an inode has: the blocks of its content, of their tree, and of its attributes. */
export async function releaseBlocks(store: BlockStore, fields: Buffer): Promise<void> {
  releaseXattrBlock(store, fields);
  if ((readFlags(fields) & INODE_FLAG.extents) !== 0)
    await releaseNode(store, readPointers(fields));
}

export function releaseXattrBlock({ allocator }: BlockStore, fields: Buffer): void {
  const block = readXattrBlock(fields);
  if (block !== 0) allocator.release({ start: block, length: 1 });
}

/** Nodes that are not in the inode are read back: nobody kept them. */
async function releaseNode(store: BlockStore, node: Buffer): Promise<void> {
  const { count, depth } = readExtentHeader(node);
  for (let i = 0; i < Math.min(count, itemsIn(node.length)); i += 1) {
    if (depth === 0) {
      const { physical, length } = readExtent(node, i);
      store.allocator.release({ start: physical, length });
      continue;
    }
    const child = readExtentIndex(node, i);
    await releaseNode(store, await store.output.read(child * store.blockSize, store.blockSize));
    store.allocator.release({ start: child, length: 1 });
  }
}

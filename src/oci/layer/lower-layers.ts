import { createHash, randomBytes } from 'node:crypto';
import type { Attributes, LayerEntry } from './layer-entry.ts';
import { madeIn } from './apply-layer.ts';
import { LayerError } from './layer-entry.ts';
import type { DirectoryNode, LayerTree, Node } from './layer-tree.ts';
import { PathError } from './layer-tree.ts';

/** Blocks of a file system that count for a snapshot's size, and what one of their directory entries takes besides its name. */
const BLOCK = 4096;
const NAME_HEADER = 8;
const FAST_LINK = 59;

/** A layer that has been written: what is still to be known of it. */
export interface WrittenLayer {
  /** Distinct ones, the root's included. */
  readonly inodes: number;
  /** Bytes on disk, as far as that can be told without the file system. */
  readonly size: number;
  /** Bytes of files and of links' targets, as a graph driver adds them up (moby, daemon/internal/directory). */
  readonly apparentSize: number;
  /** Directories and symbolic links alone. */
  readonly tree: LayerTree;
  /** Directories that a lower layer describes, parents first. */
  readonly inheriting: readonly string[];
  /** Of the paths of all that is no directory, sorted: hundred thousands of them are in memory for all layers. */
  readonly others: Float64Array;
}

/** Takes over the tree of a layer that is complete, and takes out of it what is not needed any more. */
export function closeLayer(tree: LayerTree): WrittenLayer {
  const seen = new Set<Node>();
  const inheriting: string[] = [];
  const hashes: number[] = [];
  let blocks = 0;
  let apparentSize = 0;
  const directories: DirectoryNode[] = [];
  for (const { path, node } of tree.walk()) {
    if (node.type !== 'directory') hashes.push(hashOf(path));
    else {
      directories.push(node);
      if (node.inherits) inheriting.push(path);
    }
    if (seen.has(node)) continue;
    seen.add(node);
    blocks += blocksOf(node);
    if (node.type === 'file') apparentSize += node.size;
    if (node.type === 'symlink') apparentSize += node.target.length;
  }
  for (const { children } of directories)
    for (const [name, node] of children)
      if (node.type !== 'directory' && node.type !== 'symlink') children.delete(name);
  return {
    inodes: seen.size,
    size: blocks * BLOCK,
    apparentSize,
    tree,
    inheriting,
    others: Float64Array.from(hashes).sort(),
  };
}

/**
 * What containerd's `mkparent` copies for directories that have no member of their own: mode, owner, time and extended
 * attributes of the topmost lower layer that has them. `lower` begins with the nearest one, whose own are known by now.
 * Throws a `LayerError` where the engine would fail. Returns what has to be written again.
 */
export function inheritAttributes(
  layer: WrittenLayer,
  lower: readonly WrittenLayer[],
): LayerEntry[] {
  const entries: LayerEntry[] = [];
  for (const path of layer.inheriting) {
    const node = layer.tree.at(path.split('/'));
    if (node?.type !== 'directory') continue;
    const parent = layer.tree.at(path.split('/').slice(0, -1)) ?? layer.tree.root;
    const attributes = inherited(
      node.attributes,
      node.isUnpacked,
      findBelow(path, lower),
      parent.attributes,
    );
    if (attributes === node.attributes) continue;
    node.attributes = attributes;
    entries.push({ type: 'directory', path, ...node.attributes });
  }
  return entries;
}

/**
 * The one rule of what a directory that was made without a member of its own inherits. `own` is how it was made, or how
 * the member says it is that came later (`isUnpacked`), `below` what the topmost lower layer that has it says, `parent`
 * how the directory is that it is in, once that has inherited as well. `own` itself where it inherits nothing.
 */
export function inherited(
  own: Attributes,
  isUnpacked: boolean,
  below: Attributes | undefined,
  parent: Attributes,
): Attributes {
  if (below === undefined) {
    if (isUnpacked) return own;
    // Its own parent may be as a lower layer has it.
    const made = madeIn(parent, own);
    return made.gid === own.gid ? own : made;
  }
  const xattrs = new Map(
    [...below.xattrs, ...own.xattrs].filter(
      ([name]) => !name.startsWith('trusted.') || own.xattrs.has(name),
    ),
  );
  // A member that came later said everything but these.
  return { ...(isUnpacked ? own : below), xattrs };
}

function findBelow(path: string, lower: readonly WrittenLayer[]): Attributes | undefined {
  for (const { tree, others } of lower) {
    const parts = resolveIn(tree, others, path);
    const node = tree.at(parts);
    if (node?.type === 'directory') return node.attributes;
    // Replaced, so what is below that is not meant.
    if (node !== undefined || has(others, parts.join('/'))) return undefined;
  }
  return undefined;
}

function resolveIn(tree: LayerTree, others: Float64Array, path: string): string[] {
  const refuse = (detail: string): LayerError =>
    new LayerError(detail, Buffer.from(path, 'latin1'));
  let parts: string[];
  try {
    parts = tree.resolve(path.split('/'));
  } catch (error) {
    if (error instanceof PathError) throw refuse(`in a lower layer ${error.message}`);
    throw error;
  }
  // Only what is below its directories can be in a layer, so the first that is missing tells of all.
  const missing = tree.depthOf(parts);
  if (missing < parts.length - 1 && has(others, parts.slice(0, missing + 1).join('/')))
    throw refuse('it is below what is no directory in a lower layer');
  return parts;
}

function blocksOf(node: Node): number {
  switch (node.type) {
    case 'file':
      return Math.ceil(node.size / BLOCK);
    case 'symlink':
      return node.target.length > FAST_LINK ? 1 : 0;
    case 'directory': {
      let bytes = 0;
      for (const name of node.children.keys()) bytes += NAME_HEADER + name.length;
      return Math.max(1, Math.ceil(bytes / BLOCK));
    }
    case 'character device':
    case 'block device':
    case 'fifo':
      return 0;
  }
}

function has(sorted: Float64Array, path: string): boolean {
  const wanted = hashOf(path);
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === wanted;
}

/** Other in every process: whoever makes a layer can't look for names that are taken for each other. */
const SALT = randomBytes(16).toString('latin1');

/** 52 bits, which a number holds. What is written depends on which are the same, and not on what they are. */
function hashOf(path: string): number {
  const hash = createHash('sha256')
    .update(SALT + path, 'latin1')
    .digest();
  return hash.readUInt32LE(0) * 2 ** 20 + (hash.readUInt32LE(4) >>> 12);
}

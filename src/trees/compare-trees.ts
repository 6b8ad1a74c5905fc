import type { CompareOptions, NodeChange } from './compare-nodes.ts';
import { compareNodes } from './compare-nodes.ts';
import type { MergedNode } from './merged-tree.ts';
import { mergedChildren } from './merged-tree.ts';
import type { TreeNode } from './tree-node.ts';

/** A path at which two trees differ. `path` is latin1, relative, empty for the root. */
export type TreeDifference =
  | { readonly kind: 'added' | 'removed'; readonly path: string; readonly node: TreeNode }
  | {
      readonly kind: 'changed';
      readonly path: string;
      readonly changes: readonly NodeChange[];
      readonly from: TreeNode;
      readonly to: TreeNode;
    };

export interface CompareTreesOptions extends CompareOptions {
  /** What is at or below these paths is somebody else's. */
  readonly skip?: (path: string) => boolean;
  /**
   * How the first tree's directory at a path is to be, where that is more than it says itself. `parent` is the directory
   * that it is in, completed; undefined for the root.
   */
  readonly complete?: (
    node: TreeNode,
    path: string,
    parent: TreeNode | undefined,
  ) => Promise<TreeNode>;
}

/**
 * Goes through two trees side by side in the order of their names, holding the directories that it is in and a piece
 * of a file each. What is added or removed is told of with all that is in it. Throws `Stopped`.
 */
export async function* compareTrees(
  a: MergedNode | undefined,
  b: MergedNode | undefined,
  options: CompareTreesOptions = {},
  path = '',
  parent?: TreeNode,
): AsyncGenerator<TreeDifference, void> {
  if (a === undefined || b === undefined) {
    if (a !== undefined) yield* allOf(a, 'removed', path, options);
    if (b !== undefined) yield* allOf(b, 'added', path, options);
    return;
  }
  const wanted = (await options.complete?.(a.node, path, parent)) ?? a.node;
  const changes = await compareNodes(wanted, b.node, options);
  if (changes.length > 0) yield { kind: 'changed', path, changes, from: a.node, to: b.node };
  const [left, right] = [new Map(await mergedChildren(a)), new Map(await mergedChildren(b))];
  for (const name of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const below = path === '' ? name : `${path}/${name}`;
    if (options.skip?.(below) === true) continue;
    yield* compareTrees(left.get(name), right.get(name), options, below, wanted);
  }
}

async function* allOf(
  merged: MergedNode,
  kind: 'added' | 'removed',
  path: string,
  options: CompareTreesOptions,
): AsyncGenerator<TreeDifference, void> {
  yield { kind, path, node: merged.node };
  for (const [name, node] of await mergedChildren(merged)) {
    const below = path === '' ? name : `${path}/${name}`;
    if (options.skip?.(below) !== true) yield* allOf(node, kind, below, options);
  }
}

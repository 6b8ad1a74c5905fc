import type { TreeNode } from './tree-node.ts';
import { isOpaque, isWhiteout } from './tree-node.ts';

/** What a container sees at a path: the layers of an image on top of each other, as overlayfs lays them. */
export interface MergedNode {
  /** The topmost, which says how it is. */
  readonly node: TreeNode;
  /** Of directories of several layers: all of which its content comes, the topmost first. */
  readonly directories: readonly TreeNode[];
  /** A tree as it lies there: whiteouts and marks are files and attributes like others. */
  readonly isSingle?: true;
}

/** The layers of an image from the base up; undefined where it has none. */
export async function mergeLayers(roots: readonly TreeNode[]): Promise<MergedNode | undefined> {
  const stack = new Stack();
  for (const root of [...roots].reverse()) if (await stack.isClosedBy(root)) break;
  return stack.merged();
}

/** Of a directory, in the order of their bytes; nothing of anything else. */
export async function mergedChildren(
  directory: MergedNode,
): Promise<readonly (readonly [name: string, node: MergedNode])[]> {
  if (directory.isSingle === true)
    return (await directory.node.children()).map(([name, node]) => [name, single(node)]);
  const stacks = new Map<string, Stack>();
  for (const layer of directory.directories)
    for (const [name, node] of await layer.children()) {
      const known = stacks.get(name);
      const stack = known ?? new Stack();
      if (known === undefined) stacks.set(name, stack);
      await stack.isClosedBy(node);
    }
  return [...stacks]
    .flatMap(([name, stack]): [string, MergedNode][] => {
      const merged = stack.merged();
      return merged === undefined ? [] : [[name, merged]];
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What the layers have at one path, from the topmost on, until one of them hides what is below. */
class Stack {
  readonly #found: TreeNode[] = [];
  #isClosed = false;

  /** Takes the next lower one; true where what is below that does not matter. */
  async isClosedBy(node: TreeNode): Promise<boolean> {
    if (this.#isClosed) return true;
    const above = this.#found[0];
    if (isWhiteout(node) || (above !== undefined && node.type !== 'directory'))
      this.#isClosed = true;
    else {
      this.#found.push(node);
      this.#isClosed = node.type !== 'directory' || (await isOpaque(node));
    }
    return this.#isClosed;
  }

  merged(): MergedNode | undefined {
    const [top] = this.#found;
    if (top === undefined) return undefined;
    const directories = top.type === 'directory' ? this.#found : [];
    return { node: this.#found.find(({ isImplied }) => !isImplied) ?? top, directories };
  }
}

/** A layer by itself, or any other tree. */
export function single(node: TreeNode): MergedNode {
  return { node, directories: [], isSingle: true };
}

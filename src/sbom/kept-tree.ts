import type { TreeNode } from '../trees/tree-node.ts';
import { isWhiteout } from '../trees/tree-node.ts';

/**
 * What of a layer is kept once it was read: wanted files, what leads to them, links, and what hides those of lower
 * layers. The layer's own tree, a record for each of its files, is free then. `leadsTo` tells whether a path is wanted,
 * or one below it is.
 */
export async function keepOf(
  node: TreeNode,
  leadsTo: (path: string) => boolean,
  path = '',
): Promise<TreeNode> {
  if (node.type !== 'directory') return node;
  const children: [string, TreeNode][] = [];
  for (const [name, child] of await node.children()) {
    const below = path === '' ? name : `${path}/${name}`;
    if (leadsTo(below)) children.push([name, await keepOf(child, leadsTo, below)]);
    else if (child.type === 'symlink' || isWhiteout(child)) children.push([name, child]);
  }
  return new KeptDirectory(node, children, await node.xattrs());
}

class KeptDirectory implements TreeNode {
  readonly type = 'directory';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size = 0;
  readonly mtime: TreeNode['mtime'];
  readonly links = 1;
  readonly device = undefined;
  readonly isImplied: boolean;
  readonly #children: readonly (readonly [string, TreeNode])[];
  readonly #xattrs: ReadonlyMap<string, Uint8Array>;

  constructor(
    { mode, uid, gid, mtime, isImplied }: TreeNode,
    children: readonly (readonly [string, TreeNode])[],
    xattrs: ReadonlyMap<string, Uint8Array>,
  ) {
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.mtime = mtime;
    this.isImplied = isImplied;
    this.#children = children;
    this.#xattrs = xattrs;
  }

  children(): Promise<readonly (readonly [string, TreeNode])[]> {
    return Promise.resolve(this.#children);
  }

  xattrs(): Promise<ReadonlyMap<string, Uint8Array>> {
    return Promise.resolve(this.#xattrs);
  }

  target(): Promise<string> {
    throw new Error('this is no symbolic link');
  }

  digest(): Promise<string> {
    throw new Error('this is no file');
  }
}

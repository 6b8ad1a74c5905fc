import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { ImageNode } from '../trees/image-tree.ts';
import { need } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';

/**
 * What a directory looks like that a layer has no member for, or one that came late: the topmost lower layer that has it
 * says how it is (containerd, pkg/archive/tar.go, `mkparent`). `lower` are the directories of their snapshots, the nearest
 * first. Throws `Stopped`.
 */
export async function completeDirectory(
  reader: ImageReader,
  lower: readonly string[],
  node: TreeNode,
  path: string,
  signal: AbortSignal,
): Promise<TreeNode> {
  if (node.type !== 'directory' || path === '' || node.inherits !== true) return node;
  for (const root of lower) {
    const below = await findWithin(reader, root, path, signal);
    if (below === undefined) continue;
    // Replaced there, so what is below that is not meant.
    return below.type === 'directory' ? inherit(node, below) : node;
  }
  return node;
}

function inherit(node: TreeNode, below: TreeNode): TreeNode {
  const { mode, uid, gid } = node.isImplied ? below : node;
  return {
    ...{ type: 'directory', mode, uid, gid, size: 0, links: 1, device: undefined },
    ...{ mtime: node.mtime, isImplied: node.isImplied },
    children: () => node.children(),
    target: () => node.target(),
    digest: () => node.digest(),
    xattrs: async () => {
      const own = await node.xattrs();
      const inherited = [...(await below.xattrs())].filter(
        ([name]) => !name.startsWith('trusted.'),
      );
      return new Map([...inherited, ...own]);
    },
  };
}

/** As many as containerd follows (continuity, fs/path.go). */
const MOST_LINKS = 255;

/** What is at a path (latin1) of a tree in the image; links are followed within that tree, the last one too. */
export async function findWithin(
  reader: ImageReader,
  root: string,
  path: string,
  signal: AbortSignal,
): Promise<TreeNode | undefined> {
  const pending = path.split('/').reverse();
  const found: string[] = [];
  let node: TreeNode | undefined;
  let links = 0;
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      found.pop();
      continue;
    }
    const at = Buffer.from([root, ...found, part].join('/'), 'latin1');
    const inode = need(await reader.lookUp(at, 'keep'));
    if (inode === undefined) return undefined;
    node = new ImageNode(reader, inode, signal);
    if (node.type !== 'symlink') {
      found.push(part);
      continue;
    }
    links += 1;
    if (links > MOST_LINKS) return undefined;
    const target = await node.target();
    if (target.startsWith('/')) found.length = 0;
    pending.push(...target.split('/').reverse());
  }
  return node;
}

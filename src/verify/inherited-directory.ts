import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Attributes } from '../oci/layer/layer-entry.ts';
import { cleanParts } from '../oci/layer/layer-tree.ts';
import { inherited } from '../oci/layer/lower-layers.ts';
import { ImageNode } from '../trees/image-tree.ts';
import { need } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';

/**
 * What a directory looks like that a layer has no member for, or one that came late: the topmost lower layer that has it
 * says how it is (containerd, pkg/archive/tar.go, `mkparent`), else the directory that it is in, its `parent`. `lower` are
 * the directories of their snapshots, the nearest first. Throws `Stopped`.
 */
export async function completeDirectory(
  reader: ImageReader,
  lower: readonly string[],
  { node, path, parent }: { node: TreeNode; path: string; parent: TreeNode | undefined },
  signal: AbortSignal,
): Promise<TreeNode> {
  if (node.type !== 'directory' || parent === undefined || node.inherits !== true) return node;
  const below = await findBelow(reader, lower, path, signal);
  const own = await attributesOf(node);
  const { mode, uid, gid, xattrs } = inherited(
    own,
    !node.isImplied,
    below === undefined ? undefined : await attributesOf(below),
    await attributesOf(parent),
  );
  return {
    ...{ type: 'directory', mode, uid, gid, size: 0, links: 1, device: undefined },
    // Something was made in it since.
    ...{ mtime: node.mtime, isImplied: node.isImplied },
    children: () => node.children(),
    target: () => node.target(),
    digest: () => node.digest(),
    xattrs: () => Promise.resolve(xattrs),
  };
}

async function findBelow(
  reader: ImageReader,
  lower: readonly string[],
  path: string,
  signal: AbortSignal,
): Promise<TreeNode | undefined> {
  for (const root of lower) {
    const below = await findWithin(reader, root, path, signal);
    // Replaced where it is something else, so what is below that is not meant.
    if (below !== undefined) return below.type === 'directory' ? below : undefined;
  }
  return undefined;
}

async function attributesOf(node: TreeNode): Promise<Attributes> {
  const { mode, uid, gid, mtime = { seconds: 0, nanoseconds: 0 } } = node;
  return { mode, uid, gid, mtime, xattrs: await node.xattrs() };
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
    // By its text, as containerd follows them: `..` does not look where a link before it leads.
    const whole = target.startsWith('/') ? target : [...found, target].join('/');
    pending.push(...cleanParts(whole).reverse());
    found.length = 0;
  }
  return node;
}

import type { MergedNode } from '../trees/merged-tree.ts';
import { mergedChildren } from '../trees/merged-tree.ts';

/** As many links as Linux follows (include/linux/namei.h, `MAXSYMLINKS`). */
const MOST_LINKS = 40;

export interface FoundNode {
  /** Where it is once links are followed; relative to the root. */
  readonly path: string;
  /** Undefined where there is nothing. */
  readonly node: MergedNode | undefined;
}

/** What a process whose root is the tree's would find at a path. Paths are relative, and latin1 as in trees. */
export async function findNode(root: MergedNode, path: string): Promise<FoundNode> {
  const pending = path.split('/').reverse();
  let at: { readonly name: string; readonly node: MergedNode }[] = [];
  let links = 0;
  const nothing = (name: string): FoundNode => ({
    path: [...at.map((part) => part.name), name, ...[...pending].reverse()].join('/'),
    node: undefined,
  });
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue;
    if (name === '..') {
      at = at.slice(0, -1);
      continue;
    }
    const directory = at.at(-1)?.node ?? root;
    const wanted = name;
    const found = (await mergedChildren(directory)).find(([other]) => other === wanted)?.[1];
    if (found === undefined) return nothing(name);
    if (found.node.type === 'symlink') {
      links += 1;
      if (links > MOST_LINKS) return nothing(name);
      const target = await found.node.target();
      if (target.startsWith('/')) at = [];
      pending.push(...target.split('/').reverse());
    } else at.push({ name, node: found });
  }
  return { path: at.map((part) => part.name).join('/'), node: at.at(-1)?.node ?? root };
}

import type { TarEntry } from '../tar/reader.ts';
import type { ApplyOptions } from './apply-layer.ts';
import { directoryEntry, leafEntry, LayerApplier } from './apply-layer.ts';
import type { LayerEntry } from './layer-entry.ts';
import type { LayerTree, LeafNode } from './layer-tree.ts';

/**
 * A layer that has been gone through once and is gone through again to be written: only what remains of it at its end
 * is given out, each as it is then.
 */
export class ForeseenLayer {
  readonly tree: LayerTree;
  /** What needs no content. */
  #first: LayerEntry[] = [];
  /** A file with its further names, by the member that has its content. */
  readonly #files = new Map<number, LayerEntry[]>();
  #member = -1;

  constructor(tree: LayerTree) {
    this.tree = tree;
    const names = new Map<LeafNode, string[]>();
    for (const { path, node } of tree.walk())
      if (node.type !== 'directory') {
        const known = names.get(node);
        if (known === undefined) names.set(node, [path]);
        else known.push(path);
      } else if (path !== '' || node.attributes.xattrs.size > 0)
        this.#first.push(directoryEntry(path, node));
    for (const [node, [target = '', ...others]] of names) {
      const entries = [
        leafEntry(target, node),
        ...others.map((path): LayerEntry => ({ type: 'hard link', path, target })),
      ];
      if (node.type === 'file') this.#files.set(node.member, entries);
      else this.#first.push(...entries);
    }
  }

  take(): LayerEntry[] {
    this.#member += 1;
    const entries = this.#files.get(this.#member) ?? [];
    return this.#takeFirst(entries);
  }

  finish(): LayerEntry[] {
    return this.#takeFirst([]);
  }

  #takeFirst(entries: LayerEntry[]): LayerEntry[] {
    if (this.#first.length === 0) return entries;
    const first = this.#first;
    this.#first = [];
    return [...first, ...entries];
  }
}

/** Goes through all members; none of their content is looked at. Throws a `LayerError`. */
export async function foresee(
  members: AsyncIterable<TarEntry>,
  options: Omit<ApplyOptions, 'foresees'>,
): Promise<LayerTree> {
  const applier = new LayerApplier({ ...options, foresees: true });
  for await (const member of members) applier.take(member);
  applier.finish();
  return applier.tree;
}

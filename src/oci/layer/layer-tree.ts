import type { Attributes } from './layer-entry.ts';
import { quoteName } from './quote-name.ts';

/**
 * What of a layer has been unpacked so far: where names lead to, and what is there. Names are latin1, a character a byte.
 */
export type Node = DirectoryNode | LeafNode;

export interface DirectoryNode {
  readonly type: 'directory';
  attributes: Attributes;
  readonly children: Map<string, Node>;
  /** Made because something is in it: a lower layer that has it says how it is. */
  inherits: boolean;
  /** Has a member of its own. */
  isUnpacked: boolean;
}

/** One inode, under however many names. */
export interface LeafNode {
  readonly type: 'file' | 'symlink' | 'character device' | 'block device' | 'fifo';
  attributes: Attributes;
  /** Which member of the archive made it, counted from 0; -1 for whiteouts. */
  readonly member: number;
  readonly size: number;
  /** Of a symbolic link. */
  readonly target: string;
  readonly major: number;
  readonly minor: number;
  isUnpacked: boolean;
}

/** Why a name leads nowhere; what the kernel says to an engine that follows it. */
export class PathError extends Error {}

/** As many as containerd follows (continuity, fs/path.go). */
const MOST_LINKS = 255;
/** Bytes of a name and of a path that Linux takes. */
const LONGEST_NAME = 255;
const LONGEST_PATH = 4095;

/** The parts of a name in an archive with `.`, `..` and slashes taken out, as if the layer's root were the root of all. */
export function cleanParts(name: string): string[] {
  const parts: string[] = [];
  for (const part of name.split('/'))
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  return parts;
}

export class LayerTree {
  readonly root: DirectoryNode;
  /** The directory that was looked up last, as siblings come together. */
  #known:
    { readonly raw: string; readonly parts: string[]; readonly node: DirectoryNode } | undefined;

  constructor(rootAttributes: Attributes) {
    this.root = newDirectory(rootAttributes);
  }

  /**
   * Where a directory's parts lead to once symbolic links are followed; links that leave the root end there. What is
   * not there is no link. Throws a `PathError` on what is below something else than a directory.
   */
  resolve(parts: readonly string[]): string[] {
    const pending: string[] = [...parts].reverse();
    let found: string[] = [];
    let nodes: (Node | undefined)[] = [this.root];
    let links = 0;
    for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
      if (part === '..') {
        found.pop();
        if (nodes.length > 1) nodes.pop();
        continue;
      }
      if (part === '' || part === '.') continue;
      checkName(part);
      const above = nodes.at(-1);
      if (above !== undefined && above.type !== 'directory')
        throw new PathError(`${quoteName(found.join('/'))} is no directory`);
      const node = above?.children.get(part);
      if (node?.type !== 'symlink') {
        found.push(part);
        nodes.push(node);
        continue;
      }
      links += 1;
      if (links > MOST_LINKS) throw new PathError('symbolic links lead in a circle');
      const target = node.target.startsWith('/')
        ? cleanParts(node.target)
        : cleanParts(`${found.join('/')}/${node.target}`);
      pending.push(...target.reverse());
      found = [];
      nodes = [this.root];
    }
    return found;
  }

  at(parts: readonly string[]): Node | undefined {
    let node: Node | undefined = this.root;
    for (const part of parts) {
      if (node?.type !== 'directory') return undefined;
      node = node.children.get(part);
    }
    return node;
  }

  /** How many of the parts, from the first on, are there. */
  depthOf(parts: readonly string[]): number {
    let node: Node = this.root;
    for (const [depth, part] of parts.entries()) {
      const next: Node | undefined =
        node.type === 'directory' ? node.children.get(part) : undefined;
      if (next === undefined) return depth;
      node = next;
    }
    return parts.length;
  }

  /**
   * The directory that `raw`, the name in an archive up to its last part, leads to; directories that are missing are
   * made by `make`. Throws a `PathError` where it can't be one.
   */
  directory(
    raw: string,
    parts: readonly string[],
    make: (path: string, parent: Attributes) => Attributes,
  ): { readonly parts: string[]; readonly node: DirectoryNode } {
    if (this.#known?.raw === raw) return this.#known;
    const resolved = this.resolve(parts);
    checkPath(resolved);
    let node = this.root;
    for (const [depth, part] of resolved.entries()) {
      const next = node.children.get(part);
      if (next === undefined) {
        const path = resolved.slice(0, depth + 1).join('/');
        const made = newDirectory(make(path, node.attributes));
        made.inherits = true;
        node.children.set(part, made);
        node = made;
      } else if (next.type === 'directory') node = next;
      else
        throw new PathError(`${quoteName(resolved.slice(0, depth + 1).join('/'))} is no directory`);
    }
    this.#known = { raw, parts: resolved, node };
    return this.#known;
  }

  /** To be called when a directory is taken away. */
  forget(): void {
    this.#known = undefined;
  }

  /** All directories, parents first, and everything else behind its directory. In the order of adding. */
  *walk(): Generator<{ readonly path: string; readonly node: Node }, void> {
    const stack: { readonly path: string; readonly node: DirectoryNode }[] = [
      { path: '', node: this.root },
    ];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      yield at;
      const below: typeof stack = [];
      for (const [name, node] of at.node.children) {
        const path = at.path === '' ? name : `${at.path}/${name}`;
        if (node.type === 'directory') below.push({ path, node });
        else yield { path, node };
      }
      stack.push(...below.reverse());
    }
  }
}

export function newDirectory(attributes: Attributes): DirectoryNode {
  return {
    type: 'directory',
    attributes,
    children: new Map(),
    inherits: false,
    isUnpacked: false,
  };
}

/** Throws a `PathError`. */
export function checkName(name: string): void {
  if (name.length > LONGEST_NAME)
    throw new PathError(
      `a part of its name has ${name.length} bytes, and Linux takes ${LONGEST_NAME}`,
    );
}

/** Throws a `PathError`: each directory on the way is told of with its path, which is nothing to do for any length. */
export function checkPath(parts: readonly string[]): void {
  const length = parts.reduce((sum, part) => sum + part.length + 1, -1);
  if (length > LONGEST_PATH)
    throw new PathError(`its name has ${length} bytes, and Linux takes ${LONGEST_PATH}`);
}

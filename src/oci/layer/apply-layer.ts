import type { TarTime } from '../tar/pax.ts';
import type { TarEntry } from '../tar/reader.ts';
import type { Attributes, LayerEntry } from './layer-entry.ts';
import { LayerError, NO_XATTRS } from './layer-entry.ts';
import type { DirectoryNode, LeafNode, Node } from './layer-tree.ts';
import {
  checkName,
  checkPath,
  cleanParts,
  LayerTree,
  newDirectory,
  PathError,
} from './layer-tree.ts';
import { quoteName } from './quote-name.ts';
import { afterChmod, boundTime, keptXattrs, ownerOf } from './member-attributes.ts';

export interface ApplyOptions {
  /** With nothing below: then whiteouts delete, and leave no marker. */
  readonly isBase: boolean;
  /**
   * `graph driver`: as dockerd unpacks layers itself (moby, pkg/archive/archive.go, `Unpack`): a base has markers as well,
   * the administrator's attributes are kept, and names that lead out of the layer are refused. Default: `containerd`.
   */
  readonly by?: 'containerd' | 'graph driver';
  /** Of what has no time in the archive: whiteouts, directories without a member. */
  readonly time: TarTime;
  /**
   * What was given out may be taken back, since it is not written yet: `foresee` does that. Without it a member that
   * takes something back throws `TakenBack`.
   */
  readonly foresees?: boolean;
}

/** A layer in which members take back what others before them made: it can only be written once all of it is known. */
export class TakenBack extends Error {}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
const OPAQUE_XATTR = 'trusted.overlay.opaque';
const YES = Buffer.from('y');
const CAPABILITY = 'security.capability';

/** The modes of what no member tells of: mkdir's of containerd, and that of every symbolic link. */
const DIRECTORY_MODE = 0o755;
const LINK_MODE = 0o777;

/**
 * What containerd makes of a layer (pkg/archive/tar.go, `applyNaive` and `createTarFile`; tar_opts_linux.go): for each
 * member of the archive, as `readTar` in Go's dialect gives them, the entries of the snapshot's `fs`. Names that lead
 * out of the layer end at its root; symbolic links are followed within the layer alone. What the engine would refuse
 * throws a `LayerError`. Directories without a member are told of with `DIRECTORY_MODE`; what a lower layer says of them is
 * `inheritAttributes`' to find out.
 */
export class LayerApplier {
  readonly tree: LayerTree;
  readonly #options: ApplyOptions;
  /** Members for directories, whose times come last. */
  readonly #directories: { readonly path: string; readonly mtime: TarTime }[] = [];
  readonly #made: Attributes;
  #member = -1;
  #last: Attributes | undefined;

  constructor(options: ApplyOptions) {
    this.#options = options;
    this.#made = {
      ...{ mode: DIRECTORY_MODE, uid: 0, gid: 0 },
      ...{ mtime: options.time, xattrs: NO_XATTRS },
    };
    this.tree = new LayerTree(this.#made);
  }

  /** What the next member leads to, in the order of writing. A `file` has the member's content. */
  take(member: TarEntry): LayerEntry[] {
    this.#member += 1;
    const entries: LayerEntry[] = [];
    try {
      this.#apply(member, entries);
    } catch (error) {
      if (error instanceof PathError) throw new LayerError(error.message, member.name);
      throw error;
    }
    return entries;
  }

  /** Directories whose attributes came last. Call it once. */
  finish(): LayerEntry[] {
    const times = new Map<Node, { readonly path: string; readonly mtime: TarTime }>();
    for (const { path, mtime } of this.#directories) {
      const parts = this.#resolveLast(path);
      const node = this.tree.at(parts);
      if (node === undefined)
        throw new LayerError(
          'it is a directory that the same layer takes away again',
          Buffer.from(path, 'latin1'),
        );
      times.set(node, { path: parts.join('/'), mtime });
    }
    const entries: LayerEntry[] = [];
    for (const [node, { path, mtime }] of times) {
      if (isSameTime(node.attributes.mtime, mtime)) continue;
      node.attributes = { ...node.attributes, mtime };
      if (node.type === 'directory') entries.push(directoryEntry(path, node));
      else this.#takeBack();
    }
    return entries;
  }

  get #deletes(): boolean {
    return this.#options.isBase && this.#options.by !== 'graph driver';
  }

  #resolveLast(path: string): string[] {
    try {
      return this.tree.resolve(path.split('/'));
    } catch (error) {
      if (error instanceof PathError)
        throw new LayerError(error.message, Buffer.from(path, 'latin1'));
      throw error;
    }
  }

  #apply(member: TarEntry, entries: LayerEntry[]): void {
    const name = latin1(member.name);
    if (name.includes('\0')) throw new LayerError('its name contains a NUL', member.name);
    const above = cleanParts(name);
    if (this.#options.by === 'graph driver') refuseUpwards(name, member.name);
    checkPath(above);
    const base = ownCopy(above.pop());
    // The root is the snapshotter's.
    if (base === undefined) return;
    const raw = above.join('/');
    const { node: directory, parts } = this.tree.directory(raw, above, (path, parent) => {
      const made = madeIn(parent, this.#made);
      entries.push({ type: 'directory', path, ...made });
      return made;
    });
    checkName(base);
    const place = { directory, base, path: join(parts.join('/'), base) };
    if (base === OPAQUE) this.#hideBelow(directory, parts.join('/'), entries);
    else if (base.startsWith(WHITEOUT)) this.#whiteout(member, place, entries);
    else this.#put(member, place, entries);
    const { type } = member;
    if (type === 'directory' && !base.startsWith(WHITEOUT))
      this.#directories.push({ path: join(raw, base), mtime: boundTime(member.mtime) });
  }

  #hideBelow(directory: DirectoryNode, path: string, entries: LayerEntry[]): void {
    if (this.#deletes) {
      this.#removeImplied(directory);
      return;
    }
    const xattrs = new Map(directory.attributes.xattrs).set(OPAQUE_XATTR, YES);
    directory.attributes = { ...directory.attributes, xattrs };
    entries.push(directoryEntry(path, directory));
  }

  /** Whatever has no member of its own, with all that is in it. */
  #removeImplied(directory: DirectoryNode): void {
    for (const [name, node] of directory.children)
      if (!node.isUnpacked) {
        this.#takeBack();
        directory.children.delete(name);
      } else if (node.type === 'directory') this.#removeImplied(node);
  }

  #whiteout(member: TarEntry, place: Place, entries: LayerEntry[]): void {
    const hidden = place.base.slice(WHITEOUT.length);
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw new LayerError('it is a whiteout of nothing', member.name);
    const { children } = place.directory;
    const there = children.get(hidden);
    if (this.#deletes) {
      if (there === undefined) return;
      this.#takeBack();
      children.delete(hidden);
      return;
    }
    if (there !== undefined)
      throw new LayerError('it is a whiteout of what the same layer has', member.name);
    const owner = ownerOf(member, madeIn(place.directory.attributes, this.#made));
    const attributes = { mode: 0, ...owner, mtime: this.#options.time, xattrs: NO_XATTRS };
    const node = newLeaf('character device', attributes, { member: -1 });
    children.set(hidden, node);
    const end = place.path.length - place.base.length;
    entries.push(leafEntry(place.path.slice(0, end) + hidden, node));
  }

  #put(member: TarEntry, place: Place, entries: LayerEntry[]): void {
    const { directory, base, path } = place;
    const { children } = directory;
    const there = children.get(base);
    const attributes: Attributes = {
      mode: member.type === 'symlink' ? LINK_MODE : member.mode,
      ...ownerOf(
        member,
        there?.type === 'directory' && member.type === 'directory'
          ? there.attributes
          : madeIn(directory.attributes, this.#made),
      ),
      mtime: boundTime(member.mtime),
      xattrs: afterChmod(keptXattrs(member, this.#options.by), member.mode),
    };
    if (member.type === 'directory') {
      const kept = there?.type === 'directory' ? there : newDirectory(attributes);
      if (kept === there && kept.attributes.xattrs.size > 0) {
        const xattrs = new Map([...kept.attributes.xattrs, ...attributes.xattrs]);
        kept.attributes = { ...attributes, xattrs: afterChmod(xattrs, member.mode) };
      } else kept.attributes = attributes;
      kept.isUnpacked = true;
      children.set(base, kept);
      entries.push(directoryEntry(path, kept));
      return;
    }
    if (there?.type === 'directory') {
      // An empty one makes room by itself.
      if (there.children.size > 0) this.#takeBack();
      this.tree.forget();
    }
    children.delete(base);
    if (member.type === 'hard link') {
      const target = this.#targetOf(member);
      this.#describeLinked(target.node, member, attributes);
      children.set(base, target.node);
      target.node.isUnpacked = true;
      entries.push({ type: 'hard link', path, target: target.path });
      return;
    }
    const target = latin1(member.linkTarget);
    if (member.type === 'symlink' && target === '')
      throw new LayerError('it is a symbolic link to nothing', member.name);
    if (member.type === 'symlink') checkPath([target]);
    const { type, size, major, minor } = member;
    const node = newLeaf(type, this.#shared(attributes), {
      ...{ member: this.#member, size, target, major, minor },
    });
    node.isUnpacked = true;
    children.set(base, node);
    entries.push(leafEntry(path, node));
  }

  /** Neighbours mostly are alike, and there can be hundred thousands of them. */
  #shared(attributes: Attributes): Attributes {
    if (this.#last === undefined || !isSame(this.#last, attributes)) this.#last = attributes;
    return this.#last;
  }

  #targetOf(member: TarEntry): { readonly path: string; readonly node: LeafNode } {
    const name = latin1(member.linkTarget);
    const slash = name.lastIndexOf('/');
    const above = this.tree.resolve(name.slice(0, slash + 1).split('/'));
    const base = name.slice(slash + 1);
    const isLeaf = base !== '' && base !== '.' && base !== '..';
    const parts = isLeaf ? [...above, base] : above;
    const node = this.tree.at(parts);
    if (node === undefined)
      throw new LayerError(
        `it is a hard link to ${quoteName(name)}, which this layer does not have`,
        member.name,
      );
    if (node.type === 'directory')
      throw new LayerError('it is a hard link to a directory', member.name);
    return { path: parts.join('/'), node };
  }

  /** A link's member says again how the inode is. Another owner, even the same, takes capabilities away. */
  #describeLinked(node: LeafNode, member: TarEntry, said: Attributes): void {
    const old = node.attributes;
    const isLink = node.type === 'symlink';
    const xattrs = new Map([...old.xattrs, ...said.xattrs]);
    if (!said.xattrs.has(CAPABILITY) && !isLink) xattrs.delete(CAPABILITY);
    const mode = isLink ? LINK_MODE : member.mode;
    const kept = afterChmod(xattrs, mode);
    const attributes = { ...said, ...ownerOf(member, old), mode, xattrs: kept };
    if (isSame(old, attributes)) return;
    this.#takeBack();
    node.attributes = attributes;
  }

  #takeBack(): void {
    if (this.#options.foresees !== true)
      throw new TakenBack('a member takes back what was written');
    this.tree.forget();
  }
}

interface Place {
  readonly directory: DirectoryNode;
  readonly base: string;
  /** With all links followed. */
  readonly path: string;
}

export function directoryEntry(path: string, { attributes }: DirectoryNode): LayerEntry {
  return { type: 'directory', path, ...attributes };
}

export function leafEntry(path: string, node: LeafNode): LayerEntry {
  const { type, attributes, size, target, major, minor } = node;
  switch (type) {
    case 'file':
      return { type, path, ...attributes, size };
    case 'symlink':
      return { type, path, ...attributes, target: Buffer.from(target, 'latin1') };
    case 'character device':
    case 'block device':
      return { type, path, ...attributes, major, minor };
    case 'fifo':
      return { type, path, ...attributes };
  }
}

function newLeaf(
  type: LeafNode['type'],
  attributes: Attributes,
  rest: Pick<LeafNode, 'member'> & Partial<Pick<LeafNode, 'size' | 'target' | 'major' | 'minor'>>,
): LeafNode {
  const { member, size = 0, target = '', major = 0, minor = 0 } = rest;
  return { type, attributes, member, size, target, major, minor, isUnpacked: false };
}

/** Shorter ones are copies by themselves (V8's `SlicedString`). */
const SHORTEST_SLICE = 13;

/** A part of a string keeps all of it in memory; this one does not. */
function ownCopy(part: string | undefined): string | undefined {
  if (part === undefined || part.length < SHORTEST_SLICE) return part;
  return Buffer.from(part, 'latin1').toString('latin1');
}

function isSame(a: Attributes, b: Attributes): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    isSameTime(a.mtime, b.mtime) &&
    a.xattrs.size === b.xattrs.size &&
    [...a.xattrs].every(([name, value]) => {
      const other = b.xattrs.get(name);
      return other !== undefined && Buffer.compare(value, other) === 0;
    })
  );
}

function isSameTime(a: TarTime, b: TarTime): boolean {
  return a.seconds === b.seconds && a.nanoseconds === b.nanoseconds;
}

const SET_GROUP = 0o2000;

/** What is made in a directory that says so belongs to its group. */
export function madeIn(parent: Attributes, made: Attributes): Attributes {
  return (parent.mode & SET_GROUP) === 0 ? made : { ...made, gid: parent.gid };
}

/** A name that goes above the root, `x/../..` too. */
function refuseUpwards(name: string, member: Uint8Array): void {
  let depth = 0;
  for (const part of name.split('/')) {
    if (part === '..') depth -= 1;
    else if (part !== '' && part !== '.') depth += 1;
    if (depth < 0) throw new LayerError('its name leads out of the layer', member);
  }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

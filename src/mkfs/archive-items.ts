import type { Content, Entry, Timestamp } from '../ext4/entry.ts';
import type { Report } from '../model/event.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import type { TarEntry } from '../oci/tar/reader.ts';
import { TarReader } from '../oci/tar/reader.ts';
import { TarError } from '../oci/tar/tar-error.ts';
import { isAbsolute, memberPath } from './member-path.ts';
import { printable } from '../model/printable.ts';
import { TreeError } from './tree-error.ts';
import { ExtractedTree, WrongPlace } from './extracted-tree.ts';
import type { Place, TreeItem, TreeReader } from './tree-reader.ts';

export interface ArchiveOptions {
  /** As it was given: for messages. */
  readonly input: string;
  readonly xattrs: boolean;
  /** Of directories that have no member of their own. */
  readonly implied: Timestamp;
}

/**
 * A tar's members in their order, as GNU tar extracts them: names relative to the root whatever they begin with,
 * parents that have no member made in front of the first that needs them, and what is below a symbolic link below what
 * that leads to. Times of access and of change are left out:
 * no extraction brings them back, and they differ from one archive of a tree to the next. Throws a `TreeError` on
 * what is wrong with the archive, and what the source throws.
 */
export function archiveItems(
  source: AsyncIterable<Uint8Array>,
  options: ArchiveOptions,
  report: Report,
): TreeReader {
  return new ArchiveItems(source, options, report);
}

class ArchiveItems implements TreeReader {
  readonly #tar: TarReader;
  readonly #options: ArchiveOptions;
  readonly #warn: (detail: string) => void;
  readonly #tree = new ExtractedTree();
  /** What comes before another member is read. */
  readonly #ready: TreeItem[] = [];
  /** Of the member that was read last. */
  #offset = 0;

  constructor(source: AsyncIterable<Uint8Array>, options: ArchiveOptions, report: Report) {
    this.#tar = new TarReader(refuseEmpty(decompress(source), options.input));
    this.#options = options;
    this.#warn = warner(options.input, report);
  }

  next(): TreeItem | undefined | Promise<TreeItem | undefined> {
    const ready = this.#ready.shift();
    if (ready !== undefined) return ready;
    try {
      const member = this.#tar.next();
      return member instanceof Promise ? this.#later(member) : this.#item(member);
    } catch (error) {
      throw translate(error, this.#options.input);
    }
  }

  place(): Place {
    return { input: this.#options.input, offset: this.#offset };
  }

  close(): Promise<void> {
    return this.#tar.close();
  }

  async #later(coming: Promise<TarEntry | undefined>): Promise<TreeItem | undefined> {
    try {
      return this.#item(await coming);
    } catch (error) {
      throw translate(error, this.#options.input);
    }
  }

  #item(member: TarEntry | undefined): TreeItem | undefined {
    if (member === undefined) return undefined;
    const { input } = this.#options;
    if (isAbsolute(member.name)) this.#warn('names that begin with a slash are taken without it');
    const path = pathOf(member, member.name, input);
    if (member.unknown.length > 0)
      this.#warn(
        `access control lists that name nobody by number are left out, such as that of ${printable(path)}; make the archive with --numeric-owner`,
      );
    this.#offset = member.offset;
    const entry = this.#placed(entryOf(member, path, this.#options), member);
    const item = entry.type === 'file' ? { entry, content: contentOf(member, input) } : { entry };
    const ready = this.#ready.shift();
    if (ready === undefined) return item;
    this.#ready.push(item);
    return ready;
  }

  /** The entry where an extraction would have it; what is missing on the way there comes first. */
  #placed(entry: Entry, member: TarEntry): Entry {
    const name = latin1(entry.path);
    const slash = name.lastIndexOf('/');
    const parent = name.slice(0, Math.max(0, slash));
    if (this.#tree.isDirectory(parent)) return this.#remember(entry, name, member);
    const { path, missing } = this.#within(member, () => this.#tree.parent(parent));
    for (const directory of missing) {
      this.#tree.addDirectory(directory);
      this.#ready.push({ entry: impliedDirectory(directory, this.#options.implied) });
    }
    if (path === parent) return this.#remember(entry, name, member);
    const real = `${path}${path === '' ? '' : '/'}${name.slice(slash + 1)}`;
    return this.#remember({ ...entry, path: Buffer.from(real, 'latin1') }, real, member);
  }

  #remember(entry: Entry, name: string, member: TarEntry): Entry {
    switch (entry.type) {
      case 'directory':
        this.#tree.addDirectory(name);
        return entry;
      case 'symlink':
        this.#tree.addLink(name, latin1(entry.target));
        return entry;
      case 'hard link': {
        const given = latin1(entry.target);
        const target = this.#within(member, () => this.#tree.follow(given));
        this.#tree.addName(name, entry.path, target);
        return target === given ? entry : { ...entry, target: Buffer.from(target, 'latin1') };
      }
      case 'file':
      case 'character device':
      case 'block device':
      case 'fifo':
      case 'socket':
        this.#tree.addOther(name, entry.path);
        return entry;
    }
  }

  #within<T>(member: TarEntry, look: () => T): T {
    try {
      return look();
    } catch (error) {
      if (!(error instanceof WrongPlace)) throw error;
      throw badMember(member, error.detail, this.#options.input);
    }
  }
}

/** What goes wrong in it is told like anything else, though somebody else reads it. */
function contentOf({ content }: TarEntry, input: string): Content {
  return content instanceof Uint8Array ? content : translating(content, input);
}

async function* translating(
  content: AsyncIterable<Uint8Array>,
  input: string,
): AsyncGenerator<Uint8Array, void> {
  try {
    yield* content;
  } catch (error) {
    throw translate(error, input);
  }
}

/** What readers throw, as the project's failure; anything else as it is. */
export function translate(error: unknown, input: string): unknown {
  if (error instanceof TarError)
    return new TreeError({
      reason: 'tree-bad',
      input,
      ...(error.entry === undefined ? {} : { entry: printable(error.entry) }),
      offset: error.offset,
      detail: error.detail,
    });
  if (error instanceof CompressionError)
    return new TreeError({ reason: 'tree-bad', input, detail: error.message });
  return error;
}

function entryOf(member: TarEntry, path: Uint8Array, options: ArchiveOptions): Entry {
  const { type, mode, uid, gid, mtime, size, major, minor } = member;
  const xattrs = options.xattrs ? member.xattrs : NO_XATTRS;
  switch (type) {
    case 'file':
      return { type, path, mode, uid, gid, mtime, xattrs, size };
    case 'hard link':
      return { type, path, target: pathOf(member, member.linkTarget, options.input) };
    case 'symlink':
      return { type, path, mode: 0o777, uid, gid, mtime, xattrs, target: member.linkTarget };
    case 'character device':
    case 'block device':
      return { type, path, mode, uid, gid, mtime, xattrs, major, minor };
    case 'directory':
    case 'fifo':
      return { type, path, mode, uid, gid, mtime, xattrs };
  }
}

const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

function pathOf(member: TarEntry, name: Uint8Array, input: string): Uint8Array {
  const path = memberPath(name);
  if (path !== undefined) return path;
  throw badMember(member, 'it leads out of the tree by `..`', input);
}

function badMember({ name, offset }: TarEntry, detail: string, input: string): TreeError {
  return new TreeError({ reason: 'tree-bad', input, entry: printable(name), offset, detail });
}

/** tar makes them as mkdir(1) does; their owner is root, whoever runs this. */
function impliedDirectory(name: string, mtime: Timestamp): Entry {
  const path = Buffer.from(name, 'latin1');
  return { type: 'directory', path, mode: 0o755, uid: 0, gid: 0, mtime };
}

async function* refuseEmpty(
  source: AsyncIterable<Uint8Array>,
  input: string,
): AsyncGenerator<Uint8Array, void> {
  let isEmpty = true;
  for await (const chunk of source) {
    isEmpty &&= chunk.length === 0;
    yield chunk;
  }
  if (isEmpty) throw new TreeError({ reason: 'tree-bad', input, detail: 'it is empty' });
}

/** Each warning once. */
function warner(about: string, report: Report): (detail: string) => void {
  const said = new Set<string>();
  return (detail) => {
    const what = detail.replace(/ such as .*/, '');
    if (said.has(what)) return;
    said.add(what);
    report({ type: 'warning', about, detail });
  };
}

function latin1(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.length).toString('latin1');
}

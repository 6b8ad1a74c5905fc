import type { BigIntStats } from 'node:fs';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Attributes, Content, Entry, Timestamp } from '../ext4/entry.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { TreeXattrs } from '../tools/getfattr.ts';
import { readChunks } from './read-chunks.ts';
import type { SortedNames } from './sorted-names.ts';
import { sortedNames } from './sorted-names.ts';
import { printable } from '../model/printable.ts';
import { TreeError } from './tree-error.ts';
import type { Place, TreeItem, TreeReader } from './tree-reader.ts';

/** Bytes up to which a file is read at once, into a buffer that all of them share. */
const AT_ONCE = 1024 * 1024;
/** Milliseconds after which the event loop gets its turn, or no signal would be heard. */
const TURN = 50;
/** Bytes of a directory itself from which on it has thousands of names; on some file systems it never has as many. */
const LARGE = 128n * 1024n;
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * A directory's tree, in the order of its names' bytes, whatever file system it is on. Other file systems mounted
 * below it are part of it. Everything is read by synchronous calls, as small files are most of any tree. Throws a
 * `TreeError`: on what may not be read, and on files that change while they are read.
 */
export function directoryItems(root: string, xattrs: TreeXattrs): TreeReader {
  return new Walk(root, xattrs);
}

/** A directory that is being read: how its entries' paths begin, and which name is next. */
interface Level {
  readonly prefix: string;
  readonly names: SortedNames;
  next: number;
}

/** Names and paths are latin1 strings, a character a byte: shorter in memory than buffers, and in order by themselves. */
class Walk implements TreeReader {
  readonly #root: string;
  /** The root's path in latin1, with a slash. */
  readonly #base: string;
  readonly #xattrs: TreeXattrs;
  readonly #buffer = Buffer.allocUnsafeSlow(AT_ONCE + 1);
  /** Of files with several names: the first one's path by device and inode, and how many names are to come. */
  readonly #links = new Map<string, { readonly path: string; left: bigint }>();
  /** An own stack: a tree may be deeper than calls can be nested. */
  readonly #levels: Level[] = [];
  /** Whose entries come next. */
  #directory: { readonly path: string; readonly stats: BigIntStats } | undefined;
  #hasBegun = false;
  #turn = performance.now() + TURN;

  constructor(root: string, xattrs: TreeXattrs) {
    this.#root = root;
    this.#base = `${Buffer.from(root).toString('latin1').replace(/\/+$/, '')}/`;
    this.#xattrs = xattrs;
  }

  next(): TreeItem | undefined | Promise<TreeItem | undefined> {
    const now = performance.now();
    if (now < this.#turn) return this.#next();
    this.#turn = now + TURN;
    return nextTurn().then(() => this.#next());
  }

  place(): Place {
    return { input: this.#root };
  }

  close(): Promise<void> {
    this.#hasBegun = true;
    this.#directory = undefined;
    this.#levels.length = 0;
    return Promise.resolve();
  }

  #next(): TreeItem | undefined {
    if (!this.#hasBegun) {
      this.#hasBegun = true;
      const stats = this.#lstat('', this.#full(''));
      this.#directory = { path: '', stats };
      return { entry: entryOf('directory', EMPTY, this.#attributes('', stats)) };
    }
    if (this.#directory !== undefined) this.#enter(this.#directory);
    for (let level = this.#levels.at(-1); level !== undefined; level = this.#levels.at(-1)) {
      const name = level.names.at(level.next++);
      if (name !== undefined) return this.#item(level.prefix + name);
      this.#levels.pop();
    }
    return undefined;
  }

  #enter({ path, stats }: { readonly path: string; readonly stats: BigIntStats }): void {
    this.#directory = undefined;
    this.#levels.push({
      prefix: path === '' ? '' : `${path}/`,
      names: this.#try(path, () => sortedNames(this.#full(path), stats.size > LARGE)),
      next: 0,
    });
  }

  #item(path: string): TreeItem {
    const full = this.#full(path);
    const stats = this.#lstat(path, full);
    const bytes = Buffer.from(path, 'latin1');
    const kind = Number(stats.mode) & constants.S_IFMT;
    if (kind === constants.S_IFDIR) {
      this.#directory = { path, stats };
      return { entry: entryOf('directory', bytes, this.#attributes(path, stats)) };
    }
    if (stats.nlink > 1n) {
      const first = this.#linkTo(path, stats);
      if (first !== undefined)
        return {
          entry: { type: 'hard link', path: bytes, target: Buffer.from(first, 'latin1') },
        };
    }
    const attributes = this.#attributes(path, stats);
    switch (kind) {
      case constants.S_IFREG: {
        const size = Number(stats.size);
        const { mode, uid, gid, mtime, xattrs } = attributes;
        const content = size > AT_ONCE ? this.#stream(path, stats) : this.#read(path, full, stats);
        return {
          entry: { type: 'file', path: bytes, mode, uid, gid, mtime, xattrs, size },
          content,
        };
      }
      case constants.S_IFLNK: {
        const target = this.#try(path, () => readlinkSync(full, { encoding: 'buffer' }));
        return { entry: { ...entryOf('symlink', bytes, attributes), target } };
      }
      case constants.S_IFIFO:
        return { entry: entryOf('fifo', bytes, attributes) };
      case constants.S_IFSOCK:
        return { entry: entryOf('socket', bytes, attributes) };
      default: {
        const type = kind === constants.S_IFBLK ? 'block device' : 'character device';
        return { entry: { ...entryOf(type, bytes, attributes), ...deviceNumbers(stats.rdev) } };
      }
    }
  }

  #attributes(path: string, stats: BigIntStats): KnownAttributes {
    return {
      mode: Number(stats.mode) & 0o7777,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mtime: timestampOf(stats.mtimeNs),
      xattrs: this.#xattrs.size === 0 ? NO_XATTRS : (this.#xattrs.get(path) ?? NO_XATTRS),
    };
  }

  /** The first name of the same file; forgotten with the last. */
  #linkTo(path: string, { dev, ino, nlink }: BigIntStats): string | undefined {
    const key = `${dev}:${ino}`;
    const known = this.#links.get(key);
    if (known === undefined) {
      this.#links.set(key, { path, left: nlink - 1n });
      return undefined;
    }
    known.left -= 1n;
    if (known.left === 0n) this.#links.delete(key);
    return known.path;
  }

  #read(path: string, full: Buffer, before: BigIntStats): Content {
    const size = Number(before.size);
    let file: number | undefined;
    try {
      file = openSync(full, OPEN_FLAGS);
      let length = 0;
      let read = 0;
      // One byte more than there should be: a file that has grown is told by it.
      do {
        read = readSync(file, this.#buffer, length, size + 1 - length, null);
        length += read;
      } while (read > 0 && length < size);
      if (length !== size) throw this.#changed(path);
      this.#check(path, file, before);
    } catch (error) {
      throw this.#failure(path, error);
    } finally {
      if (file !== undefined) closeSync(file);
    }
    return this.#buffer.subarray(0, size);
  }

  async *#stream(path: string, before: BigIntStats): AsyncGenerator<Uint8Array> {
    const file = this.#try(path, () => openSync(this.#full(path), OPEN_FLAGS));
    try {
      let length = 0n;
      for await (const chunk of readChunks(file)) {
        length += BigInt(chunk.length);
        if (length > before.size) throw this.#changed(path);
        yield chunk;
      }
      if (length !== before.size) throw this.#changed(path);
      this.#check(path, file, before);
    } catch (error) {
      throw this.#failure(path, error);
    } finally {
      closeSync(file);
    }
  }

  /** What was read is what was looked at, and has not been written to meanwhile. */
  #check(path: string, file: number, before: BigIntStats): void {
    // Without bigints, whose garbage is most of what a walk leaves; a time is then good to a microsecond.
    const after = fstatSync(file);
    const isSame = after.dev === Number(before.dev) && after.ino === Number(before.ino);
    const apart = Math.abs(after.mtimeMs - Number(before.mtimeNs) / 1e6);
    if (!isSame || after.size !== Number(before.size) || apart > 0.001) throw this.#changed(path);
  }

  #lstat(path: string, full: Buffer): BigIntStats {
    try {
      return lstatSync(full, { bigint: true });
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  #full(path: string): Buffer {
    return Buffer.from(this.#base + path, 'latin1');
  }

  #try<T>(path: string, call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw this.#failure(path, error);
    }
  }

  #failure(path: string, error: unknown): unknown {
    const code = errorCode(error);
    if (error instanceof TreeError || code === undefined) return error;
    // What was listed and is not there, or is something else: O_NOFOLLOW on a link.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return this.#changed(path);
    const name = printable(this.#full(path));
    if (code === 'EIO')
      return new TreeError({
        ...{ reason: 'tree-bad', input: this.#root, entry: this.#name(path) },
        detail: 'the disk failed to read it (EIO)',
      });
    return new TreeError(fileFailure(error, name, 'reading the tree'));
  }

  #changed(path: string): TreeError {
    return new TreeError({
      ...{ reason: 'tree-bad', input: this.#root, entry: this.#name(path) },
      detail: 'it changed while it was read',
    });
  }

  #name(path: string): string {
    return path === '' ? '.' : printable(Buffer.from(path, 'latin1'));
  }
}

const EMPTY = new Uint8Array(0);
const BILLION = 1_000_000_000n;

type KnownAttributes = Required<Pick<Attributes, 'mode' | 'uid' | 'gid' | 'mtime' | 'xattrs'>>;
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

function entryOf<T extends Exclude<Entry['type'], 'hard link'>>(
  type: T,
  path: Uint8Array,
  { mode, uid, gid, mtime, xattrs }: KnownAttributes,
): KnownAttributes & { readonly type: T; readonly path: Uint8Array } {
  return { type, path, mode, uid, gid, mtime, xattrs };
}

function timestampOf(time: bigint): Timestamp {
  const seconds = Number(time / BILLION);
  const nanoseconds = Number(time % BILLION);
  // Before 1970 both are negative.
  return nanoseconds < 0
    ? { seconds: seconds - 1, nanoseconds: nanoseconds + 1e9 }
    : { seconds, nanoseconds };
}

/** Linux's dev_t as stat(2) gives it: makedev(3). */
function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn)),
  };
}

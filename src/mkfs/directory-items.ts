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
import type { Attributes, Content } from '../ext4/entry.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { TreeXattrs } from '../tools/getfattr.ts';
import { readChunks } from './read-chunks.ts';
import { SortedNames } from './sorted-names.ts';
import { printable, TreeError } from './tree-error.ts';
import type { TreeItem } from './tree-item.ts';

/** Bytes up to which a file is read at once, into a buffer that all of them share. */
const AT_ONCE = 1024 * 1024;
/** Milliseconds after which the event loop gets its turn, or no signal would be heard. */
const TURN = 50;
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * A directory's tree, in the order of its names' bytes, whatever file system it is on. Other file systems mounted
 * below it are part of it. Everything is read by synchronous calls, as small files are most of any tree. Throws a
 * `TreeError`: on what may not be read, and on files that change while they are read.
 */
export async function* directoryItems(
  root: string,
  xattrs: TreeXattrs,
): AsyncGenerator<TreeItem, void> {
  const walk = new Walk(root, xattrs);
  let turn = performance.now() + TURN;
  for (const item of walk.items()) {
    yield item;
    if (performance.now() < turn) continue;
    await nextTurn();
    turn = performance.now() + TURN;
  }
}

/** Names and paths are latin1 strings, a character a byte: shorter in memory than buffers, and in order by themselves. */
class Walk {
  readonly #root: string;
  /** The root's path in latin1, with a slash. */
  readonly #base: string;
  readonly #xattrs: TreeXattrs;
  readonly #buffer = Buffer.allocUnsafeSlow(AT_ONCE + 1);
  /** Of files with several names: the first one's path by device and inode, and how many names are to come. */
  readonly #links = new Map<string, { readonly path: string; left: bigint }>();

  constructor(root: string, xattrs: TreeXattrs) {
    this.#root = root;
    this.#base = `${Buffer.from(root).toString('latin1').replace(/\/+$/, '')}/`;
    this.#xattrs = xattrs;
  }

  *items(): Generator<TreeItem, void> {
    yield { entry: { ...this.#attributes('', this.#lstat('')), type: 'directory', path: EMPTY } };
    // An own stack: a tree may be deeper than generators can be nested.
    const stack: { readonly prefix: string; readonly names: SortedNames; next: number }[] = [
      { prefix: '', names: this.#list(''), next: 0 },
    ];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const name = top.names.at(top.next++);
      if (name === undefined) {
        stack.pop();
        continue;
      }
      const path = top.prefix + name;
      const item = this.#item(path);
      yield item;
      if (item.entry.type === 'directory')
        stack.push({ prefix: `${path}/`, names: this.#list(path), next: 0 });
    }
  }

  #item(path: string): TreeItem {
    const stats = this.#lstat(path);
    const bytes = Buffer.from(path, 'latin1');
    if (stats.nlink > 1n && !stats.isDirectory()) {
      const first = this.#linkTo(path, stats);
      if (first !== undefined)
        return {
          entry: { type: 'hard link', path: bytes, target: Buffer.from(first, 'latin1') },
        };
    }
    const common = { path: bytes, ...this.#attributes(path, stats) };
    if (stats.isFile()) {
      const size = Number(stats.size);
      const content = size > AT_ONCE ? this.#stream(path, stats) : this.#read(path, stats);
      return { entry: { ...common, type: 'file', size }, content };
    }
    if (stats.isDirectory()) return { entry: { ...common, type: 'directory' } };
    if (stats.isSymbolicLink())
      return { entry: { ...common, type: 'symlink', target: this.#target(path) } };
    if (stats.isFIFO()) return { entry: { ...common, type: 'fifo' } };
    if (stats.isSocket()) return { entry: { ...common, type: 'socket' } };
    const type = stats.isBlockDevice() ? 'block device' : 'character device';
    return { entry: { ...common, type, ...deviceNumbers(stats.rdev) } };
  }

  #attributes(path: string, stats: BigIntStats): Attributes {
    const xattrs = this.#xattrs.get(path);
    return {
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mtime: timestampOf(stats.mtimeNs),
      ...(xattrs === undefined ? {} : { xattrs }),
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

  #read(path: string, before: BigIntStats): Content {
    const size = Number(before.size);
    const file = this.#open(path);
    try {
      let length = 0;
      while (length <= size) {
        const read = this.#try(path, () =>
          readSync(file, this.#buffer, length, size + 1 - length, null),
        );
        if (read === 0) break;
        length += read;
      }
      if (length !== size) throw this.#changed(path);
      this.#check(path, file, before);
    } finally {
      closeSync(file);
    }
    return this.#buffer.subarray(0, size);
  }

  async *#stream(path: string, before: BigIntStats): AsyncGenerator<Uint8Array> {
    const file = this.#open(path);
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
    const after = this.#try(path, () => fstatSync(file));
    const isSame = after.dev === Number(before.dev) && after.ino === Number(before.ino);
    const apart = Math.abs(after.mtimeMs - Number(before.mtimeNs) / 1e6);
    if (!isSame || after.size !== Number(before.size) || apart > 0.001) throw this.#changed(path);
  }

  #open(path: string): number {
    return this.#try(path, () => openSync(this.#full(path), OPEN_FLAGS));
  }

  #lstat(path: string): BigIntStats {
    return this.#try(path, () => lstatSync(this.#full(path), { bigint: true }));
  }

  #list(path: string): SortedNames {
    return this.#try(path, () => new SortedNames(this.#full(path)));
  }

  #target(path: string): Uint8Array {
    return this.#try(path, () => readlinkSync(this.#full(path), { encoding: 'buffer' }));
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

function timestampOf(nanoseconds: bigint): Attributes['mtime'] {
  const rest = ((nanoseconds % BILLION) + BILLION) % BILLION;
  return { seconds: Number((nanoseconds - rest) / BILLION), nanoseconds: Number(rest) };
}

/** Linux's dev_t as stat(2) gives it: makedev(3). */
function deviceNumbers(rdev: bigint): { readonly major: number; readonly minor: number } {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & ~0xffn & 0xffffffffn)),
  };
}

import type { PaxAttributes } from './attributes.ts';
import { attributesOf, goAttributesOf, mergeRecords } from './attributes.ts';
import { ByteWindow } from './byte-window.ts';
import { GlobalRecords } from './global-records.ts';
import type { Header } from './header.ts';
import { BLOCK, isChecksumRight, isZero, parseHeader } from './header.ts';
import type { PaxRecord, TarTime } from './pax.ts';
import { parseDecimal, parsePax, parseTime } from './pax.ts';
import type { SparseMap } from './sparse.ts';
import { checkMap, expand, paxSparse, readLeadingMap, readOldMap } from './sparse.ts';
import { TarError } from './tar-error.ts';

/**
 * A member of a tar, byte for byte as the archive has it: nothing is decoded, resolved or made safe. In all forms
 * that GNU tar, bsdtar, star, Python and Go write: V7, ustar, GNU's long names and sparse files, PAX.
 */
export interface TarEntry extends PaxAttributes {
  readonly type: TarType;
  /** As it is written: with `./`, leading and trailing slashes if there are any. */
  readonly name: Uint8Array;
  /** Of links: as it is written. */
  readonly linkTarget: Uint8Array;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly atime: TarTime | undefined;
  readonly ctime: TarTime | undefined;
  /** Of devices. */
  readonly major: number;
  readonly minor: number;
  /** Bytes of `content`: of a sparse file all, with its holes. 0 for what is no file. */
  readonly size: number;
  /** To be read before the next entry, or not at all; once. Its chunks are good until the next is asked for. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
  /** Where its header is, in bytes. */
  readonly offset: number;
}

export type TarType =
  'file' | 'hard link' | 'symlink' | 'character device' | 'block device' | 'directory' | 'fifo';

/** Of the extended headers of one member, or one long name: the limit of Go's reader, and so of the container engines. */
const LONGEST_RECORDS = 1024 * 1024;

const TYPES: Readonly<Record<string, TarType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'symlink',
  '3': 'character device',
  '4': 'block device',
  '5': 'directory',
  '6': 'fifo',
  // Contiguous files, which no system has any more.
  '7': 'file',
  // GNU's: sparse files; directories with the list of what was in them.
  S: 'file',
  D: 'directory',
};

/** What Go's reader gives to the container engines; whatever else there is they refuse. */
const GO_TYPES = '\0' + '0123456';

/** A volume's label, and Solaris' lists that only it understands. */
const PASSED_OVER = 'VA';

const NOTHING = new Uint8Array(0);

export interface TarOptions {
  /**
   * `gnu`: what GNU tar and bsdtar understand. `go`: what Go's archive/tar, and with it a container engine, takes of it:
   * headers that hold for all members are nobody's, extended attributes are those of `SCHILY.xattr.` under their name as
   * it is, a directory is a member of that type, and GNU's own types are refused. Default: `gnu`.
   */
  readonly dialect?: 'gnu' | 'go';
}

/**
 * The members in their order. Throws a `TarError` on what is damaged, cut off or unknown: everything that an archive
 * can do; and what the source throws. The source is read to its end, and closed where the reader gives up.
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  { dialect = 'gnu' }: TarOptions = {},
): AsyncGenerator<TarEntry, void> {
  const reader = new TarReader(source, { dialect });
  try {
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next())
      yield entry;
  } finally {
    await reader.close();
  }
}

/** What a reader yields while it can't go on: what it waits for, whose value it is to be given. */
type Step<T = never> = Generator<T | Promise<unknown>, void>;

/** The same, an entry at a time, and without a promise where the next member is at hand: most are. */
export class TarReader {
  readonly #window: ByteWindow;
  readonly #steps: Step<TarEntry>;

  constructor(source: AsyncIterable<Uint8Array>, { dialect = 'gnu' }: TarOptions = {}) {
    this.#window = new ByteWindow(source);
    this.#steps = readMembers(this.#window, dialect === 'go');
  }

  /** Undefined at the end, and from then on. */
  next(): TarEntry | undefined | Promise<TarEntry | undefined> {
    const { done, value } = this.#steps.next();
    if (done === true) return undefined;
    return value instanceof Promise ? this.#later(value) : value;
  }

  /** Ends the reading, and closes the source where it was not read to its end. Idempotent. */
  async close(): Promise<void> {
    this.#steps.return();
    await this.#window.close();
  }

  async #later(first: Promise<unknown>): Promise<TarEntry | undefined> {
    for (let awaited = first; ;) {
      const { done, value } = await this.#resume(awaited);
      if (done === true) return undefined;
      if (!(value instanceof Promise)) return value;
      awaited = value;
    }
  }

  async #resume(
    awaited: Promise<unknown>,
  ): Promise<IteratorResult<TarEntry | Promise<unknown>, void>> {
    let given: unknown;
    try {
      given = await awaited;
    } catch (error) {
      return this.#steps.throw(error);
    }
    return this.#steps.next(given);
  }
}

/** Within a generator: the value of what is waited for. */
function* wait<T>(promise: Promise<T>): Generator<Promise<T>, T, unknown> {
  return (yield promise) as T;
}

/** What the headers in front of a member say of it. */
interface Ahead {
  readonly records: PaxRecord[];
  /** Of the headers that `records` are from. */
  bytes: number;
  name?: Uint8Array;
  linkTarget?: Uint8Array;
}

function* readMembers(window: ByteWindow, asGo: boolean): Step<TarEntry> {
  const globals = new GlobalRecords();
  let ahead: Ahead = { records: [], bytes: 0 };
  for (;;) {
    const offset = window.offset;
    const block = window.takeNow(BLOCK) ?? (yield* wait(window.take(BLOCK)));
    if (block.length === 0) {
      if (isAhead(ahead)) throw new TarError('the archive ends in it', offset, ahead.name);
      return;
    }
    if (block.length < BLOCK) throw new TarError('the archive ends within a header', offset);
    if (block[0] === 0 && isZero(block)) {
      yield* checkEnd(window, ahead);
      // What is behind an archive is nobody's, but whoever writes it into a pipe would break.
      while ((yield* wait(window.takeSome(Number.MAX_SAFE_INTEGER))) !== undefined);
      return;
    }
    if (!isChecksumRight(block))
      throw new TarError(
        offset === 0 ? 'this is no tar' : 'the checksum of its header is wrong',
        offset,
      );
    const header = parseHeader(block, offset);
    switch (header.type) {
      case 'x':
      case 'X':
        ahead.bytes += header.size;
        if (ahead.bytes > LONGEST_RECORDS) throw tooLong(ahead.bytes, offset, header.name);
        // Go's reader goes by the last header of several.
        if (asGo) ahead.records.length = 0;
        for (const record of yield* readRecords(window, header, offset)) ahead.records.push(record);
        break;
      case 'g': {
        const records = yield* readRecords(window, header, offset);
        if (!asGo) globals.add(records, offset);
        break;
      }
      case 'L':
        ahead.name = upToNul(yield* readSmall(window, header, offset));
        break;
      case 'K':
        ahead.linkTarget = upToNul(yield* readSmall(window, header, offset));
        break;
      default: {
        if (PASSED_OVER.includes(header.type) && !asGo) {
          yield* skipContent(window, header.size, offset, header.name);
        } else {
          const old =
            header.type === 'S' ? yield* wait(oldMap(header, block, window, offset)) : undefined;
          const { records } = globals;
          const parts = { header, globals: records, ahead, old, offset, asGo };
          const simple = simpleMember(window, parts);
          if (simple === undefined) {
            yield* readMember(window, parts);
          } else {
            yield simple;
            const padding = (BLOCK - (simple.size % BLOCK)) % BLOCK;
            if (!window.skipNow(padding) && !(yield* wait(window.skip(padding))))
              throw new TarError('the archive ends in it', window.offset, simple.name);
          }
        }
        if (isAhead(ahead)) ahead = { records: [], bytes: 0 };
      }
    }
  }
}

interface Parts {
  readonly header: Header;
  readonly globals: ReadonlyMap<string, Uint8Array>;
  readonly ahead: Ahead;
  readonly old: SparseMap | undefined;
  readonly offset: number;
  readonly asGo: boolean;
}

/** One without an extended header whose content is at hand, as most are; undefined where it is another. */
function simpleMember(window: ByteWindow, parts: Parts): TarEntry | undefined {
  const { header, ahead, globals } = parts;
  if (ahead.records.length > 0 || globals.size > 0 || header.type === 'S' || header.type === 'D')
    return undefined;
  const { entry, stored } = describe(parts);
  if (entry.type !== 'file') return entry;
  const content = window.takeNow(stored);
  if (content === undefined) return undefined;
  entry.size = stored;
  entry.content = content;
  return entry;
}

/** Yields one entry, and passes over what was not read of it. */
function* readMember(window: ByteWindow, parts: Parts): Step<TarEntry> {
  const { header, offset } = parts;
  const described = describe(parts);
  const { name } = described.entry;
  // Only files have content; what other members say of their size is not about what follows (as Go reads it), but for
  // GNU's lists of directories.
  const hasContent = described.entry.type === 'file' || header.type === 'D';
  let stored = hasContent ? described.stored : 0;
  let map = parts.old;
  try {
    const sparse = hasContent ? paxSparse(parts.ahead.records, offset) : undefined;
    if (sparse?.version === '0') map = sparse.map;
    if (sparse?.version === '1') {
      const leading = yield* wait(readLeadingMap(window, sparse.realSize, stored));
      // The whole content is filled up to a block, of which the map has taken some.
      stored -= leading.taken;
      map = leading.map;
    }
    if (map !== undefined) checkMap(map, stored, offset);
  } catch (error) {
    throw named(error, name);
  }
  const padding = (BLOCK - (stored % BLOCK)) % BLOCK;
  if (described.entry.type !== 'file') {
    yield described.entry;
    yield* skipContent(window, stored, offset, name);
    return;
  }
  const { entry } = described;
  const now = map === undefined ? window.takeNow(stored) : undefined;
  entry.size = map?.realSize ?? stored;
  if (now !== undefined) {
    entry.content = now;
    yield entry;
  } else {
    const content = new StoredContent(window, stored, name);
    entry.content = map === undefined ? content : expand(map, content);
    yield entry;
    yield* wait(content.skipRest());
  }
  if (!window.skipNow(padding) && !(yield* wait(window.skip(padding))))
    throw new TarError('the archive ends in it', window.offset, name);
}

/** What is stored of a member, in pieces. */
class StoredContent implements AsyncIterable<Uint8Array> {
  readonly #window: ByteWindow;
  readonly #name: Uint8Array;
  #left: number;

  constructor(window: ByteWindow, length: number, name: Uint8Array) {
    this.#window = window;
    this.#left = length;
    this.#name = name;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    while (this.#left > 0) {
      const piece = await this.#window.takeSome(this.#left);
      if (piece === undefined) throw this.#cut();
      this.#left -= piece.length;
      yield piece;
    }
  }

  async skipRest(): Promise<void> {
    const length = this.#left;
    this.#left = 0;
    if (!(await this.#window.skip(length))) throw this.#cut();
  }

  #cut(): TarError {
    return new TarError('the archive ends in it', this.#window.offset, this.#name);
  }
}

/** What its content is comes last. */
type EntryInTheMaking = Omit<TarEntry, 'size' | 'content'> & {
  size: TarEntry['size'];
  content: TarEntry['content'];
};

/** The entry without its content, and how many bytes of content are stored. */
function describe(parts: Parts): { readonly entry: EntryInTheMaking; readonly stored: number } {
  const { header, ahead, offset, asGo } = parts;
  const pax = mergeRecords(parts.globals, ahead.records);
  const name = pax.get('GNU.sparse.name') ?? pax.get('path') ?? ahead.name ?? header.name;
  const number = (key: string, otherwise: number): number => {
    const value = pax.get(key);
    const parsed = value === undefined ? otherwise : parseDecimal(value);
    if (parsed === undefined)
      throw new TarError(
        `${JSON.stringify(key)} in its extended header is no number`,
        offset,
        name,
      );
    return parsed;
  };
  const time = (key: string, otherwise: number | undefined): TarTime | undefined => {
    const value = pax.get(key);
    if (value === undefined)
      return otherwise === undefined ? undefined : { seconds: otherwise, nanoseconds: 0 };
    const parsed = parseTime(value);
    if (parsed === undefined)
      throw new TarError(`${JSON.stringify(key)} in its extended header is no time`, offset, name);
    return parsed;
  };
  const type = asGo && !GO_TYPES.includes(header.type) ? undefined : TYPES[header.type];
  if (type === undefined)
    throw new TarError(
      `it is of the type ${JSON.stringify(header.type)}, which is not known`,
      offset,
      name,
    );
  const { xattrs, unknown } = (asGo ? goAttributesOf : attributesOf)(pax, offset, name);
  const mayBeDirectory = asGo ? header.type === '\0' : type === 'file' && header.type !== 'S';
  return {
    stored: number('size', header.size),
    entry: {
      // Before there was a type for directories, they were told by their names' ends.
      type: mayBeDirectory && name.at(-1) === 0x2f ? 'directory' : type,
      name,
      linkTarget: pax.get('linkpath') ?? ahead.linkTarget ?? header.linkTarget,
      mode: header.mode,
      uid: number('uid', header.uid),
      gid: number('gid', header.gid),
      mtime: time('mtime', header.mtime) ?? { seconds: header.mtime, nanoseconds: 0 },
      atime: time('atime', header.atime),
      ctime: time('ctime', header.ctime),
      major: number('SCHILY.devmajor', header.major),
      minor: number('SCHILY.devminor', header.minor),
      size: 0,
      xattrs,
      unknown,
      content: NOTHING,
      offset,
    },
  };
}

async function oldMap(
  header: Header,
  block: Uint8Array,
  window: ByteWindow,
  offset: number,
): Promise<SparseMap> {
  // star has a form of its own under the same letter.
  if (header.format === 'star' || header.format === 'ustar')
    throw new TarError('it is a sparse file in a form that is not known', offset, header.name);
  try {
    return await readOldMap(Buffer.from(block), window);
  } catch (error) {
    throw named(error, header.name);
  }
}

function* readRecords(
  window: ByteWindow,
  header: Header,
  offset: number,
): Generator<Promise<unknown>, PaxRecord[], unknown> {
  const start = window.offset;
  const data = yield* readSmall(window, header, offset);
  return parsePax(data, start);
}

/** A copy of a small member's content. */
function* readSmall(
  window: ByteWindow,
  { size, name }: Header,
  offset: number,
): Generator<Promise<unknown>, Uint8Array, unknown> {
  if (size > LONGEST_RECORDS) throw tooLong(size, offset, name);
  const content = Buffer.from(window.takeNow(size) ?? (yield* wait(window.take(size))));
  const padding = (BLOCK - (size % BLOCK)) % BLOCK;
  const isWhole = content.length === size;
  if (!isWhole || (!window.skipNow(padding) && !(yield* wait(window.skip(padding)))))
    throw new TarError('the archive ends in it', window.offset, name);
  return content;
}

function tooLong(size: number, offset: number, name: Uint8Array): TarError {
  return new TarError(`its header in front has ${size} bytes, more than any needs`, offset, name);
}

function* skipContent(window: ByteWindow, size: number, offset: number, name: Uint8Array): Step {
  const length = Math.ceil(size / BLOCK) * BLOCK;
  if (!window.skipNow(length) && !(yield* wait(window.skip(length))))
    throw new TarError('the archive ends in it', offset, name);
}

/** Two blocks of zeros end an archive; many end with one, and some with none. Data behind a single one is no end. */
function* checkEnd(window: ByteWindow, ahead: Ahead): Step {
  const offset = window.offset - BLOCK;
  const second = yield* wait(window.take(BLOCK));
  if (isAhead(ahead)) throw new TarError('the archive ends in it', offset, ahead.name);
  if (!isZero(second)) throw new TarError('there is an empty block between members', offset);
}

function isAhead({ records, name, linkTarget }: Ahead): boolean {
  return records.length > 0 || name !== undefined || linkTarget !== undefined;
}

function upToNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}

/** The same error, with the member's name. */
function named(error: unknown, name: Uint8Array): unknown {
  return error instanceof TarError && error.entry === undefined
    ? new TarError(error.detail, error.offset, name)
    : error;
}

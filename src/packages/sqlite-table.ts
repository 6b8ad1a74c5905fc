/**
 * Reads one table of an SQLite database, front to back (sqlite.org, "Database File Format"): enough for rpm's, whose
 * values are integers, texts and blobs. Nothing is written, and no index is used.
 */

/** Why a file can't be read, as a phrase. */
export class SqliteError extends Error {}

export type SqliteValue = Uint8Array | string | number | null;

const MAGIC = 'SQLite format 3\0';
const HEADER = 100;
const LEAF = 0x0d;
const INTERIOR = 0x05;
/** A tree of more levels would hold more than a file can. */
const DEEPEST = 20;

/** The rows of the table in the order of their keys; none where there is no such table. Throws a `SqliteError`. */
export function readTable(file: Buffer, name: string): readonly (readonly SqliteValue[])[] {
  if (file.length < HEADER || file.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new SqliteError('this is no SQLite database');
  const database = new Database(file);
  for (const [type, , table, root] of database.rows(1))
    if (type === 'table' && table === name && typeof root === 'number')
      return [...database.rows(root)];
  return [];
}

class Database {
  readonly #file: Buffer;
  readonly #pageSize: number;
  /** Of a page without what is reserved at its end. */
  readonly #usable: number;
  /** Pages of trees that were seen: each belongs to one place in one tree. */
  readonly #seen = new Set<number>();
  /** Bytes of rows so far: they can't be more than the file has. */
  #read = 0;

  constructor(file: Buffer) {
    this.#file = file;
    const size = file.readUInt16BE(16);
    this.#pageSize = size === 1 ? 65536 : size;
    this.#usable = this.#pageSize - file.readUInt8(20);
    if (this.#pageSize < 512 || this.#usable < 480)
      throw new SqliteError('its pages have a size that can not be');
  }

  *rows(root: number, depth = 0): Generator<readonly SqliteValue[]> {
    if (depth > DEEPEST) throw new SqliteError('its tree is too deep');
    const page = this.#page(root);
    if (this.#seen.has(root)) throw new SqliteError(`page ${root} is in two places`);
    this.#seen.add(root);
    const at = root === 1 ? HEADER : 0;
    const type = page.readUInt8(at);
    const cells = page.readUInt16BE(at + 3);
    if (type !== LEAF && type !== INTERIOR)
      throw new SqliteError(`page ${root} is no page of a table`);
    const pointers = at + (type === LEAF ? 8 : 12);
    for (let i = 0; i < cells; i++) {
      const cell = this.#number(page, pointers + 2 * i, 2);
      if (type === LEAF) yield this.#row(page, cell);
      else yield* this.rows(this.#number(page, cell, 4), depth + 1);
    }
    if (type === INTERIOR) yield* this.rows(this.#number(page, at + 8, 4), depth + 1);
  }

  #page(number: number): Buffer {
    const start = (number - 1) * this.#pageSize;
    if (number < 1 || start + this.#pageSize > this.#file.length)
      throw new SqliteError(`page ${number} lies outside of the file`);
    return this.#file.subarray(start, start + this.#pageSize);
  }

  #number(page: Buffer, at: number, length: 2 | 4): number {
    if (at + length > page.length) throw new SqliteError('a page points outside of itself');
    return page.readUIntBE(at, length);
  }

  /** "B-tree Cell Format" and "Record Format". */
  #row(page: Buffer, cell: number): readonly SqliteValue[] {
    const length = varint(page, cell);
    const key = varint(page, length.end);
    const record = this.#payload(page, key.end, length.value);
    const header = varint(record, 0);
    const values: SqliteValue[] = [];
    let body = header.value;
    for (let at = header.end; at < header.value;) {
      const type = varint(record, at);
      at = type.end;
      const { value, size } = valueOf(record, body, type.value);
      // The key's own column is null.
      values.push(value === null && values.length === 0 ? key.value : value);
      body += size;
    }
    return values;
  }

  #payload(page: Buffer, at: number, length: number): Buffer {
    this.#read += length;
    if (this.#read > this.#file.length) throw new SqliteError('its rows are larger than the file');
    const most = this.#usable - 35;
    if (length <= most) return this.#slice(page, at, length);
    const least = Math.floor(((this.#usable - 12) * 32) / 255) - 23;
    const fitting = least + ((length - least) % (this.#usable - 4));
    const local = fitting <= most ? fitting : least;
    const pieces = [this.#slice(page, at, local)];
    let left = length - local;
    let next = this.#number(page, at + local, 4);
    while (left > 0) {
      const overflow = this.#page(next);
      const size = Math.min(left, this.#usable - 4);
      pieces.push(overflow.subarray(4, 4 + size));
      next = overflow.readUInt32BE(0);
      left -= size;
    }
    return Buffer.concat(pieces);
  }

  #slice(page: Buffer, at: number, length: number): Buffer {
    if (at + length > page.length) throw new SqliteError('a row lies outside of its page');
    return page.subarray(at, at + length);
  }
}

/** Up to nine bytes, seven bits each, the highest first; what is beyond 2^53 can't be here. */
function varint(bytes: Buffer, at: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) break;
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80 && Number.isSafeInteger(value)) return { value, end: at + i + 1 };
  }
  throw new SqliteError('a number in it is too large, or cut off');
}

const INTEGERS = [0, 1, 2, 3, 4, 6, 8];

function valueOf(
  record: Buffer,
  at: number,
  type: number,
): { readonly value: SqliteValue; readonly size: number } {
  const integer = INTEGERS[type];
  const size = integer ?? (type === 7 ? 8 : type >= 12 ? Math.floor((type - 12) / 2) : 0);
  if (at + size > record.length) throw new SqliteError('a value lies outside of its row');
  const bytes = record.subarray(at, at + size);
  if (type === 0) return { value: null, size };
  if (type === 8 || type === 9) return { value: type - 8, size: 0 };
  if (type === 7) return { value: bytes.readDoubleBE(), size };
  if (integer !== undefined)
    return { value: size > 6 ? Number(bytes.readBigInt64BE()) : bytes.readIntBE(0, size), size };
  return { value: type % 2 === 0 ? bytes : bytes.toString('utf8'), size };
}

import type { ByteWindow } from './byte-window.ts';
import { BLOCK } from './header.ts';
import { parseNumber } from './number.ts';
import type { PaxRecord } from './pax.ts';
import { latin1, parseDecimal } from './pax.ts';
import { TarError } from './tar-error.ts';

/** Sparse files as GNU tar writes them: appendix "Storing Sparse Files" of its manual. Holes read as zeros. */
export interface SparseMap {
  /** What is stored, in order, without overlaps. */
  readonly fragments: readonly Fragment[];
  /** Bytes of the whole file. */
  readonly realSize: number;
}

export interface Fragment {
  readonly offset: number;
  readonly length: number;
}

/** Of one file, so that a map can not take all memory. */
const MOST_FRAGMENTS = 512 * 1024;

/** How the extended header says where the file's map is. */
export type PaxSparse =
  | { readonly version: '0'; readonly map: SparseMap }
  /** The map is before the content: `readLeadingMap`. */
  | { readonly version: '1'; readonly realSize: number };

/** The sparse file that an extended header tells of: versions 0.0, 0.1 and 1.0. Undefined for any other. */
export function paxSparse(records: readonly PaxRecord[], offset: number): PaxSparse | undefined {
  if (records.length === 0) return undefined;
  const last = (key: string): Uint8Array | undefined =>
    records.findLast(([name]) => name === key)?.[1];
  const major = last('GNU.sparse.major');
  const blocks = last('GNU.sparse.numblocks');
  if (major === undefined && blocks === undefined && last('GNU.sparse.map') === undefined)
    return undefined;
  const size = last('GNU.sparse.realsize') ?? last('GNU.sparse.size');
  const realSize = size === undefined ? undefined : parseDecimal(size);
  if (realSize === undefined) throw new TarError('its sparse map has no size', offset);
  if (major !== undefined && latin1(major) !== '0') {
    if (latin1(major) !== '1' || latin1(last('GNU.sparse.minor') ?? new Uint8Array()) !== '0')
      throw new TarError('its sparse map is of an unknown version', offset);
    return { version: '1', realSize };
  }
  const map = last('GNU.sparse.map');
  const values =
    map === undefined
      ? // 0.0 repeats its keys.
        records
          .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
          .map(([, value]) => latin1(value))
      : latin1(map)
          .split(',')
          .filter((part) => part !== '');
  const numbers = values.map((text) => parseDecimal(Buffer.from(text, 'latin1')));
  return { version: '0', map: { fragments: pairs(numbers, offset), realSize } };
}

/** Version 1.0: decimal lines in front of the content, filled up to a block. Returns how many bytes they took. */
export async function readLeadingMap(
  window: ByteWindow,
  realSize: number,
  stored: number,
): Promise<{ readonly map: SparseMap; readonly taken: number }> {
  const start = window.offset;
  let taken = 0;
  let rest = '';
  let count: number | undefined;
  const numbers: (number | undefined)[] = [];
  while (count === undefined || numbers.length < count * 2) {
    if (taken + BLOCK > stored) throw new TarError('its sparse map goes beyond its content', start);
    const block = await window.take(BLOCK);
    if (block.length < BLOCK) throw new TarError('the archive ends in it', window.offset);
    taken += BLOCK;
    const lines = (rest + latin1(block)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const number = parseDecimal(Buffer.from(line, 'latin1'));
      if (number === undefined) throw new TarError('its sparse map has what is no number', start);
      if (count === undefined) count = checkCount(number, start);
      else if (numbers.length < count * 2) numbers.push(number);
    }
    if (rest.length > BLOCK) throw new TarError('its sparse map has what is no number', start);
    if (count === 0) break;
  }
  return { map: { fragments: pairs(numbers, start), realSize }, taken };
}

/** GNU's old form, type `S`: four fragments in the header, and 21 in each block that may follow it. */
export async function readOldMap(header: Uint8Array, window: ByteWindow): Promise<SparseMap> {
  const offset = window.offset - BLOCK;
  const realSize = parseNumber(header, 483, 12);
  if (realSize === undefined || realSize < 0)
    throw new TarError('its sparse map has no size', offset);
  const numbers: (number | undefined)[] = [];
  const collect = (block: Uint8Array, start: number, count: number): void => {
    for (let at = start; at < start + count * 24 && block[at + 12] !== 0; at += 24)
      numbers.push(parseNumber(block, at, 12), parseNumber(block, at + 12, 12));
  };
  collect(header, 386, 4);
  let isContinued = header[482] === 1;
  while (isContinued) {
    const block = await window.take(BLOCK);
    if (block.length < BLOCK) throw new TarError('the archive ends in it', window.offset);
    collect(block, 0, 21);
    checkCount(numbers.length / 2, offset);
    isContinued = block[504] === 1;
  }
  return { fragments: pairs(numbers, offset), realSize };
}

/** Throws a `TarError` unless the fragments are in order, within the file, and as long as what is stored. */
export function checkMap(map: SparseMap, stored: number, offset: number): void {
  let end = 0;
  let total = 0;
  for (const fragment of map.fragments) {
    if (fragment.offset < end) throw new TarError('its sparse map is out of order', offset);
    end = fragment.offset + fragment.length;
    total += fragment.length;
  }
  if (end > map.realSize) throw new TarError('its sparse map goes beyond its size', offset);
  if (total !== stored)
    throw new TarError(`its sparse map counts ${total} bytes, and it has ${stored}`, offset);
}

/** Zeros that nobody may write to, for holes. */
const ZEROS = new Uint8Array(256 * 1024);

/** The whole file: what is stored, in its places between zeros. */
export async function* expand(
  map: SparseMap,
  stored: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  let at = 0;
  let index = 0;
  let used = 0;
  for await (const chunk of stored) {
    let rest = chunk;
    while (rest.length > 0) {
      const fragment = map.fragments[index];
      if (fragment === undefined) return;
      yield* zeros(fragment.offset + used - at);
      const piece = rest.subarray(0, fragment.length - used);
      if (piece.length > 0) yield piece;
      at = fragment.offset + used + piece.length;
      used += piece.length;
      rest = rest.subarray(piece.length);
      if (used === fragment.length) {
        index += 1;
        used = 0;
      }
    }
  }
  yield* zeros(map.realSize - at);
}

function* zeros(length: number): Generator<Uint8Array, void> {
  for (let rest = length; rest > 0; rest -= ZEROS.length)
    yield rest < ZEROS.length ? ZEROS.subarray(0, rest) : ZEROS;
}

function pairs(numbers: readonly (number | undefined)[], offset: number): Fragment[] {
  if (numbers.length % 2 !== 0) throw new TarError('its sparse map has half a fragment', offset);
  checkCount(numbers.length / 2, offset);
  const fragments: Fragment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    const [start, length] = [numbers[index], numbers[index + 1]];
    if (start === undefined || length === undefined || start < 0 || length < 0)
      throw new TarError('its sparse map has what is no number', offset);
    fragments.push({ offset: start, length });
  }
  return fragments;
}

function checkCount(count: number, offset: number): number {
  if (count > MOST_FRAGMENTS) throw new TarError('its sparse map is too long', offset);
  return count;
}

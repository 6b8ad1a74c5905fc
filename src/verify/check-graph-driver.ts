import { setImmediate as nextTurn } from 'node:timers/promises';
import { Crc64 } from '../data-root/crc64.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Digest } from '../model/digest.ts';
import { interruption } from '../model/file-failure.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import { imageTreeAt } from '../trees/image-tree.ts';
import { Stopped } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { displayName } from '../trees/tree-node.ts';
import { compareFiles, unpack } from './check-unpacked.ts';
import { findWithin } from './inherited-directory.ts';
import type { Inspection } from './inspection.ts';
import { checkLayers } from './inspection.ts';
import { isRecord } from './stored-content.ts';

/** A layer of a graph driver, which has no packed form. Paths are absolute in the partition. */
export interface DriverLayer {
  readonly owner: string;
  readonly diffId: Digest;
  readonly directory: string;
  /** `tar-split.json.gz`: the layer's archive without the contents of its files. */
  readonly record: string;
  readonly isBase: boolean;
}

/**
 * Puts each layer's archive together again, as `docker save` does, out of its record and the files that are there: its
 * digest must be the diff ID, and its members say how each file is to be. Returns how many files were compared.
 */
export function checkDriverLayers(
  inspection: Inspection,
  layers: readonly DriverLayer[],
): Promise<number> {
  return checkLayers(inspection, layers, (reader, layer) => check(inspection, reader, layer));
}

async function check(
  inspection: Inspection,
  reader: ImageReader,
  layer: DriverLayer,
): Promise<number> {
  const { signal } = inspection;
  const what = `${layer.owner}: layer ${layer.diffId}`;
  const found = await imageTreeAt(reader, layer.directory, signal);
  const record = await imageTreeAt(reader, layer.record, signal);
  // What is missing is told of by who looks for it.
  if (found?.type !== 'directory' || record?.content === undefined || record.size === 0) return 0;
  const open = (name: string): Promise<TreeNode | undefined> =>
    findWithin(reader, layer.directory, name, signal);
  const limits: Limits = { signal, most: await inspection.size() };
  const content = record.content;
  const entries = (): AsyncIterable<Entry> => entriesOf(content.call(record), limits);
  try {
    const archive = assemble(entries(), open, limits);
    const options = { isBase: layer.isBase, by: 'graph driver' } as const;
    const unpacked = await unpack(inspection, what, archive, options);
    if (unpacked === undefined) return 0;
    if (unpacked.diffId !== layer.diffId) {
      const spoilt = await findSpoilt(entries(), open);
      for (const name of spoilt) inspection.find(`${what}: ${displayName(name)} has other bytes`);
      if (spoilt.length === 0)
        inspection.find(`${what} is ${unpacked.diffId} when it is put together`);
    }
    await compareFiles(inspection, what, unpacked.root, found);
    return unpacked.files;
  } catch (error) {
    if (!(error instanceof RecordDamaged)) throw error;
    inspection.find(`${what}: the record of its archive is damaged: ${error.message}`);
    return 0;
  }
}

class RecordDamaged extends Error {}

/** tar-split, tar/storage/entry.go: bytes of the archive as they are, or the content of a file. */
type Entry =
  | { readonly bytes: Buffer }
  | { readonly name: string; readonly size: number; readonly sum: string };

const FILE = 1;
const SEGMENT = 2;
/** Of a line: `TarSplit` cuts segments at 1 MiB, which makes lines of 1.4 MB. */
const LONGEST = 16 * 1024 * 1024;

/** A record is small, and what it asks for can be without end. */
interface Limits {
  readonly signal: AbortSignal;
  /** Bytes of the file system. A file that is there can have more, in holes; what is missing is not to. */
  readonly most: number;
}

async function* entriesOf(
  packed: AsyncIterable<Uint8Array>,
  { signal }: Limits,
): AsyncGenerator<Entry> {
  let rest = Buffer.alloc(0);
  for await (const piece of decompressRecord(packed)) {
    rest = Buffer.concat([rest, piece]);
    let at = 0;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a, at)) {
      if (signal.aborted) throw new Stopped(interruption(signal));
      yield parseEntry(rest.toString('utf8', at, end));
      at = end + 1;
    }
    rest = rest.subarray(at);
    if (rest.length > LONGEST) throw new RecordDamaged('a line of it is too long');
  }
  if (rest.length > 0) yield parseEntry(rest.toString('utf8'));
}

/** Who unpacks the archive would take damage of the record for its own. */
async function* decompressRecord(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* decompress(packed);
  } catch (error) {
    throw error instanceof CompressionError ? new RecordDamaged(error.message) : error;
  }
}

function parseEntry(line: string): Entry {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    throw new RecordDamaged('it is not JSON');
  }
  if (!isRecord(entry)) throw new RecordDamaged('an entry of it is none');
  const { type, payload, name, name_raw: raw, size = 0 } = entry;
  const text = typeof payload === 'string' ? payload : '';
  if (type === SEGMENT) return { bytes: Buffer.from(text, 'base64') };
  if (type !== FILE || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw new RecordDamaged('an entry of it is neither a file nor a segment');
  const bytes =
    typeof raw === 'string'
      ? Buffer.from(raw, 'base64')
      : Buffer.from(typeof name === 'string' ? name : '');
  return { name: bytes.toString('latin1'), size, sum: text };
}

type Open = (name: string) => Promise<TreeNode | undefined>;

/** Of as many bytes as it should have, whatever is there: what follows must stay in its place. */
async function* assemble(
  entries: AsyncIterable<Entry>,
  open: Open,
  limits: Limits,
): AsyncGenerator<Uint8Array> {
  let lacking = 0;
  for await (const entry of entries) {
    if ('bytes' in entry) {
      yield entry.bytes;
      continue;
    }
    let left = entry.size;
    for await (const part of contentOf(await open(entry.name), entry.size)) {
      left -= part.length;
      yield part;
    }
    lacking += left;
    if (lacking > limits.most)
      throw new RecordDamaged('more of its files is missing than the file system could hold');
    yield* zeros(left, limits.signal);
  }
}

/** At most `size` bytes of what is there. */
async function* contentOf(
  file: TreeNode | undefined,
  size: number,
): AsyncGenerator<Uint8Array, void> {
  if (size === 0 || file?.content === undefined || file.type !== 'file') return;
  let left = size;
  for await (const piece of file.content()) {
    const part = piece.subarray(0, left);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0) return;
  }
}

const ZEROS = Buffer.alloc(64 * 1024);
/** Milliseconds after which the event loop gets its turn, or no signal would be heard. */
const TURN = 50;

async function* zeros(count: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  let since = performance.now();
  for (let left = count; left > 0; left -= Math.min(left, ZEROS.length)) {
    if (performance.now() - since > TURN) {
      await nextTurn();
      since = performance.now();
    }
    if (signal.aborted) throw new Stopped(interruption(signal));
    yield ZEROS.subarray(0, left);
  }
}

/** Names of the files whose content is not what the record says. */
async function findSpoilt(entries: AsyncIterable<Entry>, open: Open): Promise<string[]> {
  const spoilt: string[] = [];
  for await (const entry of entries) {
    if ('bytes' in entry || entry.size === 0) continue;
    const file = await open(entry.name);
    // One that is missing, or of another size, is told of as that.
    if (file?.type !== 'file' || file.size !== entry.size) continue;
    const sum = new Crc64();
    for await (const piece of contentOf(file, entry.size)) sum.update(piece);
    if (sum.digest().toString('base64') !== entry.sum) spoilt.push(entry.name);
  }
  return spoilt;
}

import { Crc64 } from '../data-root/crc64.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Digest } from '../model/digest.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import { imageTreeAt } from '../trees/image-tree.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { displayName } from '../trees/tree-node.ts';
import { compareFiles, unpack } from './check-unpacked.ts';
import { findWithin } from './inherited-directory.ts';
import type { Inspection } from './inspection.ts';
import { eachOfTwo } from './inspection.ts';
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
export async function checkDriverLayers(
  inspection: Inspection,
  layers: readonly DriverLayer[],
): Promise<number> {
  let files = 0;
  await eachOfTwo(layers, async (layer) => {
    if (inspection.failure !== undefined) return;
    const compared = await inspection.walk(layer.owner, (reader) =>
      check(inspection, reader, layer),
    );
    files += compared ?? 0;
  });
  return files;
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
  try {
    const archive = assemble(entriesOf(record.content()), open);
    const options = { isBase: layer.isBase, by: 'graph driver' } as const;
    const unpacked = await unpack(inspection, what, archive, options);
    if (unpacked === undefined) return 0;
    if (unpacked.diffId !== layer.diffId) {
      const spoilt = await findSpoilt(entriesOf(record.content()), open);
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
/** Of a line: a segment has at most some hundred kilobytes. */
const LONGEST = 16 * 1024 * 1024;

async function* entriesOf(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Entry> {
  let rest = Buffer.alloc(0);
  for await (const piece of decompressRecord(packed)) {
    rest = Buffer.concat([rest, piece]);
    let at = 0;
    for (let end = rest.indexOf(0x0a); end !== -1; end = rest.indexOf(0x0a, at)) {
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
async function* assemble(entries: AsyncIterable<Entry>, open: Open): AsyncGenerator<Uint8Array> {
  for await (const entry of entries)
    if ('bytes' in entry) yield entry.bytes;
    else yield* contentOf(await open(entry.name), entry.size);
}

const ZEROS = Buffer.alloc(64 * 1024);

async function* contentOf(file: TreeNode | undefined, size: number): AsyncGenerator<Uint8Array> {
  let left = size;
  if (size > 0 && file?.content !== undefined && file.type === 'file')
    for await (const piece of file.content()) {
      const part = piece.subarray(0, left);
      left -= part.length;
      if (part.length > 0) yield part;
      if (left === 0) return;
    }
  for (; left > 0; left -= Math.min(left, ZEROS.length)) yield ZEROS.subarray(0, left);
}

/** Names of the files whose content is not what the record says. */
async function findSpoilt(entries: AsyncIterable<Entry>, open: Open): Promise<string[]> {
  const spoilt: string[] = [];
  for await (const entry of entries) {
    if ('bytes' in entry || entry.size === 0) continue;
    const file = await open(entry.name);
    const sum = new Crc64();
    for await (const piece of contentOf(file, entry.size)) sum.update(piece);
    // One that is missing, or too long, is told of as that.
    if (file?.type === 'file' && file.size === entry.size)
      if (sum.digest().toString('base64') !== entry.sum) spoilt.push(entry.name);
  }
  return spoilt;
}

import { createGunzip } from 'node:zlib';
import { CompressionError } from './compression-error.ts';
import { unzstd } from './unzstd.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** What begins how; the longest first bytes are six. */
const MAGIC: readonly (readonly [Compression | 'xz' | 'bzip2' | 'lz4' | 'lzip', string])[] = [
  ['gzip', '1f8b'],
  ['zstd', '28b52ffd'],
  ['xz', 'fd377a585a00'],
  ['bzip2', '425a68'],
  ['lz4', '04224d18'],
  ['lzip', '4c5a4950'],
];
const LONGEST_MAGIC = 6;

/** Of what gunzip gives out at a time, in bytes: each is a turn of the event loop. */
const CHUNK = 256 * 1024;

/**
 * What `source` has, unpacked where its first bytes say that it is a gzip or zstd file; several of them, one after
 * the other, are one. Zeros behind them are padding; anything else there is
 * damage, as it is for Go's readers, since a broken file in the middle looks the same. Throws a
 * `CompressionError` on what is damaged, cut off or compressed otherwise, and what the source throws. A chunk is good
 * until the next is asked for; so may be those of the source.
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  const chunks = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(chunks);
    const all = withHead(head, chunks);
    switch (compressionOf(head)) {
      case 'none':
        yield* all;
        break;
      case 'gzip':
        yield* gunzip(all);
        break;
      case 'zstd':
        yield* unzstd(all);
        break;
    }
  } finally {
    await chunks.return?.();
  }
}

/** Throws a `CompressionError` for a compression that is known and not supported. */
function compressionOf(head: Uint8Array): Compression {
  const hex = Buffer.from(head).toString('hex', 0, LONGEST_MAGIC);
  const [found = 'none'] = MAGIC.find(([, magic]) => hex.startsWith(magic)) ?? [];
  if (found === 'none' || found === 'gzip' || found === 'zstd') return found;
  throw new CompressionError(`it is compressed by ${found}, and only gzip and zstd are unpacked`);
}

/** The first chunk, or as many as have the magic; empty where the stream is. */
async function readHead(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < LONGEST_MAGIC) {
    const next = await chunks.next();
    if (next.done === true) break;
    if (head.length === 0 && next.value.length >= LONGEST_MAGIC) return next.value;
    head = Buffer.concat([head, next.value]);
  }
  return head;
}

async function* withHead(
  head: Uint8Array,
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const unzip = createGunzip({ chunkSize: CHUNK });
  let sourceError: { readonly error: unknown } | undefined;
  const gone = new Promise<'gone'>((resolve) => {
    unzip.once('close', () => {
      resolve('gone');
    });
  });
  const write = (chunk: Uint8Array): Promise<unknown> =>
    new Promise((resolve) => {
      // Called when the chunk is used up; `unzip` itself tells of errors.
      unzip.write(chunk, resolve);
    });
  const pump = async (): Promise<void> => {
    try {
      for await (const chunk of source)
        if ((await Promise.race([write(chunk), gone])) === 'gone') return;
      unzip.end();
    } catch (error) {
      sourceError = { error };
      unzip.destroy();
    }
  };
  const pumped = pump();
  try {
    for await (const chunk of unzip as AsyncIterable<Uint8Array>) yield chunk;
  } catch (error) {
    if (sourceError !== undefined) throw sourceError.error;
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw new CompressionError('it ends within its compressed data');
    if (code.startsWith('Z_')) throw new CompressionError('its compressed data is damaged');
    throw error;
  } finally {
    unzip.destroy();
    await pumped;
  }
}

import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import type { TarEntry } from '../oci/tar/reader.ts';
import { readTar } from '../oci/tar/reader.ts';
import { TarError } from '../oci/tar/tar-error.ts';
import { Stopped } from '../trees/stopped.ts';

interface Member {
  readonly size: number;
  /** Where its content begins; undefined where it can't be read from there: in a packed archive, or a sparse file. */
  readonly start?: number;
}

/** What gzip and zstd begin with; other kinds can't be read at all. */
const PACKED = ['1f8b', '28b52ffd'];
const BLOCK = 512;
const CHUNK = 1024 * 1024;

/** The files in a tar by name, for reading in any order. Of a packed tar each reading goes through all of it. */
export class ArchiveMembers {
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #links: ReadonlyMap<string, string>;

  private constructor(
    path: string,
    signal: AbortSignal,
    members: ReadonlyMap<string, Member>,
    links: ReadonlyMap<string, string>,
  ) {
    this.#path = path;
    this.#signal = signal;
    this.#members = members;
    this.#links = links;
  }

  /** Reads the archive once. Throws `Stopped` with `source-bad` on what is damaged. */
  static async open(path: string, signal: AbortSignal): Promise<ArchiveMembers> {
    const members = new Map<string, Member>();
    const links = new Map<string, string>();
    const isPlain = await isTar(path);
    const scan = async (): Promise<void> => {
      for await (const entry of readTar(unpacked(path, signal))) {
        const name = nameOf(entry.name);
        if (entry.type === 'file') {
          const start = isPlain && isStored(entry) ? { start: entry.offset + BLOCK } : {};
          members.set(name, { size: entry.size, ...start });
        } else if (entry.type === 'symlink' || entry.type === 'hard link') {
          const target = Buffer.from(entry.linkTarget).toString('utf8');
          const base = entry.type === 'symlink' ? posix.dirname(name) : '';
          links.set(name, posix.normalize(posix.join(base, target)));
        }
      }
    };
    await reading(path, scan, signal);
    return new ArchiveMembers(path, signal, members, links);
  }

  has(name: string): boolean {
    return this.size(name) !== undefined;
  }

  names(): Iterable<string> {
    return this.#members.keys();
  }

  size(name: string): number | undefined {
    return this.#members.get(this.#resolve(name))?.size;
  }

  /** Throws `Stopped`. */
  async *read(
    name: string,
    { start, end }: { readonly start: number; readonly end: number } = { start: 0, end: Infinity },
  ): AsyncGenerator<Uint8Array> {
    const resolved = this.#resolve(name);
    const member = this.#members.get(resolved);
    if (member === undefined) throw new Error(`${name} is not there`);
    const last = Math.min(end, member.size);
    if (last <= start) return;
    if (member.start !== undefined) {
      const range = { start: member.start + start, end: member.start + last - 1 };
      yield* translated(
        this.#path,
        createReadStream(this.#path, { ...range, highWaterMark: CHUNK, signal: this.#signal }),
        this.#signal,
      );
    } else {
      const stretch = stretchOf(this.#scan(resolved), start, last);
      yield* translated(this.#path, stretch, this.#signal);
    }
  }

  async *#scan(name: string): AsyncGenerator<Uint8Array> {
    for await (const entry of readTar(unpacked(this.#path, this.#signal))) {
      if (entry.type !== 'file' || nameOf(entry.name) !== name) continue;
      if (entry.content instanceof Uint8Array) yield entry.content;
      else yield* entry.content;
      return;
    }
  }

  #resolve(name: string): string {
    let at = name;
    // Old `docker save` links a layer to the first image that has it.
    for (let followed = 0; followed < 8; followed++) {
      const target = this.#links.get(at);
      if (target === undefined) break;
      at = target;
    }
    return at;
  }
}

/** The source itself, or its failures as `Stopped`. */
export async function* translated(
  path: string,
  source: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    throw stoppedBy(error, path, signal);
  }
}

export async function reading<T>(
  path: string,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw stoppedBy(error, path, signal);
  }
}

function stoppedBy(error: unknown, path: string, signal: AbortSignal | undefined): unknown {
  if (error instanceof Stopped) return error;
  if (signal?.aborted === true && errorCode(error) === 'ABORT_ERR')
    return new Stopped(interruption(signal));
  if (error instanceof TarError || error instanceof CompressionError)
    return new Stopped({
      reason: 'source-bad',
      problem: 'broken',
      what: path,
      detail: error.message,
    });
  return new Stopped(fileFailure(error, path, 'reading it'));
}

/** Whether content lies in the archive as it is: what is made of a sparse file's pieces is a generator. */
function isStored({ content }: TarEntry): boolean {
  return content instanceof Uint8Array || !('next' in content);
}

async function isTar(path: string): Promise<boolean> {
  const head = createReadStream(path, { start: 0, end: 5 });
  const pieces: Buffer[] = [];
  await reading(path, async () => {
    for await (const piece of head) pieces.push(piece as Buffer);
  });
  const hex = Buffer.concat(pieces).toString('hex');
  return !PACKED.some((magic) => hex.startsWith(magic));
}

function unpacked(path: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
  const options = { highWaterMark: CHUNK, signal };
  return decompress(createReadStream(path, options) as AsyncIterable<Buffer>);
}

function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString('utf8')
    .replace(/^(?:\.?\/)+/, '');
}

async function* stretchOf(
  source: AsyncIterable<Uint8Array>,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of source) {
    const from = Math.max(0, start - at);
    const to = Math.min(piece.length, end - at);
    at += piece.length;
    if (from < to) yield piece.subarray(from, to);
    if (at >= end) return;
  }
}

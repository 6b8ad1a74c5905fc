import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { extract } from 'tar-stream';

/** Why a file is no archive that may be read, as a phrase. */
export class ArchiveError extends Error {}

export interface ArchiveMember {
  /** Relative, without `.` and `..`, as plain as it was checked. */
  readonly name: string;
  /** `link` is a symbolic or hard one. */
  readonly kind: 'file' | 'link';
  /** Bytes. */
  readonly size: number;
  /** To be read before the next member, or not at all. */
  readonly content: AsyncIterable<Buffer>;
}

/**
 * The members of a tar in their order; directories are left out. Throws an `ArchiveError` on what is no tar, on one
 * that ends too early, and on names that lead elsewhere or come twice; and what the file system throws.
 */
export async function* readArchive(path: string): AsyncGenerator<ArchiveMember, void> {
  const tar = extract();
  const source = createReadStream(path, { highWaterMark: 1024 * 1024 });
  const piped = pipeline(source, tar);
  let failure: unknown;
  piped.catch((error: unknown) => {
    failure = error;
  });
  const seen = new Set<string>();
  let ended = false;
  try {
    for await (const entry of tar) {
      const { name: given, type, size } = entry.header;
      const name = given.replace(/^(?:\.\/)+|\/+$/g, '');
      const parts = name.split('/');
      // `./` of a tar of a directory has no name left.
      if (name !== '.' && name !== '' && parts.some((part) => part === '..' || part === ''))
        throw new ArchiveError(`it has a member ${JSON.stringify(given)}, which leads elsewhere`);
      if (type === 'directory') {
        entry.resume();
        continue;
      }
      if (seen.has(name)) throw new ArchiveError(`it has ${JSON.stringify(name)} twice`);
      seen.add(name);
      const isLink = type === 'symlink' || type === 'link';
      if (!isLink && type !== 'file' && type !== 'contiguous-file')
        throw new ArchiveError(`it has ${JSON.stringify(name)}, which is no file`);
      yield {
        name,
        kind: isLink ? 'link' : 'file',
        size,
        content: contentOf(entry as AsyncIterable<Buffer>),
      };
      entry.resume();
    }
    await piped;
    ended = true;
  } catch (error) {
    throw failureOf(error, failure);
  } finally {
    if (!ended) source.destroy();
  }
  if (seen.size === 0) throw new ArchiveError('it is empty');
}

/** What a consumer of a member sees when the file ends within it is the archive's fault, too. */
async function* contentOf(entry: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of entry) yield chunk;
  } catch (error) {
    throw failureOf(error, undefined);
  }
}

function failureOf(error: unknown, earlier: unknown): unknown {
  if (error instanceof ArchiveError) return error;
  const cause = earlier ?? error;
  const { message, code } = cause as NodeJS.ErrnoException;
  if (message.startsWith('Invalid tar header'))
    return new ArchiveError('it is no tar, or a damaged one');
  // tar-stream's own errors have no code, but for the stream's that a cut file ends early.
  if (code === undefined || code.startsWith('ERR_STREAM') || code === 'STREAM_DESTROYED')
    return new ArchiveError('it ends too early');
  return cause;
}

/** A small member as text; throws an `ArchiveError` where it is larger than `most` bytes. */
export async function readText(member: ArchiveMember, most = 32 * 1024 * 1024): Promise<string> {
  if (member.size > most)
    throw new ArchiveError(`its ${member.name} is larger than any that it could be`);
  const chunks: Buffer[] = [];
  for await (const chunk of member.content) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

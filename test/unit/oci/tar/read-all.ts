import type { TarEntry } from '../../../../src/oci/tar/reader.ts';
import { readTar } from '../../../../src/oci/tar/reader.ts';
import { chunked } from './blocks.ts';

/** An entry with its content, in words that compare well. */
export type Seen = Omit<
  TarEntry,
  'name' | 'linkTarget' | 'content' | 'xattrs' | 'offset' | 'mtime' | 'atime' | 'ctime'
> & {
  readonly name: string;
  readonly linkTarget: string;
  readonly mtime: number;
  readonly xattrs: Readonly<Record<string, string>>;
  readonly content: Buffer;
};

export async function readAll(archive: Buffer, chunk = 65536): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const entry of readTar(chunked(archive, chunk))) seen.push(await see(entry));
  return seen;
}

async function see(entry: TarEntry): Promise<Seen> {
  const pieces: Buffer[] = [];
  if (entry.content instanceof Uint8Array) pieces.push(Buffer.from(entry.content));
  else for await (const piece of entry.content) pieces.push(Buffer.from(piece));
  const { type, mode, uid, gid, major, minor, size, unknown } = entry;
  return {
    ...{ type, mode, uid, gid, major, minor, size, unknown },
    name: Buffer.from(entry.name).toString('latin1'),
    linkTarget: Buffer.from(entry.linkTarget).toString('latin1'),
    mtime: entry.mtime.seconds + entry.mtime.nanoseconds / 1e9,
    xattrs: Object.fromEntries(
      [...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString('latin1')]),
    ),
    content: Buffer.concat(pieces),
  };
}

import type { FileHandle } from 'node:fs/promises';
import { open, rm } from 'node:fs/promises';
import type { Content, Entry } from '../../ext4/entry.ts';
import { fileFailure } from '../../model/file-failure.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import type { TarMember } from '../../oci/tar/writer.ts';
import { paddingAfter, TAR_END, tarHeader } from '../../oci/tar/writer.ts';
import type { Sink } from './write-data-root.ts';

/** Bytes that are gathered before they are written. */
const BUFFER = 1024 * 1024;

/**
 * A tar of a data root: PAX, with extended attributes as GNU tar writes them. What is told of twice is in it twice, and
 * the later member holds, as in every tar.
 */
export class ArchiveSink implements Sink {
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER);
  #length = 0;
  #isEnded = false;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** `path` is not there yet. */
  static async open(path: string): Promise<Result<ArchiveSink>> {
    try {
      return ok(new ArchiveSink(path, await open(path, 'wx')));
    } catch (error) {
      return fail(fileFailure(error, path, DOING));
    }
  }

  async add(entry: Entry, content?: Content): Promise<Result<void>> {
    if (entry.type === 'socket') throw new Error('a layer has no sockets');
    const begun = await this.#write(tarHeader(memberOf(entry)));
    if (!begun.ok || entry.type !== 'file') return begun;
    for await (const chunk of content instanceof Uint8Array ? [content] : (content ?? [])) {
      const written = await this.#write(chunk);
      if (!written.ok) return written;
    }
    return this.#write(paddingAfter(entry.size));
  }

  async finish(): Promise<Result<void>> {
    const ended = await this.#write(TAR_END);
    if (!ended.ok) return ended;
    const flushed = await this.#flush();
    if (!flushed.ok) return flushed;
    this.#isEnded = true;
    try {
      await this.#handle.sync();
      return ok();
    } catch (error) {
      return fail(fileFailure(error, this.#path, DOING));
    } finally {
      await this.#handle.close();
    }
  }

  async abandon(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#handle.close();
    await rm(this.#path, { force: true });
  }

  async #write(bytes: Uint8Array): Promise<Result<void>> {
    for (let at = 0; at < bytes.length;) {
      if (this.#length === BUFFER) {
        const flushed = await this.#flush();
        if (!flushed.ok) return flushed;
      }
      const length = Math.min(BUFFER - this.#length, bytes.length - at);
      this.#buffer.set(bytes.subarray(at, at + length), this.#length);
      this.#length += length;
      at += length;
    }
    return ok();
  }

  async #flush(): Promise<Result<void>> {
    try {
      for (let at = 0; at < this.#length;)
        at += (await this.#handle.write(this.#buffer, at, this.#length - at)).bytesWritten;
      this.#length = 0;
      return ok();
    } catch (error) {
      return fail(fileFailure(error, this.#path, DOING));
    }
  }
}

const DOING = 'writing the data root';

function memberOf(entry: Entry): TarMember {
  const name = entry.path;
  if (entry.type === 'socket') throw new Error('a layer has no sockets');
  if (entry.type === 'hard link') {
    const mtime = { seconds: 0, nanoseconds: 0 };
    return { type: entry.type, name, linkTarget: entry.target, mode: 0o644, uid: 0, gid: 0, mtime };
  }
  const { type, mode, uid, gid, mtime, xattrs } = entry;
  return {
    ...{ type, name, mode, uid, gid, mtime, xattrs },
    ...(type === 'symlink' ? { linkTarget: entry.target } : {}),
    ...(type === 'file' ? { size: entry.size } : {}),
    ...('major' in entry ? { major: entry.major, minor: entry.minor } : {}),
  };
}

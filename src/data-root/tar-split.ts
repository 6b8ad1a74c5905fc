import { posix } from 'node:path';
import { Gzip } from 'fflate';
import { LayerError } from '../oci/layer/layer-entry.ts';
import { Crc64 } from './crc64.ts';

/**
 * Writes `tar-split.json.gz` of a layer while its archive goes by: what dockerd needs beside the unpacked files to
 * give the archive back byte for byte (github.com/vbatts/tar-split, tar/storage and tar/asm/disassemble.go). One JSON
 * object a line: a segment with bytes of the archive, or a member with the checksum of its content.
 *
 * For each member: its header and whatever else stands before its content (extended headers, global ones, the padding
 * of the member before) through `segment`, then `file`, then its content through `payload`. After the last one the rest of the
 * archive through `segment`, however much it is, then `finish`.
 */
export class TarSplit {
  readonly #lines: string[] = [];
  readonly #packed: Uint8Array[] = [];
  // Not Node's zlib, whose output depends on its version and on the processor.
  readonly #gzip = new Gzip({ level: 6, mtime: 0 }, (bytes) => this.#packed.push(bytes));
  #length = 0;
  #position = 0;
  /** Names of members, latin1. */
  readonly #names = new Set<string>();
  #segment: Uint8Array[] = [];
  #segmentLength = 0;
  #file: { readonly name: Buffer; readonly size: number; readonly crc: Crc64 } | undefined;

  /** Bytes of the archive that are no content; may come in any pieces, is copied. */
  segment(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#endFile();
    // Cut where the count says and not where pieces end, so that they leave no trace.
    for (let at = 0; at < bytes.length;) {
      const part = bytes.slice(at, at + LONGEST_SEGMENT - this.#segmentLength);
      this.#segment.push(part);
      this.#segmentLength += part.length;
      at += part.length;
      if (this.#segmentLength === LONGEST_SEGMENT) this.#endSegment();
    }
  }

  /**
   * A member begins: also one without content (`size` 0), a link or a directory. `name` is that of the header, as the
   * archive has it (a directory's ends in a slash). Throws a `LayerError` on a name that was there before: dockerd
   * refuses the layer for that alone.
   */
  file(name: Uint8Array, size: number): void {
    const path = posix.normalize(Buffer.from(name).toString('latin1')).replace(/(?<=.)\/$/, '');
    if (this.#names.has(path))
      throw new LayerError('it is there twice, which Docker with overlay2 does not take', name);
    this.#names.add(path);
    this.#endFile();
    this.#endSegment();
    this.#file = { name: Buffer.from(name), size, crc: new Crc64() };
  }

  /** The next bytes of the member's content. */
  payload(bytes: Uint8Array): void {
    if (this.#file === undefined) throw new Error('content of no member');
    this.#file.crc.update(bytes);
  }

  /** The file's bytes: gzip without a time or name in it, the same on every machine. Call it once. */
  finish(): Buffer {
    this.#endFile();
    this.#endSegment();
    this.#pack(true);
    return Buffer.concat(this.#packed);
  }

  #endFile(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const text = file.name.toString('utf8');
    const isText = Buffer.from(text).equals(file.name);
    const name = isText
      ? optional('name', text)
      : optional('name_raw', Buffer.from(file.name).toString('base64'));
    const size = file.size === 0 ? '' : `"size":${file.size},`;
    const sum = file.size === 0 ? 'null' : `"${file.crc.digest().toString('base64')}"`;
    this.#line(`{"type":${TYPE.file},${name}${size}"payload":${sum},`);
  }

  #endSegment(): void {
    if (this.#segmentLength === 0) return;
    const payload = Buffer.concat(this.#segment).toString('base64');
    this.#segment = [];
    this.#segmentLength = 0;
    this.#line(`{"type":${TYPE.segment},"payload":"${payload}",`);
  }

  #line(begin: string): void {
    const line = `${begin}"position":${this.#position}}\n`;
    this.#position++;
    this.#lines.push(line);
    this.#length += line.length;
    if (this.#length >= PIECE) this.#pack(false);
  }

  #pack(last: boolean): void {
    this.#gzip.push(Buffer.from(this.#lines.join('')), last);
    this.#lines.length = 0;
    this.#length = 0;
  }
}

/** tar/storage/entry.go. */
const TYPE = { file: 1, segment: 2 } as const;

/** Padding after an archive's end may be of any length, and need not be in memory as one. */
const LONGEST_SEGMENT = 1024 * 1024;
/** Characters that are packed at a time. */
const PIECE = 256 * 1024;

/** Go leaves out what is empty, and escapes what would end a script in HTML. */
function optional(key: string, value: string): string {
  if (value === '') return '';
  const quoted = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return `"${key}":${quoted},`;
}

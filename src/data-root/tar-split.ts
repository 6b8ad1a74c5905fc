import { constants, crc32, deflateRawSync } from 'node:zlib';
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
  readonly #packed: Buffer[] = [];
  #length = 0;
  #unpacked = 0;
  #checksum = 0;
  #position = 0;
  #segment: Uint8Array[] = [];
  #segmentLength = 0;
  #file: { readonly name: Uint8Array; readonly size: number; readonly crc: Crc64 } | undefined;

  /** Bytes of the archive that are no content; may come in any pieces, is copied. */
  segment(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#endFile();
    this.#segment.push(Uint8Array.from(bytes));
    this.#segmentLength += bytes.length;
    if (this.#segmentLength >= LONGEST_SEGMENT) this.#endSegment();
  }

  /**
   * A member begins: also one without content (`size` 0), a link or a directory. `name` is that of the header, as the
   * archive has it (a directory's ends in a slash).
   */
  file(name: Uint8Array, size: number): void {
    this.#endFile();
    this.#endSegment();
    this.#file = { name: Uint8Array.from(name), size, crc: new Crc64() };
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
    const trailer = Buffer.alloc(8);
    trailer.writeUInt32LE(this.#checksum, 0);
    trailer.writeUInt32LE(this.#unpacked % 2 ** 32, 4);
    return Buffer.concat([GZIP_HEADER, ...this.#packed, trailer]);
  }

  #endFile(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const text = Buffer.from(file.name).toString('utf8');
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

  /** Each piece ends on a byte and refers to nothing before it, so that pieces can stand behind one another. */
  #pack(last: boolean): void {
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines.length = 0;
    this.#length = 0;
    this.#unpacked += bytes.length;
    this.#checksum = crc32(bytes, this.#checksum);
    this.#packed.push(
      deflateRawSync(bytes, {
        // Of zlib's strategies that one whose matches depend neither on its version nor on the processor: most of a
        // header are zeros, which are runs in base64 too.
        strategy: constants.Z_RLE,
        finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
      }),
    );
  }
}

/** tar/storage/entry.go. */
const TYPE = { file: 1, segment: 2 } as const;

/** Padding after an archive's end may be of any length, and need not be in memory as one. */
const LONGEST_SEGMENT = 1024 * 1024;
/** Characters that are packed at a time. */
const PIECE = 256 * 1024;

/** RFC 1952: deflate, no flags, no time, nothing said of the compression, made on Unix. */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);

/** Go leaves out what is empty, and escapes what would end a script in HTML. */
function optional(key: string, value: string): string {
  if (value === '') return '';
  const quoted = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return `"${key}":${quoted},`;
}

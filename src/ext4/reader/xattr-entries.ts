import { damaged } from './damage.ts';
import type { RawInode } from './inode.ts';

/** An extended attribute as it is stored: its value lies here, or in an inode of its own. */
export interface StoredXattr {
  /** Which prefix its name goes with. */
  readonly index: number;
  /** What follows the prefix, a character a byte. */
  readonly name: string;
  readonly value: Buffer | ElsewhereValue;
}

interface ElsewhereValue {
  readonly inode: number;
  /** Bytes. */
  readonly size: number;
}

const MAGIC = 0xea020000;
const ENTRY = 16;
const OLD_INODE_SIZE = 128;

/** Those in the inode itself, `system.data` among them, which is the rest of inline data. */
export function xattrsInInode(inode: RawInode): StoredXattr[] {
  const at = OLD_INODE_SIZE + inode.extraSize;
  const area = inode.bytes.subarray(at);
  if (inode.extraSize === 0 || area.length < 8 || area.readUInt32LE(0) !== MAGIC) return [];
  const entries = area.subarray(4);
  return parseXattrs(entries, 0, `inode ${inode.number}`);
}

/**
 * Entries from `start` on, up to four zero bytes; offsets of values count from the start of `area` (Linux,
 * Documentation/filesystems/ext4/attributes.rst). `what` has them, for the failure.
 */
export function parseXattrs(area: Buffer, start: number, what: string): StoredXattr[] {
  const found: StoredXattr[] = [];
  let at = start;
  for (;;) {
    if (at + 4 > area.length) throw damaged(`the extended attributes of ${what} have no end`);
    if (area.readUInt32LE(at) === 0) return found;
    const nameLength = area.readUInt8(at);
    if (at + ENTRY + nameLength > area.length)
      throw damaged(`the extended attributes of ${what} have no end`);
    const size = area.readUInt32LE(at + 8);
    const offset = area.readUInt16LE(at + 2);
    const inode = area.readUInt32LE(at + 4);
    if (inode === 0 && size > 0 && offset + size > area.length)
      throw damaged(`an extended attribute of ${what} lies outside of its block`);
    found.push({
      index: area.readUInt8(at + 1),
      name: area.toString('latin1', at + ENTRY, at + ENTRY + nameLength),
      value:
        inode === 0
          ? Buffer.from(area.subarray(offset, size === 0 ? offset : offset + size))
          : { inode, size },
    });
    at += ENTRY + Math.ceil(nameLength / 4) * 4;
  }
}

import { crc32c } from '../format/crc32c.ts';
import { toWireAcl } from './acl.ts';
import { wholeContent } from './content.ts';
import { damaged } from './damage.ts';
import { INLINE } from './inline-data.ts';
import type { RawInode } from './inode.ts';
import { readInode } from './inode.ts';
import type { Volume } from './volume.ts';
import type { StoredXattr } from './xattr-entries.ts';
import { parseXattrs, xattrsInInode } from './xattr-entries.ts';

/** What goes before the stored name, by its index; others (of encryption, of other systems) nobody gets to see. */
const PREFIXES = new Map([
  [1, 'user.'],
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
  [4, 'trusted.'],
  [6, 'security.'],
  [7, 'system.'],
  [8, 'system.richacl'],
]);
const ACLS: readonly number[] = [2, 3];

const MAGIC = 0xea020000;
const HEADER = 32;
const CHECKSUM_AT = 16;
/** What Linux lets pass to programs. */
const LONGEST_VALUE = 65536;

/** By full name, with values as `getxattr` gives them. In the inode, in a block and in inodes of their own. */
export async function readXattrs(volume: Volume, inode: RawInode): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const stored = [...xattrsInInode(inode), ...(await xattrsInBlock(volume, inode))];
  for (const xattr of stored) {
    const prefix = PREFIXES.get(xattr.index);
    if (prefix === undefined || (xattr.index === INLINE.index && xattr.name === INLINE.name))
      continue;
    const name = `${prefix}${xattr.name}`;
    // Linux looks into the inode first.
    if (found.has(name)) continue;
    const value = await valueOf(volume, inode, xattr);
    found.set(name, ACLS.includes(xattr.index) ? toWireAcl(value, `inode ${inode.number}`) : value);
  }
  return found;
}

async function xattrsInBlock(volume: Volume, inode: RawInode): Promise<StoredXattr[]> {
  if (inode.xattrBlock === 0) return [];
  const what = `the extended attributes of inode ${inode.number}`;
  const block = await volume.block(inode.xattrBlock, what);
  if (block.readUInt32LE(0) !== MAGIC || block.readUInt32LE(8) !== 1)
    throw damaged(`${what} are not in block ${inode.xattrBlock}`);
  const { checksums, checksumSeed } = volume.superblock;
  if (checksums === 'crc32c') {
    const number = Buffer.alloc(8);
    number.writeBigUInt64LE(BigInt(inode.xattrBlock));
    const sum = [
      number,
      block.subarray(0, CHECKSUM_AT),
      Buffer.alloc(4),
      block.subarray(CHECKSUM_AT + 4),
    ].reduce(crc32c, checksumSeed);
    if (sum !== block.readUInt32LE(CHECKSUM_AT)) throw damaged(`${what} have a wrong checksum`);
  }
  return parseXattrs(block, HEADER, `inode ${inode.number}`);
}

async function valueOf(volume: Volume, inode: RawInode, { value }: StoredXattr): Promise<Buffer> {
  if (Buffer.isBuffer(value)) return value;
  const holder = await readInode(volume, value.inode);
  const what = `an extended attribute of inode ${inode.number}`;
  if (
    !holder.holdsValue ||
    holder.facts.type !== 'file' ||
    holder.facts.size !== value.size ||
    value.size > LONGEST_VALUE
  )
    throw damaged(`${what} is said to be the ${value.size} bytes of inode ${value.inode}`);
  const bytes = await wholeContent(volume, holder);
  // The holder keeps the checksum where others keep their last access.
  const { checksums, checksumSeed } = volume.superblock;
  if (checksums === 'crc32c' && crc32c(checksumSeed, bytes) !== holder.bytes.readUInt32LE(0x8))
    throw damaged(`${what} has a wrong checksum`);
  return bytes;
}

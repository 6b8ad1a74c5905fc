/**
 * Access control lists, as ext4 keeps them (Linux, fs/ext4/acl.h): the list that user space knows
 * (include/uapi/linux/posix_acl_xattr.h), in another version and with numbers for named users and groups alone.
 */
const VERSION_OUTSIDE = 2;
const VERSION_INSIDE = 1;
const HEADER = 4;
const OUTSIDE = 8;
const LONG = 8;
const SHORT = 4;
const USER = 0x2;
const GROUP = 0x8;
const TAGS: ReadonlySet<number> = new Set([0x1, USER, 0x4, GROUP, 0x10, 0x20]);

/** Of the value of `system.posix_acl_access` or `…_default`; undefined for what is no such list. */
export function encodeAcl(value: Uint8Array): Buffer | undefined {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  if (bytes.length < HEADER || (bytes.length - HEADER) % OUTSIDE !== 0) return undefined;
  if (bytes.readUInt32LE(0) !== VERSION_OUTSIDE) return undefined;
  const encoded = Buffer.alloc(bytes.length);
  encoded.writeUInt32LE(VERSION_INSIDE, 0);
  let at = HEADER;
  for (let from = HEADER; from < bytes.length; from += OUTSIDE) {
    const tag = bytes.readUInt16LE(from);
    const permissions = bytes.readUInt16LE(from + 2);
    if (!TAGS.has(tag) || permissions > 7) return undefined;
    encoded.writeUInt16LE(tag, at);
    encoded.writeUInt16LE(permissions, at + 2);
    if (tag === USER || tag === GROUP) {
      encoded.writeUInt32LE(bytes.readUInt32LE(from + 4), at + 4);
      at += LONG;
    } else at += SHORT;
  }
  return encoded.subarray(0, at);
}

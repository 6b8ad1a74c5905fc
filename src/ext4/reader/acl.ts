import { damaged } from './damage.ts';

const STORED = { version: 1, header: 4, short: 4, long: 8 } as const;
const WIRE = { version: 2, header: 4, entry: 8 } as const;
const NOBODY = 0xffffffff;
/** Users and groups that are named, and so have a number. */
const WITH_NUMBER: readonly number[] = [0x02, 0x08];
const WITHOUT_NUMBER: readonly number[] = [0x01, 0x04, 0x10, 0x20];

/**
 * An access control list as ext4 stores it (fs/ext4/acl.h), in the form in which programs get it
 * (include/uapi/linux/posix_acl_xattr.h). `what` has it, for the failure.
 */
export function toWireAcl(stored: Buffer, what: string): Buffer {
  if (stored.length < STORED.header || stored.readUInt32LE(0) !== STORED.version)
    throw damaged(`the access control list of ${what} is none`);
  const entries: Buffer[] = [];
  let at: number = STORED.header;
  while (at < stored.length) {
    const tag = at + STORED.short <= stored.length ? stored.readUInt16LE(at) : 0;
    const length = WITH_NUMBER.includes(tag) ? STORED.long : STORED.short;
    if (at + length > stored.length || (length === STORED.short && !WITHOUT_NUMBER.includes(tag)))
      throw damaged(`the access control list of ${what} is cut off`);
    const entry = Buffer.alloc(WIRE.entry);
    stored.copy(entry, 0, at, at + length);
    if (length === STORED.short) entry.writeUInt32LE(NOBODY, 4);
    entries.push(entry);
    at += length;
  }
  const header = Buffer.alloc(WIRE.header);
  header.writeUInt32LE(WIRE.version);
  return Buffer.concat([header, ...entries]);
}

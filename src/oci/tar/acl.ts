import { latin1 } from './pax.ts';

/**
 * An access control list as `SCHILY.acl.*` has it: `user::rw-,user:name:r--:1000,group::r--,mask::rw-,other::r--`, also
 * in lines, with `u`, `g`, `m`, `o`, and with comments. The fourth field, star's addition, is the number of the second.
 */

/** linux/posix_acl.h: tags, in the order in which the kernel wants them. */
const TAGS = {
  user: 0x01,
  users: 0x02,
  group: 0x04,
  groups: 0x08,
  mask: 0x10,
  other: 0x20,
} as const;
/** linux/posix_acl_xattr.h. */
const VERSION = 2;
const NO_ID = 0xffffffff;

const KINDS: Readonly<Record<string, 'user' | 'group' | 'mask' | 'other'>> = {
  user: 'user',
  u: 'user',
  group: 'group',
  g: 'group',
  mask: 'mask',
  m: 'mask',
  other: 'other',
  o: 'other',
};

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/**
 * The list as the kernel's `system.posix_acl_access` and `system.posix_acl_default` have it. Undefined for what is no
 * list, or names a user or group without its number: whom that is depends on the machine.
 */
export function aclToXattr(value: Uint8Array): Uint8Array | undefined {
  const entries: AclEntry[] = [];
  for (const part of latin1(value).split(/[,\n]/)) {
    const text = part.replace(/#.*/, '').trim();
    if (text === '') continue;
    const entry = parseEntry(text);
    if (entry === undefined) return undefined;
    entries.push(entry);
  }
  if (entries.length === 0) return undefined;
  entries.sort((a, b) => a.tag - b.tag || a.id - b.id);
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(VERSION, 0);
  entries.forEach(({ tag, permissions, id }, index) => {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(permissions, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  });
  return bytes;
}

function parseEntry(text: string): AclEntry | undefined {
  const fields = text.split(':');
  const kind = KINDS[fields[0] ?? ''];
  if (kind === undefined) return undefined;
  // `other:r--` and `mask:rw-` lack the empty field.
  if ((kind === 'other' || kind === 'mask') && fields.length === 2) fields.splice(1, 0, '');
  const [, who = '', letters = '', number = who] = fields;
  const permissions = parsePermissions(letters);
  if (permissions === undefined || fields.length > 4) return undefined;
  if (who === '' && fields.length < 4) return { tag: TAGS[kind], permissions, id: NO_ID };
  if (kind !== 'user' && kind !== 'group') return undefined;
  if (!/^\d{1,10}$/.test(number) || Number(number) >= NO_ID) return undefined;
  return { tag: kind === 'user' ? TAGS.users : TAGS.groups, permissions, id: Number(number) };
}

function parsePermissions(letters: string): number | undefined {
  if (!/^[r-][w-][x-]$/.test(letters)) return undefined;
  return (letters[0] === 'r' ? 4 : 0) + (letters[1] === 'w' ? 2 : 0) + (letters[2] === 'x' ? 1 : 0);
}

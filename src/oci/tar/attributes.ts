import { aclToXattr } from './acl.ts';
import type { PaxRecord } from './pax.ts';
import { latin1 } from './pax.ts';
import { TarError } from './tar-error.ts';

/** What an extended header says of a member's extended attributes. */
export interface PaxAttributes {
  /** By full name, as latin1; access control lists as the kernel's `system.posix_acl_*`. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** Keys of attributes that are there and can't be told: access control lists that name nobody by number. */
  readonly unknown: readonly string[];
}

const NONE: PaxAttributes = { xattrs: new Map(), unknown: [] };

const SCHILY = 'SCHILY.xattr.';
const LIBARCHIVE = 'LIBARCHIVE.xattr.';
const SELINUX = 'RHT.security.selinux';

const ACLS: ReadonlyMap<string, string> = new Map([
  ['SCHILY.acl.access', 'system.posix_acl_access'],
  ['SCHILY.acl.default', 'system.posix_acl_default'],
]);

/**
 * What holds for a member whose own `records` come after what holds for all. An empty value takes back what was said
 * before; of an extended attribute it is one like any other.
 */
export function mergeRecords(
  globals: ReadonlyMap<string, Uint8Array>,
  records: readonly PaxRecord[],
): ReadonlyMap<string, Uint8Array> {
  if (records.length === 0) return globals;
  const merged = new Map(globals);
  for (const [key, value] of records)
    if (value.length > 0 || key.startsWith(SCHILY)) merged.set(key, value);
    else merged.delete(key);
  return merged;
}

/** Whether it is the key of an extended attribute. */
export function isAttribute(key: string): boolean {
  const isOne = key.startsWith(SCHILY) || key.startsWith(LIBARCHIVE) || ACLS.has(key);
  return isOne || key === SELINUX;
}

/** Throws a `TarError` on an attribute that has no name. */
export function attributesOf(
  pax: ReadonlyMap<string, Uint8Array>,
  offset: number,
  entry: Uint8Array,
): PaxAttributes {
  if (pax.size === 0) return NONE;
  const xattrs = new Map<string, Uint8Array>();
  const unknown: string[] = [];
  for (const [key, value] of pax) {
    const acl = ACLS.get(key);
    if (acl !== undefined) {
      const list = aclToXattr(value);
      if (list === undefined) unknown.push(key);
      else if (!isMode(acl, list) && !xattrs.has(acl)) xattrs.set(acl, list);
    } else if (key.startsWith(SCHILY)) {
      const name = key.slice(SCHILY.length);
      // bsdtar writes everything twice, and its own form says how it is escaped.
      if (!pax.has(LIBARCHIVE + name)) xattrs.set(unescapeGnu(name), value);
    } else if (key.startsWith(LIBARCHIVE)) {
      const name = unescapeUrl(key.slice(LIBARCHIVE.length));
      xattrs.set(name, Buffer.from(latin1(value), 'base64'));
    } else if (key === SELINUX) {
      // Labels end with a NUL in a file system, and without one in an archive.
      const name = 'security.selinux';
      if (!xattrs.has(name)) xattrs.set(name, Buffer.concat([value, Buffer.alloc(1)]));
    }
  }
  checkNames(xattrs, offset, entry);
  return { xattrs, unknown };
}

/** Those that Go's readers know of: under `SCHILY.xattr.`, with nothing escaped. */
export function goAttributesOf(
  pax: ReadonlyMap<string, Uint8Array>,
  offset: number,
  entry: Uint8Array,
): PaxAttributes {
  if (pax.size === 0) return NONE;
  const xattrs = new Map<string, Uint8Array>();
  for (const [key, value] of pax)
    if (key.startsWith(SCHILY)) xattrs.set(key.slice(SCHILY.length), value);
  checkNames(xattrs, offset, entry);
  return { xattrs, unknown: [] };
}

function checkNames(xattrs: ReadonlyMap<string, unknown>, offset: number, entry: Uint8Array): void {
  for (const name of xattrs.keys())
    if (name === '' || name.includes('\0'))
      throw new TarError('it has an extended attribute without a name', offset, entry);
}

/** A list of owner, group and others alone says what the mode says, and no file system keeps it. */
function isMode(acl: string, list: Uint8Array): boolean {
  return acl === 'system.posix_acl_access' && list.length === 4 + 3 * 8;
}

/** GNU tar escapes what would end a key, and nothing else. */
function unescapeGnu(text: string): string {
  return text.replace(/%(3D|25)/g, (_, hex: string) => (hex === '25' ? '%' : '='));
}

function unescapeUrl(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

import type { TarTime } from '../tar/pax.ts';
import type { TarEntry } from '../tar/reader.ts';
import type { Attributes } from './layer-entry.ts';
import { LayerError, NO_XATTRS } from './layer-entry.ts';

const EPOCH: TarTime = { seconds: 0, nanoseconds: 0 };
/** Nanoseconds since 1970 in 63 bits, as Go has them. */
const LATEST = { seconds: 9_223_372_036, nanoseconds: 854_775_807 };

/** Times that Go can't hold in nanoseconds, or before 1970, become 1970 (containerd, pkg/archive/time.go). */
export function boundTime(time: TarTime): TarTime {
  const { seconds, nanoseconds } = time;
  const isLate =
    seconds > LATEST.seconds || (seconds === LATEST.seconds && nanoseconds > LATEST.nanoseconds);
  return seconds < 0 || isLate ? EPOCH : time;
}

/** chown(2) takes this for "as it is". */
const NO_ID = 0xffffffff;

/** The owner that a member gives to what belonged to `before`. */
export function ownerOf(
  { uid, gid }: TarEntry,
  before: Pick<Attributes, 'uid' | 'gid'>,
): Pick<Attributes, 'uid' | 'gid'> {
  return { uid: uid === NO_ID ? before.uid : uid, gid: gid === NO_ID ? before.gid : gid };
}

const CAPABILITY = 'security.capability';
const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';
/** Bytes, as Linux takes them. */
const LONGEST_NAME = 255;

/**
 * The extended attributes of a member that a file system takes over: none of the administrator's (`trusted.`), which
 * containerd drops, and none that Linux has no place for there. Throws a `LayerError` on those that Linux refuses.
 */
export function keptXattrs(
  member: TarEntry,
  by: 'containerd' | 'graph driver' = 'containerd',
): ReadonlyMap<string, Uint8Array> {
  if (member.xattrs.size === 0) return NO_XATTRS;
  const spaces = by === 'containerd' ? SPACES : [...SPACES, 'trusted.'];
  const kept = new Map<string, Uint8Array>();
  for (const [name, value] of member.xattrs) {
    const refuse = (detail: string): LayerError =>
      new LayerError(`its extended attribute ${JSON.stringify(name)} ${detail}`, member.name);
    const space = spaces.find((one) => name.startsWith(one));
    if (name === ACCESS || name === DEFAULT) {
      if (member.type === 'symlink' || !isAcl(value)) continue;
      if (name === DEFAULT && member.type !== 'directory')
        throw refuse('is what directories alone can have');
    } else if (space === undefined) continue;
    else if (name === space) throw refuse('has no name');
    else if (name.length > LONGEST_NAME)
      throw refuse(`has a name of more than ${LONGEST_NAME} bytes`);
    else if (space === 'user.' && !CARRIERS.includes(member.type)) continue;
    else if (name === CAPABILITY && !isCapability(value)) throw refuse('is no set of capabilities');
    kept.set(name, value);
  }
  return kept.size === 0 ? NO_XATTRS : kept;
}

const SPACES: readonly string[] = ['user.', 'security.'];
/** What can have attributes of users. */
const CARRIERS: readonly TarEntry['type'][] = ['file', 'directory', 'hard link'];

/** linux/capability.h: versions 2 and 3 with their lengths, which are those that can be set. */
function isCapability(value: Uint8Array): boolean {
  const version = value[3];
  return (value.length === 20 && version === 2) || (value.length === 24 && version === 3);
}

/** Linux passes over lists of other versions and empty ones; the rest is the file system's to judge. */
function isAcl(value: Uint8Array): boolean {
  return value.length > ACL_HEADER && Buffer.from(value).readUInt32LE(0) === ACL_VERSION;
}

/** linux/posix_acl_xattr.h: a version, then for each entry its tag, permissions and whom it is about. */
const ACL_VERSION = 2;
const ACL_HEADER = 4;
const ACL_ENTRY = 8;
const TAG = { owner: 0x01, group: 0x04, mask: 0x10, other: 0x20 } as const;

/**
 * Extended attributes after chmod(2), which says anew what an access control list says of owner, mask and others. A list
 * that says no more than the mode is none (fs/posix_acl.c, `posix_acl_update_mode` and `posix_acl_chmod`).
 */
export function afterChmod(
  xattrs: ReadonlyMap<string, Uint8Array>,
  mode: number,
): ReadonlyMap<string, Uint8Array> {
  const value = xattrs.get(ACCESS);
  if (value === undefined || (value.length - ACL_HEADER) % ACL_ENTRY !== 0) return xattrs;
  const changed = new Map(xattrs);
  const list = Buffer.from(value);
  const entries: { readonly tag: number; readonly at: number }[] = [];
  for (let at = ACL_HEADER; at < list.length; at += ACL_ENTRY)
    entries.push({ tag: list.readUInt16LE(at), at: at + 2 });
  if (entries.every(({ tag }) => tag === TAG.owner || tag === TAG.group || tag === TAG.other)) {
    changed.delete(ACCESS);
    return changed;
  }
  const middle = entries.some(({ tag }) => tag === TAG.mask) ? TAG.mask : TAG.group;
  for (const { tag, at } of entries) {
    if (tag === TAG.owner) list.writeUInt16LE((mode >> 6) & 7, at);
    if (tag === middle) list.writeUInt16LE((mode >> 3) & 7, at);
    if (tag === TAG.other) list.writeUInt16LE(mode & 7, at);
  }
  return changed.set(ACCESS, list);
}

import type { TarTime } from '../tar/pax.ts';
import type { TarEntry } from '../tar/reader.ts';
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

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/**
 * The extended attributes of a member that a file system takes over: none of the administrator's (`trusted.`), which
 * containerd drops, and none that Linux has no name space for. Throws a `LayerError` on those that Linux refuses.
 */
export function keptXattrs(
  member: TarEntry,
  by: 'containerd' | 'graph driver' = 'containerd',
): ReadonlyMap<string, Uint8Array> {
  if (member.xattrs.size === 0) return NO_XATTRS;
  const kept = new Map<string, Uint8Array>();
  for (const [name, value] of member.xattrs) {
    const [space = ''] =
      (by === 'containerd' ? /^(?:user|security)\./ : /^(?:user|security|trusted)\./).exec(name) ??
      [];
    if (space !== '') {
      if (name === space)
        throw new LayerError('it has an extended attribute without a name', member.name);
      const { type } = member;
      const isData = type === 'file' || type === 'directory' || type === 'hard link';
      // dockerd itself goes on without them.
      if (space === 'user.' && !isData && by === 'graph driver') continue;
      if (space === 'user.' && !isData)
        throw new LayerError(
          `it has the extended attribute ${JSON.stringify(name)}, which files and directories alone can have`,
          member.name,
        );
      kept.set(name, value);
    } else if ((name === ACCESS || name === DEFAULT) && member.type !== 'symlink') {
      if (name === DEFAULT && member.type !== 'directory')
        throw new LayerError(
          'it has a default access control list, which directories alone can have',
          member.name,
        );
      kept.set(name, value);
    }
  }
  return kept;
}

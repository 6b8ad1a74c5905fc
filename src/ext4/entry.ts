/**
 * What goes into an ext4 file system and comes out of it. Names, paths and link targets are bytes, as Linux takes
 * them: no encoding is assumed.
 */
export type Entry =
  DirectoryEntry | FileEntry | SymlinkEntry | HardLinkEntry | DeviceEntry | PipeEntry;

interface Named {
  /** From the root, parts separated by one `/` each, none of them empty, `.` or `..`; empty for the root itself. */
  readonly path: Uint8Array;
}

export interface Attributes {
  /** Permission bits, set-id and sticky included: 0 to 0o7777. */
  readonly mode: number;
  /** 0 to 2^32 - 1. */
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  /** Default: `mtime`. */
  readonly atime?: Timestamp;
  readonly ctime?: Timestamp;
  readonly crtime?: Timestamp;
  /** By full name, `security.capability` or `user.x` (in latin1, a character a byte), in any order. */
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

/** What 34 bits of seconds hold: 1901-12-13 to 2446-05-10. */
export interface Timestamp {
  /** Since 1970, may be negative. */
  readonly seconds: number;
  /** 0 to 999,999,999. */
  readonly nanoseconds: number;
}

export interface DirectoryEntry extends Named, Attributes {
  readonly type: 'directory';
}

export interface FileEntry extends Named, Attributes {
  readonly type: 'file';
  /** Bytes. */
  readonly size: number;
}

export interface SymlinkEntry extends Named, Attributes {
  readonly type: 'symlink';
  /** 1 to 4095 bytes. */
  readonly target: Uint8Array;
}

/** A further name of a file, device, pipe, socket or symbolic link that was added before. */
export interface HardLinkEntry extends Named {
  readonly type: 'hard link';
  /** A path as above. */
  readonly target: Uint8Array;
}

export interface DeviceEntry extends Named, Attributes {
  readonly type: 'character device' | 'block device';
  /** 0 to 4095. */
  readonly major: number;
  /** 0 to 2^20 - 1. */
  readonly minor: number;
}

export interface PipeEntry extends Named, Attributes {
  readonly type: 'fifo' | 'socket';
}

/** A file's bytes: `size` of them, or the entry is refused. Stretches of zeros become holes. */
export type Content = Uint8Array | AsyncIterable<Uint8Array>;

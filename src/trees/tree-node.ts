import type { Timestamp } from '../ext4/entry.ts';
import type { InodeType } from '../ext4/reader/inode.ts';

/**
 * A file in a tree of whatever origin, as bytes: names, link targets and paths are latin1, a character a byte. What is
 * asked of it may throw `Stopped`.
 */
export interface TreeNode {
  readonly type: InodeType;
  /** 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes, of files. */
  readonly size: number;
  /** Undefined where nobody has said it: of directories that are there because something is in them. */
  readonly mtime: Timestamp | undefined;
  /** Names of it in its layer; 1 for directories. */
  readonly links: number;
  /** Of devices. */
  readonly device: string | undefined;
  /** Nobody has said how it is: a lower layer's says it, where there is one. */
  readonly isImplied: boolean;
  /** Extended attributes of a lower layer's are among its own, whoever has said the rest. */
  readonly inherits?: boolean;
  /** The layer that it is of, where its content may be known by that. */
  readonly layer?: string | undefined;
  /** Of directories, in the order of their bytes. */
  children(): Promise<readonly (readonly [name: string, node: TreeNode])[]>;
  xattrs(): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Of symbolic links. */
  target(): Promise<string>;
  /** Of files: sha256 in hexadecimal. */
  digest(): Promise<string>;
  /** Of files, where their bytes are still at hand; pieces are good until the next is asked for. */
  content?: () => AsyncIterable<Uint8Array>;
}

/** Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". */
export function isWhiteout({ type, device }: TreeNode): boolean {
  return type === 'character device' && device === '0:0';
}

const OPAQUE = 'trusted.overlay.opaque';

/** Extended attributes that overlayfs keeps for itself, but for the mark that hides lower layers. */
export function isOverlaysOwn(name: string): boolean {
  return name.startsWith('trusted.overlay.') && name !== OPAQUE;
}

export async function isOpaque(directory: TreeNode): Promise<boolean> {
  const value = (await directory.xattrs()).get(OPAQUE);
  return value !== undefined && value.length === 1 && value[0] === 0x79;
}

/** A path or name for people: UTF-8 where it is that, with what a terminal should not get escaped. */
export function displayName(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  const text = bytes.toString('utf8');
  const plain = Buffer.from(text).equals(bytes) ? text : latin1;
  return plain.replace(
    plain === text ? /[\p{Cc}\\]/gu : /[^\x20-\x7e]|\\/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

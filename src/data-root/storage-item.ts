/**
 * What an engine keeps beside the contents of layers: small files, directories and symbolic links, all of them root's.
 * Paths are relative to the partition's root, with no slash at either end.
 */
export type StorageItem = StorageDirectory | StorageFile | StorageLink;

export interface StorageDirectory {
  readonly type: 'directory';
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
}

export interface StorageFile {
  readonly type: 'file';
  readonly path: string;
  readonly mode: number;
  readonly bytes: Uint8Array;
}

export interface StorageLink {
  readonly type: 'symlink';
  readonly path: string;
  readonly target: string;
}

/** `a`, `a/b` and `a/b/c` of `a/b/c`: what has to be made before anything in a data root of that path. */
export function ancestors(path: string): string[] {
  const names = path.split('/');
  return names.map((_, i) => names.slice(0, i + 1).join('/'));
}

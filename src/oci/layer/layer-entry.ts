import type { TarTime } from '../tar/pax.ts';

/** What a layer leaves in the directory of its snapshot. Parts of names are bytes, a character (latin1) each. */
export type LayerEntry =
  | (LayerAttributes & { readonly type: 'directory' | 'fifo' })
  /** With the content of the member that is being taken. */
  | (LayerAttributes & { readonly type: 'file'; readonly size: number })
  | (LayerAttributes & { readonly type: 'symlink'; readonly target: Uint8Array })
  | (LayerAttributes & {
      readonly type: 'character device' | 'block device';
      readonly major: number;
      readonly minor: number;
    })
  /** A further name of what has the name `target`. */
  | { readonly type: 'hard link'; readonly path: string; readonly target: string };

export interface LayerAttributes extends Attributes {
  /** From the layer's root, parts separated by one `/` each; empty for the root itself. */
  readonly path: string;
}

export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

export const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** Why an engine would refuse a layer. Thrown by this folder for everything that a layer's members can do. */
export class LayerError extends Error {
  /** A phrase, such as `it is a hard link to what this layer does not have`. */
  readonly detail: string;
  /** The member's name as the archive has it. */
  readonly member: Uint8Array;

  constructor(detail: string, member: Uint8Array) {
    super(detail);
    this.detail = detail;
    this.member = member;
  }
}

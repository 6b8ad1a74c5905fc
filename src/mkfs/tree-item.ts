import type { Content, Entry } from '../ext4/entry.ts';

/** One thing of a tree, as the writer takes it. Parents come before what is in them. */
export interface TreeItem {
  readonly entry: Entry;
  /** Of files; good until the next item is asked for. */
  readonly content?: Content;
}

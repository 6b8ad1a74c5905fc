import type { Content, Entry } from '../ext4/entry.ts';

/** One thing of a tree, as the writer takes it. */
export interface TreeItem {
  readonly entry: Entry;
  /** Of files; good until the next item is asked for. */
  readonly content?: Content;
}

/** For messages. */
export interface Place {
  /** The tree as it was given. */
  readonly input: string;
  /** Of the last item in an archive, in bytes. */
  readonly offset?: number;
}

/** A tree, parents before what is in them. */
export interface TreeReader {
  /** Without a promise where nothing is to be waited for; undefined at the end, and from then on. */
  next(): TreeItem | undefined | Promise<TreeItem | undefined>;
  place(): Place;
  /** Ends the reading, wherever it is. Idempotent. */
  close(): Promise<void>;
}

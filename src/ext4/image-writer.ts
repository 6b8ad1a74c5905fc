import type { Result } from '../model/result.ts';
import type { Content, Entry } from './entry.ts';

/**
 * An ext4 image in the making. Entries come in any order in which parents come first; adding a directory that is
 * there already changes its attributes, adding anything else under a name that is taken takes its place, as tar does.
 * The bytes of the image depend on the entries, their order and the options alone.
 */
export interface ImageWriter {
  /** Resolves once the content is written; calls must not overlap. After a failure only `abandon` may be called. */
  add(entry: Entry, content?: Content): Promise<Result<void>>;
  /** The same, with no promise where there is nothing to wait for: most entries whose content is in memory. */
  addNow(entry: Entry, content?: Content): Result<void> | Promise<Result<void>>;
  /** Writes what was kept in memory, syncs the file (`sync`) and gives it its name. */
  finish(): Promise<Result<Finished>>;
  /** Removes what was written so far. Idempotent; does nothing after `finish` succeeded. */
  abandon(): Promise<void>;
}

/** Sizes in bytes. */
export interface Finished {
  readonly size: number;
  /** Of it what is in use, journal and metadata included. */
  readonly used: number;
  readonly inodes: number;
}

export interface ImageOptions {
  /** At most 16 bytes of UTF-8. Default: none. */
  readonly label?: string;
  /** Lower-case, with dashes. */
  readonly uuid: string;
  /** Likewise; the seed of hashed directories. */
  readonly hashSeed: string;
  /** Seconds since 1970: the file system's own times, and those of what nobody gave attributes to. */
  readonly epoch: number;
  /** Bytes, 64 KiB at least, or just what the content takes, plus the headroom. Default: auto. */
  readonly size?: number | 'auto';
  /** Room left free, for `auto`: bytes, or parts of the bytes used (0.1 is 10 %). Default: 0. */
  readonly headroom?: { readonly bytes: number } | { readonly ratio: number };
  /** By the oldest Linux that must mount it, or by the name of a preset. */
  readonly features?: FeaturePreset;
  /** Default: 4096. */
  readonly blockSize?: 1024 | 2048 | 4096;
  /** Default: 256. With 128 times are whole seconds up to 2038. */
  readonly inodeSize?: 128 | 256 | 512 | 1024;
  /** Least number of inodes; there are always those in use and one for each 16 KiB of free space. */
  readonly inodes?: number;
  /** Least number of inodes of each group, and so of those that growing adds: also where a group is not whole. */
  readonly inodesPerGroup?: number;
  /** Parts of all blocks kept for root. Default: 0.05, as mke2fs. */
  readonly reserved?: number;
  /** Bytes of the journal, 1024 blocks at least; 0 for none. Default: as mke2fs chooses for the size, at most 64 MiB. */
  readonly journal?: number;
  /**
   * Bytes up to which resize2fs can grow it without moving anything. Default: 1000 times a given size, or 1 TiB; at most
   * what the inode of reserved descriptors can list (with blocks of 4 KiB 8 TiB more than a given size, else 8 TiB).
   */
  readonly growTo?: number;
  /** False where the caller has the disk write it before he relies on it: `finish` does not wait then. Default: true. */
  readonly sync?: boolean;
}

export type FeaturePreset = '5.15' | '6.1' | '6.12' | 'default';

import type { StorageLocation } from './image-source.ts';

/**
 * The user's YAML file, read and checked (schema/bundle.schema.json), several of them merged. Strings may
 * still hold `{…}` templates; plan/evaluate.ts fills them in for one target.
 */
export interface Bundle {
  /** The files it was read from, in the order given: what messages name. */
  readonly files: readonly string[];
  /** Variables with their defaults. */
  readonly vars: Readonly<Record<string, string>>;
  /** What `{arch}` means for a platform, keyed as `formatPlatform` prints it. */
  readonly arch: Readonly<Record<string, string>>;
  readonly catalog?: string;
  /** Where the catalog is named: a relative path begins at that file's directory. */
  readonly catalogAt?: Position;
  readonly partition: Partition;
  readonly engine: Engine;
  readonly images: Readonly<Record<string, BundleImage>>;
  /** Keyed by path on the partition: relative, `/` between names, no `.` or `..`. Templates are allowed in it. */
  readonly extraFiles: Readonly<Record<string, BundleFile>>;
  /** Where what is given of `partition` and `engine` is written, by its path, such as `partition.size`. */
  readonly writtenAt: Readonly<Record<string, Position>>;
}

export interface Partition {
  /** ext4 label, at most 16 bytes. */
  readonly label: string;
  readonly size: Size;
  /** Free space kept above the content when the size is `auto`. */
  readonly headroom: Headroom;
  /** The engine's data root, relative to the partition's root. */
  readonly dataRoot: string;
  /** ext4 features by mke2fs' names, sorted (ext4-features.ts); absent for the default. */
  readonly features?: readonly string[];
  /** The file system's, in lower case; absent for one that nobody has chosen. */
  readonly uuid?: string;
  /** Least number of inodes; absent for one for 16 KiB. */
  readonly inodes?: number;
  /** Percentage of the blocks that only root may fill; absent for none. */
  readonly reserved?: number;
}

/** Bytes, or what the content needs and the headroom. */
export type Size = 'auto' | { readonly bytes: number };

export type Headroom = { readonly percent: number } | { readonly bytes: number };

/** Where the engine on the device keeps images: containerd's content and snapshots, or the overlay2 graph driver. */
export type EngineStore = 'containerd' | 'overlay2';

export const ENGINE_STORES: readonly EngineStore[] = ['containerd', 'overlay2'];

export interface Engine {
  readonly name: 'docker';
  readonly store: EngineStore;
  /** The version on the device, such as `28.5.2`. */
  readonly version: string;
  /** False where the device's first boot unpacks what it starts: then the partition has blobs alone. */
  readonly unpack: boolean;
  /** `own`: the device's dockerd uses a containerd service, whose root the data root is; absent where it starts its own. */
  readonly containerd?: 'own';
  /** The image that runs that engine on the builder; a template. */
  readonly dind: string;
}

export interface BundleImage {
  /** `docker://…` or another transport's (image-source.ts), a template. */
  readonly from: string;
  /** Further names on the device, templates. */
  readonly tags: readonly string[];
  /** The storage that a `containers-storage:` image is in: templates. */
  readonly storage?: StorageLocation;
  /** The device gets the index too, so that its digest can be used there. */
  readonly keepIndex?: true;
  /** Where it is written: for messages. */
  readonly at: Position;
}

export type BundleFile = { readonly mode: string; readonly at: Position } & (
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'json'; readonly json: unknown }
);

/** Line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

import type { ContentImage, ContentKind, ImageSizes } from '../inspect/contents.ts';
import type { Digest } from '../model/digest.ts';
import type { NodeChange } from '../trees/compare-nodes.ts';

/** How two things that hold images differ: what is only in `from` is removed, what is only in `to` is added. */
export interface Difference {
  readonly from: Side;
  readonly to: Side;
  readonly added: readonly ContentImage[];
  readonly removed: readonly ContentImage[];
  readonly moved: readonly MovedImage[];
  /** Names that one side alone has, of images that are on both, the same or moved. */
  readonly tags: readonly TagChange[];
  /** How many images are on both sides, with the same digest. */
  readonly same: number;
  /** Of data images: blobs that are not whole, and of two what their engines have noted otherwise for the same content. */
  readonly records: readonly RecordChange[];
  /** Of two data images: layers of the same chain ID that are not unpacked to the same. */
  readonly unpacked: readonly UnpackedDifference[];
  /** Outside the data root, or the files of pins and stores. */
  readonly files: FileDifferences;
  /** Within the data root, where no engine makes it anew by itself. */
  readonly dataRoot: FileDifferences;
  /** What an engine makes by itself; it is no difference: docs/diff.md. */
  readonly engineMade: FileDifferences;
  readonly fileSystem: readonly FieldChange[];
  readonly isEqual: boolean;
}

export interface Side {
  readonly source: string;
  readonly kind: ContentKind;
  readonly images: number;
  /** Bytes of all content once. */
  readonly packed: number;
  /** Of a data image's file system. */
  readonly size?: number;
  readonly free?: number;
  /** Of its engine's database, which a newer engine migrates when it starts. */
  readonly schema?: number;
}

/** One name whose image is another now; or one image under a new version's name. */
export interface MovedImage {
  readonly from: ContentImage;
  readonly to: ContentImage;
  /** Of `from` and of `to`: the same for a tag that moved. */
  readonly names: readonly [string, string];
  readonly config: readonly FieldChange[];
  readonly layers: LayerChanges;
  /** Undefined where one side does not hold content: pins. */
  readonly files?: FileDifferences;
  readonly packages: readonly PackageChange[];
  readonly sizes: readonly [ImageSizes, ImageSizes];
}

/** `path` such as `config.Env.PATH`; a side is absent where it has no such field. */
export interface FieldChange {
  readonly path: string;
  readonly from?: unknown;
  readonly to?: unknown;
}

export interface LayerChanges {
  /**
   * What layers are known by on both sides: the digest of what they unpack to, or of the blob, which is all that pins
   * have. `nothing` where one side has the one alone and the other the other: then no layer is compared.
   */
  readonly by: 'diff ID' | 'blob' | 'nothing';
  readonly same: number;
  readonly added: readonly LayerFacts[];
  readonly removed: readonly LayerFacts[];
}

export interface LayerFacts {
  /** What `by` says. */
  readonly digest: string;
  /** Beside a diff ID the digest of the blob, where it is there: what pins and registries call the layer. */
  readonly blob?: Digest;
  readonly packed?: number;
}

export interface TagChange {
  readonly kind: 'added' | 'removed';
  readonly name: string;
  /** Manifest or config. */
  readonly image: string;
}

export interface RecordChange {
  readonly what: 'blob' | 'content' | 'label' | 'snapshot' | 'parent' | 'index' | 'entry';
  /** A digest, a chain ID, a name or a key. */
  readonly key: string;
  readonly from?: string;
  readonly to?: string;
}

export interface UnpackedDifference {
  readonly chainId: string;
  readonly layer?: Digest;
  /** Names of the images that have it. */
  readonly images: readonly string[];
  readonly files: FileDifferences;
}

/** Counts are of all; `listed` has no more than were asked for. */
export interface FileDifferences {
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** Of which nothing but the time differs; not among `changed`. */
  readonly times: number;
  readonly listed: readonly FileDifference[];
}

export interface FileDifference {
  readonly kind: 'added' | 'removed' | 'changed';
  /** From the tree's root, for people. */
  readonly path: string;
  readonly type: string;
  /** Bytes of a file. */
  readonly size?: number;
  readonly changes?: readonly NodeChange[];
}

export interface PackageChange {
  /** `dpkg`, `apk`, `rpm`. */
  readonly database: string;
  /** Absent where a database has changed that can't be read. */
  readonly name?: string;
  readonly from?: string;
  readonly to?: string;
}

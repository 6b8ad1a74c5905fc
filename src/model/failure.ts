import type { Position } from './bundle.ts';
import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';

/**
 * Everything that can go wrong as expected, by name. A failure carries data; its text is made by
 * report/describe-failure.ts, its exit code by exit-code.ts.
 */
export type Failure =
  | Usage
  | InvalidOption
  | InvalidDocument
  | BundlesDisagree
  | UnknownPlatform
  | NoPins
  | PinsStale
  | TargetNotPinned
  | TargetAmbiguous
  | OutputInUse
  | IntoRefused
  | BlobBad
  | LayerBad
  | StoreInvalid
  | StoreDamaged
  | ArchiveBad
  | ImportPartial
  | SourceBad
  | PlatformMismatch
  | PinContradicted
  | TreeBad
  | EngineUnable
  | EngineMislabelled
  | LoadIncomplete
  | NotVerified
  | ImageCorrupt
  | ImageUnsupported
  | ImageNeedsRecovery
  | PartitionMissing
  | EntryRefused
  | RegistryTemporary
  | RegistryRefused
  | PlatformNotOffered
  | ToolMissing
  | ToolFailed
  | EngineUnreachable
  | EngineUnsuitable
  | EngineDied
  | PrivilegeRefused
  | MountBusy
  | MachineLacks
  | NoSpace
  | AccessDenied
  | FileSystemFailed
  | Interrupted;

/** A command line that can't be read; `detail` is a phrase. */
export interface Usage {
  readonly reason: 'usage';
  readonly detail: string;
}

/** An option or argument that can't be: `value` is what was given, `expected` what would do. */
export interface InvalidOption {
  readonly reason: 'invalid-option';
  readonly option: string;
  readonly value: string;
  readonly expected: string;
}

/** A file of the user's that is missing, unreadable or not what it should be. Lines and columns count from 1. */
export interface InvalidDocument {
  readonly reason: 'invalid-document';
  readonly kind: 'bundle' | 'pins' | 'catalog' | 'data.json' | 'data image' | 'content';
  readonly file: string;
  readonly problems: readonly DocumentProblem[];
}

export interface DocumentProblem {
  readonly line?: number;
  readonly column?: number;
  /** Where in the document, such as `images.core.from`. */
  readonly path?: string;
  /** What is wrong there, as a phrase with no full stop. */
  readonly detail: string;
}

export interface BundlesDisagree {
  readonly reason: 'bundles-disagree';
  /** Such as `images.core` or `partition.label`. */
  readonly path: string;
  readonly files: readonly [string, string];
}

export interface UnknownPlatform {
  readonly reason: 'unknown-platform';
  readonly given: string;
  /** What gave it, where that is not `--platform`. */
  readonly option?: string;
}

export interface NoPins {
  readonly reason: 'no-pins';
  readonly file: string;
  /** Where `--update` was to move images of what is pinned. */
  readonly updating?: true;
  /** The bundle's, which would have to be pinned. */
  readonly images?: readonly string[];
}

/** The pins are of another state of the bundle; `differences` are phrases such as `images.core is not pinned`. */
export interface PinsStale {
  readonly reason: 'pins-stale';
  readonly file: string;
  readonly target: string;
  readonly differences: readonly string[];
  /** Where the pins contradict themselves, whatever the bundle is: somebody edited them. */
  readonly edited?: readonly EditedPin[];
}

export interface EditedPin {
  /** In the pins file. */
  readonly path: readonly string[];
  readonly line?: number;
  readonly detail: string;
}

/** A line of the pins file that a failure is about. */
export interface PinsPlace {
  readonly file: string;
  readonly line: number;
}

export interface TargetNotPinned {
  readonly reason: 'target-not-pinned';
  readonly file: string;
  readonly wanted: string;
  readonly pinned: readonly string[];
  /** As in `NoPins`. */
  readonly updating?: true;
}

export interface TargetAmbiguous {
  readonly reason: 'target-ambiguous';
  readonly file: string;
  readonly pinned: readonly string[];
}

/** A data image that nothing can be added to without a loss: `conflicts` are phrases. */
export interface IntoRefused {
  readonly reason: 'into-refused';
  readonly image: string;
  readonly conflicts: readonly string[];
}

/** The output is mounted or attached to a loop device: `by` says where. */
export interface OutputInUse {
  readonly reason: 'output-in-use';
  readonly output: string;
  readonly by: readonly string[];
}

/** A blob or file in the store that is missing, or is not what its name says. */
export interface BlobBad {
  readonly reason: 'blob-bad';
  readonly problem: 'missing' | 'wrong size' | 'wrong digest' | 'unreadable';
  readonly digest: Digest;
  /** Whose it is: an image's name in the bundle, or a file's path on the partition. */
  readonly owner: string;
  readonly store: string;
}

/** A layer whose bytes are those that were pinned, and that no engine would unpack. */
export interface LayerBad {
  readonly reason: 'layer-bad';
  /** Its name in the bundle. */
  readonly image: string;
  /** The layer's own digest. */
  readonly layer: Digest;
  /** The member of its archive that this is about, printable. */
  readonly entry?: string;
  /** A phrase, such as `it is a hard link to a directory`. */
  readonly detail: string;
}

/** A directory that is no store, or one of a format this version does not know. */
export interface StoreInvalid {
  readonly reason: 'store-invalid';
  readonly store: string;
  readonly detail: string;
}

/** A local image that is there and can't be taken: damaged, or not what was pinned. */
export interface SourceBad {
  readonly reason: 'source-bad';
  readonly problem: 'broken' | 'changed';
  /** The image's name in the bundle and where it is: `web (oci-archive:web.tar)`. */
  readonly what: string;
  readonly detail: string;
}

/** Rot: content of the store that is not what its name says, images that lack something. */
export interface StoreDamaged {
  readonly reason: 'store-damaged';
  readonly store: string;
  /** Phrases, each naming the blob or file, and the images that use it. */
  readonly findings: readonly string[];
}

/** An export or archive that can't be taken in; `detail` is a phrase such as `it ends too early`. */
export interface ArchiveBad {
  readonly reason: 'archive-bad';
  readonly file: string;
  readonly detail: string;
}

/** A directory of archives of which some could not be verified; the others are in the store. */
export interface ImportPartial {
  readonly reason: 'import-partial';
  readonly directory: string;
  readonly adopted: readonly string[];
  /** Phrases, each beginning with the file's name. */
  readonly skipped: readonly string[];
}

export interface PlatformMismatch {
  readonly reason: 'platform-mismatch';
  readonly image: string;
  readonly reference: string;
  readonly expected: string;
  readonly actual: string;
  /** Where the image is pinned; absent while it is being pinned. */
  readonly pins?: PinsPlace;
}

/** An archive or directory that no file system can be made of: damaged, cut off, changed while it was read. */
export interface TreeBad {
  readonly reason: 'tree-bad';
  /** The archive or directory as it was given; `-` for standard input. */
  readonly input: string;
  /** The file in it that this is about; what is no UTF-8 is escaped. */
  readonly entry?: string;
  /** Where in the unpacked archive, in bytes. */
  readonly offset?: number;
  /** A phrase, such as `the archive ends in it`. */
  readonly detail: string;
}

/** The device's engine can't do what the bundle wants of it: told before anything is built. */
export interface EngineUnable {
  readonly reason: 'engine-unable';
  /** As it says it itself: `20.10.24+dfsg1`. */
  readonly version: string;
  readonly problems: readonly EngineProblem[];
}

export interface EngineProblem {
  /** A key of the bundle, the option that overruled it, or `image core`. */
  readonly what: string;
  /** Where the bundle has that key. */
  readonly at?: Position;
  /** A phrase about it. */
  readonly detail: string;
  /** What would do instead. */
  readonly remedy: string;
}

/** The dind image runs another version than the one the bundle names, or than it says itself. */
export interface EngineMislabelled {
  readonly reason: 'engine-mislabelled';
  readonly reference: string;
  /** Who says what is expected: `engine.version`, or the image's own `DOCKER_VERSION`. */
  readonly by: 'engine.version' | 'DOCKER_VERSION';
  readonly expected: string;
  readonly actual: string;
}

/** What is pinned, and what the pinned content says of itself; `detail` tells both. */
export interface PinContradicted {
  readonly reason: 'pin-contradicted';
  readonly image: string;
  /** Of a file its address. */
  readonly reference: string;
  readonly detail: string;
  /** What the pins say wrongly, as they say it. */
  readonly pinned?: Pick<Descriptor, 'digest' | 'size'>;
  readonly pins?: PinsPlace;
}

/** The engine accepted an image and does not hold it as it should. */
export interface LoadIncomplete {
  readonly reason: 'load-incomplete';
  readonly image: string;
  readonly detail: string;
}

/** A data image that is not what the pins say. */
export interface NotVerified {
  readonly reason: 'not-verified';
  readonly image: string;
  /** Phrases, each naming the image or file it is about. */
  readonly findings: readonly string[];
}

/** A file system image, or the partition table around it, that contradicts itself or is cut off. */
export interface ImageCorrupt {
  readonly reason: 'image-corrupt';
  readonly image: string;
  /** What is wrong and where, as a phrase with no full stop. */
  readonly detail: string;
}

/** A file system that is sound and uses what this version does not read. */
export interface ImageUnsupported {
  readonly reason: 'image-unsupported';
  readonly image: string;
  /** By the name that tune2fs gives it where it has one: `encrypt`, `casefold`. */
  readonly feature: string;
}

/** A file system whose journal holds what the file system itself lacks: it was not unmounted. */
export interface ImageNeedsRecovery {
  readonly reason: 'image-needs-recovery';
  readonly image: string;
}

/** A disk image without the partition that was asked for. */
export interface PartitionMissing {
  readonly reason: 'partition-missing';
  readonly image: string;
  readonly wanted: string;
  /** The names there are. */
  readonly present: readonly string[];
}

/** An entry that can't be part of the image as it is. */
export interface EntryRefused {
  readonly reason: 'entry-refused';
  readonly image: string;
  /** Its path in the image, printable. */
  readonly entry: string;
  /** As a phrase with no full stop, such as `its name has 300 bytes, and 255 are the most`. */
  readonly detail: string;
}

/** A registry or web server that failed in a way that may pass; every attempt is spent. */
export interface RegistryTemporary {
  readonly reason: 'registry-temporary';
  readonly what: string;
  readonly attempts: number;
  /** Why the last source that was asked did not do. */
  readonly detail: string;
  /** Of an image that has mirrors: everybody who was asked in the last attempt, in their order. */
  readonly sources?: readonly FailedSource[];
  /** As in `RegistryRefused`. */
  readonly by?: 'address';
}

export interface FailedSource {
  readonly kind: 'mirror' | 'registry';
  /** `HOST[:PORT][/PATH]`. */
  readonly name: string;
  readonly detail: string;
}

/** A registry or web server that said no, or does not have it. */
export interface RegistryRefused {
  readonly reason: 'registry-refused';
  readonly what: string;
  readonly why:
    'unauthorized' | 'denied' | 'not-found' | 'unsupported' | 'wrong-content' | 'untrusted';
  readonly detail: string;
  /** What was asked for by its own address: a file or the catalog, of which no registry knows. */
  readonly by?: 'address';
  /** Of credentials, where one was given. */
  readonly authfile?: string;
  /** Where pins name what was asked for. */
  readonly pins?: PinsPlace;
}

export interface PlatformNotOffered {
  readonly reason: 'platform-not-offered';
  readonly image: string;
  readonly reference: string;
  readonly wanted: string;
  readonly offered: readonly string[];
  /** Images of the same bundle of which the same is true. */
  readonly others?: readonly Pick<PlatformNotOffered, 'image' | 'reference' | 'offered'>[];
}

/** A program that is not on PATH: `package` is Debian's name of what brings it. */
export interface ToolMissing {
  readonly reason: 'tool-missing';
  readonly tool: string;
  readonly package: string;
}

/** A program that ran and failed for a reason nobody has a name for. */
export interface ToolFailed {
  readonly reason: 'tool-failed';
  readonly tool: string;
  readonly doing: string;
  readonly exitCode?: number;
  readonly detail: string;
  /** A file that says how it is to work is wrong, and the detail names it; or one with credentials is. */
  readonly problem?: 'configuration' | 'credentials';
  /** The one with credentials, where it is known. */
  readonly file?: string;
}

/** No container engine answers on the builder. */
export interface EngineUnreachable {
  readonly reason: 'engine-unreachable';
  readonly engine: 'docker' | 'podman';
  readonly detail: string;
  /** Where it is known that one is there, and does not let this user in. */
  readonly problem?: 'permission';
}

/** The builder's engine answers, or would, and can't do what a loader asks of it. */
export interface EngineUnsuitable {
  readonly reason: 'engine-unsuitable';
  /** As it was named: `docker`, `podman`, a path. */
  readonly engine: string;
  /**
   * On another machine, run by an ordinary user, in a virtual machine, too old, neither Docker nor Podman, or in a
   * place from which this machine's directories can't be seen.
   */
  readonly problem: 'remote' | 'rootless' | 'desktop' | 'too-old' | 'unknown' | 'elsewhere';
  /** The address, the version, or what it said; may be empty. */
  readonly detail: string;
  /** The oldest version that will do, where this one is too old. */
  readonly oldest?: string;
}

/** The daemon in the container did not start, or ended early: `log` is its last lines. */
export interface EngineDied {
  readonly reason: 'engine-died';
  readonly doing: string;
  readonly detail: string;
  readonly log: readonly string[];
}

/** sudo did not let us run `command`. */
export interface PrivilegeRefused {
  readonly reason: 'privilege-refused';
  readonly command: string;
  readonly detail: string;
}

/** The mounted data image can't be unmounted: `by` says who uses it, such as `pid 4711 (sleep)`. */
export interface MountBusy {
  readonly reason: 'mount-busy';
  readonly directory: string;
  readonly by: readonly string[];
}

/** The machine can't do it: no loop device, no overlay; `remedy` is what mends it. */
export interface MachineLacks {
  readonly reason: 'machine-lacks';
  readonly what: string;
  readonly remedy: string;
}

/** Bytes; `needed` and `available` are absent where nobody could tell. */
export interface NoSpace {
  readonly reason: 'no-space';
  readonly where: string;
  readonly needed?: number;
  readonly available?: number;
  /** Where a partition is too small: the least size, in whole MiB, that is expected to do. */
  readonly fits?: number;
  /** Where a bundle gives that partition its size; absent where an option does. */
  readonly sizeAt?: Position;
}

/** A path that must be written or read and may not be. */
export interface AccessDenied {
  readonly reason: 'access-denied';
  readonly path: string;
  readonly doing: string;
  readonly detail: string;
}

/** The file system could not do what this process may do: a broken disk, a server that is away, a limit. */
export interface FileSystemFailed {
  readonly reason: 'file-system-failed';
  readonly path: string;
  readonly doing: string;
  /** Such as `EIO`. */
  readonly code: string;
  readonly detail: string;
}

export interface Interrupted {
  readonly reason: 'interrupted';
  readonly signal: 'SIGINT' | 'SIGTERM';
}

import type { Context } from '../model/event.ts';
import type { TargetPins } from '../model/pins.ts';
import type { Result } from '../model/result.ts';
import type { Store } from '../store/store.ts';
import type { ImageChanges } from '../plan/changes.ts';
import type { Wanted } from '../plan/wanted.ts';
import type { FileSystemIdentity } from '../plan/identity.ts';
import type { ContentEstimate } from '../plan/size.ts';

/** What is to be built. */
export interface BuildRequest {
  readonly wanted: Wanted;
  readonly pins: TargetPins;
  readonly store: Store;
  /** Seconds since 1970 that files written by stowage get. */
  readonly epoch: number;
  readonly content: ContentEstimate;
  /** What of the file system is decided already; the rest is random or the clock's. */
  readonly identity?: FileSystemIdentity;
}

/**
 * What fills the data root at build time. A loader owns nothing outside `work.directory`, which the caller
 * made, holds under a lock and removes; it leaves no mount, container or process behind, whatever its result.
 */
export interface Loader {
  readonly name: 'dind' | 'direct';
  /** `false` where it builds every data image anew, which is as fast: then `change` is never called. */
  readonly updates?: false;
  /** Refuses what it knows beforehand that it can't do; starts nothing and changes nothing. `fill` looks by itself. */
  check(request: BuildRequest, context: Context): Promise<Result<void>>;
  /**
   * Removes containers, mounts and the like that killed builds of this loader left on this machine; idempotent.
   * `directory` is the caller's own work directory, whose lock he holds.
   */
  reap(directory: string, context: Context): Promise<Result<void>>;
  /** Writes a clean ext4 file system with the filled data root to `work.image`, which is not there yet. */
  fill(request: BuildRequest, work: WorkFiles, context: Context): Promise<Result<Filled>>;
  /**
   * Changes the images in the data root of `work.image`, a finished data image of this loader and engine, which
   * `prepare` puts there: something else may be done meanwhile, and what must be done before anybody writes much to the
   * builder's disk is done, or has failed, once it `mayWrite`. Leaves the request's images and no others, as `fill`
   * would have them; what `fill` does with files, checks and the size is the caller's to do.
   */
  change(
    request: BuildRequest,
    changes: ImageChanges,
    work: WorkFiles,
    prepare: (mayWrite: Promise<Result<unknown>>) => Promise<Result<void>>,
    context: Context,
  ): Promise<Result<void>>;
}

export interface WorkFiles {
  /** Absolute; this build's alone. */
  readonly directory: string;
  /** The data image in the making, in `directory`. */
  readonly image: string;
}

/** What a loader knows once it is done. */
export interface Filled {
  /** Names and versions of the programs that made the content, such as `dockerd: 28.5.2`. */
  readonly tools: Readonly<Record<string, string>>;
}

/** The place that `no-space` failures name when it is the image's own file system that is full. */
export const DATA_IMAGE = 'the data image';

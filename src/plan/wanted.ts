import type { Engine, Partition } from '../model/bundle.ts';
import type { Platform } from '../model/platform.ts';
import type { Target } from '../model/pins.ts';
import type { LocalSource } from '../model/image-source.ts';
import type { Reference } from '../model/reference.ts';

/** A bundle evaluated for one target: no templates are left, nothing is resolved yet. */
export interface Wanted {
  readonly target: Target;
  readonly platform: Platform;
  /** Every variable with its effective value. */
  readonly vars: Readonly<Record<string, string>>;
  /** Where the catalog comes from, and what was taken from it, by dotted path. */
  readonly catalog?: { readonly from: string; readonly values: Readonly<Record<string, string>> };
  readonly partition: Partition;
  readonly engine: Omit<Engine, 'dind'>;
  /** Of a local one a name of our own. */
  readonly dind: Reference;
  readonly dindLocal?: LocatedSource;
  /** The loader runs no dind image: none is pinned for it, and one that is stays. */
  readonly withoutDind?: true;
  readonly images: Readonly<Record<string, WantedImage>>;
  readonly files: Readonly<Record<string, WantedFile>>;
}

/** A local image, and where that is from this process's working directory: the bundle's own directory is filled in. */
export interface LocatedSource extends LocalSource {
  readonly location?: string;
  readonly runLocation?: string;
}

export interface WantedImage {
  /** Where a registry has it; of a local image its first name on the device. */
  readonly reference: Reference;
  readonly local?: LocatedSource;
  readonly keepIndex?: true;
  /** Full names on the device, sorted: `docker.io/library/x:tag`. At least one. */
  readonly names: readonly string[];
}

export type WantedFile = { readonly mode: string } &
  /** `location` is where a path that is relative to the bundle is from the working directory. */
  (
    | { readonly kind: 'url'; readonly url: string; readonly location?: string }
    | { readonly kind: 'content'; readonly content: Uint8Array }
  );

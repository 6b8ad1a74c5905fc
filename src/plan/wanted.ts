import type { Engine, Partition } from '../model/bundle.ts';
import type { Platform } from '../model/platform.ts';
import type { Target } from '../model/pins.ts';
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
  readonly dind: Reference;
  readonly images: Readonly<Record<string, WantedImage>>;
  readonly files: Readonly<Record<string, WantedFile>>;
}

export interface WantedImage {
  readonly reference: Reference;
  /** Full names on the device, sorted: `docker.io/library/x:tag`. At least one. */
  readonly names: readonly string[];
}

export type WantedFile = { readonly mode: string } & (
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'content'; readonly content: Uint8Array }
);

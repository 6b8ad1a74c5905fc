import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';

/** The generated file that fixes every tag to digests. schema/pins.schema.json is its form on disk. */
export interface Pins {
  /** Keyed by `targetKey`; sorted when written. */
  readonly targets: Readonly<Record<string, TargetPins>>;
}

/** What one set of pins is for: a platform, a machine if the bundle asks for one, variables that were set. */
export interface Target {
  /** As `formatPlatform` prints it: `linux/arm/v7`. */
  readonly platform: string;
  readonly machine?: string;
  /** Variables set with --set to something else than the bundle's default. */
  readonly set: Readonly<Record<string, string>>;
}

export interface TargetPins {
  readonly target: Target;
  /** The catalog's address and the values taken from it, by their dotted path. Absent where no catalog is used. */
  readonly catalog?: { readonly from: string; readonly values: Readonly<Record<string, string>> };
  readonly images: Readonly<Record<string, ImagePin>>;
  /** Keyed by path on the partition, relative, with `/`. */
  readonly files: Readonly<Record<string, FilePin>>;
  /** The image of the loader's engine: runs on the builder, never on the device. */
  readonly dind?: DindPin;
}

export interface ImagePin {
  /**
   * `docker.io/library/x:tag@sha256:…`: with the index digest where there is an index, else the manifest's. The name
   * of an image with `from` is the first of its names.
   */
  readonly reference: string;
  /** Where on this machine it is read from, as the bundle has it; absent for what a registry has. */
  readonly from?: string;
  readonly index?: Digest;
  /** The index, where the device gets it too. */
  readonly keptIndex?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly platform: string;
  /** Full names that the image has on the device, sorted: its own `name:tag` and the bundle's `tags`. */
  readonly names: readonly string[];
}

export interface FilePin {
  readonly sha256: Digest;
  /** Bytes. */
  readonly size: number;
  /** Four octal digits, such as `0644`. */
  readonly mode: string;
  /** Where it was downloaded from; absent for text and json, which the bundle itself holds. */
  readonly url?: string;
}

export interface DindPin {
  readonly reference: string;
  /** As an image's. */
  readonly from?: string;
  readonly index?: Digest;
  /** By builder platform, such as `linux/amd64`. */
  readonly platforms: Readonly<Record<string, PlatformPin>>;
}

export interface PlatformPin {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

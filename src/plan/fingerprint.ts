import type { Engine, Partition } from '../model/bundle.ts';
import type { Digest } from '../model/digest.ts';
import { digestOf } from '../model/digest.ts';
import type { TargetPins } from '../model/pins.ts';

/** Everything besides images and files that a data image depends on. */
export interface BuildSettings {
  readonly loader: string;
  readonly stowage: string;
  /** The manifest digest of the dind image for the builder at hand; absent where the loader runs none. */
  readonly dind?: Digest;
  readonly engine: Omit<Engine, 'dind'>;
  readonly partition: Partition;
  /** SOURCE_DATE_EPOCH, where it is set: seconds since 1970. */
  readonly epoch?: number;
}

/**
 * What the content of a data image is made from, as one digest: the same for every output, board and user that ask
 * for the same. Names that only people read (those in the bundle, references, addresses, the catalog, the machine)
 * are not in it, nor is e2fsprogs, whose versions lay out the same content in other blocks.
 */
export function fingerprintOf(settings: BuildSettings, pins: TargetPins): Digest {
  const images = Object.values(pins.images)
    .map((image) => [
      [...image.names].sort(),
      image.platform,
      image.keptIndex?.digest ?? null,
      image.manifest.digest,
      image.config.digest,
      image.layers.map(({ digest }) => digest),
    ])
    .map((image) => JSON.stringify(image))
    .sort();
  const files = Object.entries(pins.files)
    .map(([path, file]) => JSON.stringify([path, file.sha256, file.size, file.mode]))
    .sort();
  return digestOf(
    JSON.stringify([
      'stowage data image',
      settings.stowage,
      settings.loader,
      settings.dind ?? null,
      sortKeys(settings.engine),
      sortKeys(settings.partition),
      settings.epoch ?? null,
      pins.target.platform,
      images,
      files,
    ]),
  );
}

/** JSON of a value, whatever order its keys were made in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(sortKeys(value));
}

export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sortKeys(item)]),
  );
}

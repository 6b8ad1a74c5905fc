import type { Partition } from '../model/bundle.ts';
import type { TargetPins } from '../model/pins.ts';
import { derivedUuid } from '../model/uuid.ts';

/** What is otherwise made up, or is the clock's: undefined where it may be. */
export interface FileSystemIdentity {
  readonly uuid?: string;
  readonly hashSeed?: string;
  /** Seconds since 1970. */
  readonly epoch?: number;
}

/**
 * UUID and hash seed of a data image's file system: random, unless a build is asked to be reproducible (by
 * SOURCE_DATE_EPOCH); then the pinned content decides, so that other content is another file system to a device. A
 * UUID that the user gives goes before.
 */
export function identityOf(
  partition: Partition,
  pins: TargetPins,
  sourceDateEpoch: number | undefined,
): FileSystemIdentity {
  const given = partition.uuid === undefined ? {} : { uuid: partition.uuid };
  if (sourceDateEpoch === undefined) return given;
  const images = Object.values(pins.images).map((image) =>
    JSON.stringify([[...image.names].sort(), image.manifest.digest]),
  );
  const files = Object.entries(pins.files).map(([path, file]) =>
    JSON.stringify([path, file.sha256, file.mode]),
  );
  const content = [partition.label, ...images.sort(), ...files.sort()];
  return {
    uuid: derivedUuid('data image', ...content),
    hashSeed: derivedUuid('hash seed', ...content),
    epoch: sourceDateEpoch,
    ...given,
  };
}

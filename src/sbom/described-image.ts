import type { InstalledPackage } from '../packages/installed-package.ts';
import type { ImagePin } from '../model/pins.ts';
import type { Distribution } from './distribution.ts';

/** A pinned image and what was found in it. */
export interface DescribedImage {
  /** In the bundle. */
  readonly name: string;
  readonly pin: ImagePin;
  /** The targets that have this very image, by their keys. */
  readonly targets: readonly string[];
  /** Of its config, and the manifest's annotations where there is no label. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of its config; undefined where that is no time that can be written down. */
  readonly created: Date | undefined;
  readonly distribution: Distribution | undefined;
  readonly packages: readonly InstalledPackage[];
  /** What is there and was not read, as phrases. */
  readonly unread: readonly string[];
}

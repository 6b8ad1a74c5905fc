import type { TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { Manager } from '../packages/installed-package.ts';
import type { DescribedImage } from './described-image.ts';
import { labelOf } from './labels.ts';

/** What is in the documents, in short. */
export interface SbomSummary {
  readonly targets: readonly string[];
  readonly images: readonly ImageSummary[];
  /** Of the pins, beside the images. */
  readonly files: number;
}

export interface ImageSummary {
  readonly name: string;
  readonly reference: string;
  readonly platform: string;
  readonly targets: readonly string[];
  /** Such as `debian 12`. */
  readonly distribution?: string;
  readonly licenses?: string;
  readonly packages: Readonly<Partial<Record<Manager, number>>>;
  /** What is there and was not read, as phrases. */
  readonly unread: readonly string[];
}

export function summaryOf(
  images: readonly DescribedImage[],
  targets: readonly TargetPins[],
): SbomSummary {
  return {
    targets: targets.map(({ target }) => targetKey(target)).sort(),
    images: images.map(summaryOfImage),
    files: new Set(targets.flatMap(({ files }) => Object.keys(files))).size,
  };
}

function summaryOfImage(image: DescribedImage): ImageSummary {
  const { name, pin, targets, distribution, unread } = image;
  const licenses = labelOf(image, 'licenses');
  const packages: Partial<Record<Manager, number>> = {};
  for (const { manager } of image.packages) packages[manager] = (packages[manager] ?? 0) + 1;
  return {
    ...{ name, reference: pin.reference, platform: pin.platform, targets },
    ...(distribution === undefined
      ? {}
      : { distribution: [distribution.id, distribution.version].join(' ').trim() }),
    ...(licenses === undefined ? {} : { licenses }),
    ...{ packages, unread },
  };
}

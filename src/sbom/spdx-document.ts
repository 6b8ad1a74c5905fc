import { createHash } from 'node:crypto';
import type { TargetPins } from '../model/pins.ts';
import { targetKey } from '../model/pins-document.ts';
import type { DescribedImage } from './described-image.ts';
import { Licenses } from './licenses.ts';
import type { SpdxDocument, SpdxPackage, SpdxRelationship } from './spdx-model.ts';
import { fileElement, imageElement, packageElement, systemElement } from './spdx-packages.ts';

export interface SpdxOptions {
  /** Of stowage. */
  readonly version: string;
  /** SOURCE_DATE_EPOCH, in seconds; the time of the newest image where it is not set. */
  readonly epoch: number | undefined;
}

const DOCUMENT = 'SPDXRef-DOCUMENT';

/**
 * SPDX 2.3 as JSON: the document describes the images and the extra files, images contain an operating system and
 * packages. What several images have in the same version comes once. Its bytes depend on its arguments alone, and its
 * namespace on its content.
 */
export function formatSpdx(
  images: readonly DescribedImage[],
  targets: readonly TargetPins[],
  options: SpdxOptions,
): string {
  const licenses = new Licenses();
  const packages = new Map<string, SpdxPackage>();
  const relationships: SpdxRelationship[] = [];
  const add = (
    element: SpdxPackage,
    spdxElementId: string,
    relationshipType: SpdxRelationship['relationshipType'],
  ): void => {
    packages.set(element.SPDXID, element);
    relationships.push({ spdxElementId, relationshipType, relatedSpdxElement: element.SPDXID });
  };
  for (const image of images) {
    const whole = imageElement(image, licenses);
    add(whole, DOCUMENT, 'DESCRIBES');
    const { distribution } = image;
    const parts = image.packages.map((found) => packageElement(found, distribution, licenses));
    if (distribution !== undefined) add(systemElement(distribution), whole.SPDXID, 'CONTAINS');
    for (const part of unique(parts)) add(part, whole.SPDXID, 'CONTAINS');
  }
  const files = targets.flatMap((target) => Object.entries(target.files));
  for (const file of unique(files.map(([path, pin]) => fileElement(path, pin))))
    add(file, DOCUMENT, 'DESCRIBES');
  const extracted = licenses.extracted();
  const keys = targets.map(({ target }) => targetKey(target)).sort();
  const body = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: DOCUMENT,
    name: `container images for ${keys.join('; ')}`,
    creationInfo: {
      created: `${createdAt(images, options.epoch).toISOString().slice(0, 19)}Z`,
      creators: [`Tool: stowage-${options.version}`],
    },
    packages: [...packages.values()],
    ...(extracted.length === 0 ? {} : { hasExtractedLicensingInfos: extracted }),
    relationships,
  } as const;
  const hash = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  const { spdxVersion, dataLicense, SPDXID, name, ...rest } = body;
  const document: SpdxDocument = {
    ...{ spdxVersion, dataLicense, SPDXID, name },
    documentNamespace: `https://spdx.org/spdxdocs/stowage-${hash}`,
    ...rest,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function createdAt(images: readonly DescribedImage[], epoch: number | undefined): Date {
  const newest = Math.max(0, ...images.map(({ created }) => created?.getTime() ?? 0));
  return new Date(epoch === undefined ? newest : epoch * 1000);
}

/** In the order of their identifiers, which begin with what they are and their name. */
function unique(elements: readonly SpdxPackage[]): readonly SpdxPackage[] {
  return [...new Map(elements.map((element) => [element.SPDXID, element])).values()].sort((a, b) =>
    a.SPDXID < b.SPDXID ? -1 : 1,
  );
}

import { createHash } from 'node:crypto';
import { hasCredentials } from '../model/bundle-source.ts';
import type { Digest } from '../model/digest.ts';
import { hexOf } from '../model/digest.ts';
import type { FilePin } from '../model/pins.ts';
import { parseReference, taggedName } from '../model/reference.ts';
import type { InstalledPackage } from '../packages/installed-package.ts';
import { withoutEmpty } from '../packages/installed-package.ts';
import type { DescribedImage } from './described-image.ts';
import type { Distribution } from './distribution.ts';
import { labelOf } from './labels.ts';
import type { Licenses } from './licenses.ts';
import { NOASSERTION } from './licenses.ts';
import { purlOfImage, purlOfPackage } from './package-url.ts';
import type { SpdxPackage } from './spdx-model.ts';

/** Everything that the document is about, as SPDX's packages. Equal things have equal identifiers. */

export function imageElement(image: DescribedImage, licenses: Licenses): SpdxPackage {
  const { name, pin, targets, distribution, unread } = image;
  const parsed = parseReference(pin.reference);
  const [source, revision] = [labelOf(image, 'source'), labelOf(image, 'revision')];
  const from = [source, ...(revision === undefined ? [] : [`revision ${revision}`])];
  const stated = from.filter((part) => part !== undefined).map(oneLine);
  const purl = purlOfImage(pin);
  const comment = [
    `for ${targets.join('; ')}`,
    `platform ${pin.platform}`,
    ...(pin.index === undefined ? [] : [`index ${pin.index}`]),
    `config ${pin.config.digest}`,
    ...(distribution === undefined ? ['no os-release in it'] : []),
    ...(image.packages.length === 0 && unread.length === 0 ? ['no packages in it'] : []),
    ...unread.map((phrase) => `not in this document: ${phrase}`),
  ];
  return {
    SPDXID: idOf('Image', name, [name, pin.reference, pin.manifest.digest]),
    name: parsed.ok ? (taggedName(parsed.value) ?? pin.reference) : pin.reference,
    ...withoutEmpty({
      versionInfo: oneLine(labelOf(image, 'version') ?? (parsed.ok ? parsed.value.tag : undefined)),
      supplier: organization(labelOf(image, 'vendor')),
      homepage: webAddress(labelOf(image, 'url') ?? source),
      sourceInfo: stated.length === 0 ? undefined : `its labels say: ${stated.join(', ')}`,
      summary: oneLine(labelOf(image, 'title')),
      description: oneLine(labelOf(image, 'description')),
    }),
    primaryPackagePurpose: 'CONTAINER',
    ...plain(licenses.declare(labelOf(image, 'licenses'))),
    checksums: sha256(pin.manifest.digest),
    comment: comment.join('; '),
    ...(purl === undefined ? {} : references(purl)),
  };
}

export function systemElement({ id, name, version }: Distribution): SpdxPackage {
  return {
    SPDXID: idOf('OperatingSystem', id, [id, name, version]),
    name: id,
    ...withoutEmpty({ versionInfo: oneLine(version), summary: oneLine(name) }),
    primaryPackagePurpose: 'OPERATING_SYSTEM',
    ...plain(NOASSERTION),
  };
}

export function packageElement(
  found: InstalledPackage,
  from: Distribution | undefined,
  licenses: Licenses,
): SpdxPackage {
  const { manager, name, version, source } = found;
  const purl = purlOfPackage(found, from);
  const built = [source?.name, source?.version].filter((part) => part !== undefined).join(' ');
  return {
    SPDXID: idOf(manager, name, [found, from]),
    // Of control characters alone it would be nothing.
    name: oneLine(name) || NOASSERTION,
    versionInfo: oneLine(version),
    ...withoutEmpty({
      supplier: organization(found.vendor) ?? supplierOf(found.maintainer),
      homepage: webAddress(found.homepage),
      sourceInfo: built === '' ? undefined : `built from ${oneLine(built)}`,
      summary: oneLine(found.summary),
    }),
    ...plain(licenses.declare(found.license)),
    ...references(purl),
  };
}

/** A file that goes beside the images: known by its digest, and by its address where it has one. */
export function fileElement(path: string, { sha256: digest, url, mode }: FilePin): SpdxPackage {
  return {
    SPDXID: idOf('File', path, [path, digest, url, mode]),
    name: path,
    packageFileName: path,
    primaryPackagePurpose: 'FILE',
    ...plain(NOASSERTION),
    ...(webAddress(url) === undefined ? {} : { downloadLocation: webAddress(url) ?? '' }),
    checksums: sha256(digest),
    comment: `mode ${mode}`,
  };
}

/** SPDX 2.3, clause 7: what must be there, and is not known. */
function plain(licenseDeclared: string) {
  return {
    downloadLocation: NOASSERTION,
    filesAnalyzed: false,
    licenseConcluded: NOASSERTION,
    licenseDeclared,
    copyrightText: NOASSERTION,
  } as const;
}

function sha256(digest: Digest) {
  return [{ algorithm: 'SHA256', checksumValue: hexOf(digest) }] as const;
}

function references(purl: string) {
  return {
    externalRefs: [
      {
        referenceCategory: 'PACKAGE-MANAGER',
        referenceType: 'purl',
        referenceLocator: purl,
      },
    ],
  } as const;
}

/** Unique by its content, and readable: SPDX takes letters, digits, `.` and `-`. */
function idOf(kind: string, name: string, content: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
  const slug = name.slice(0, 80).replace(/[^A-Za-z0-9.]+/g, '-');
  return ['SPDXRef', kind, slug, hash].join('-').replace(/-{2,}/g, '-');
}

const TEAM = /\b(?:teams?|maintainers?|developers?|project|group|packagers?|foundation|list)\b/i;

/** `Name <address>` as SPDX writes it: people with `Person:`, everything that works together with `Organization:`. */
function supplierOf(maintainer: string | undefined): string | undefined {
  const text = oneLine(maintainer);
  if (text === '') return undefined;
  const [, name = text, address] = /^(.*?)\s*<([^<>\s]+)>$/.exec(text) ?? [];
  const plainName = withoutBrackets(name === '' ? (address ?? '') : name);
  if (plainName === '') return undefined;
  const kind = TEAM.test(name) ? 'Organization' : 'Person';
  return `${kind}: ${plainName}${address === undefined ? '' : ` (${address})`}`;
}

function organization(name: string | undefined): string | undefined {
  const text = withoutBrackets(oneLine(name));
  return text === '' ? undefined : `Organization: ${text}`;
}

/** Brackets are for the address. */
function withoutBrackets(text: string): string {
  return text.replace(/[()]/g, ' ').replace(/\s+/g, ' ').trim();
}

/** What is longer is no name, and no address. */
const LONGEST = 2000;

function oneLine(text = ''): string {
  const isLong = text.length > LONGEST;
  const short = isLong ? `${Buffer.from(text.slice(0, LONGEST)).toString()}…` : text;
  return short.replace(/[\s\p{Cc}]+/gu, ' ').trim();
}

/** Undefined for what is no address that a browser would open. */
function webAddress(text: string | undefined): string | undefined {
  if (text === undefined || text.length > LONGEST || hasCredentials(text)) return undefined;
  return /^https?:\/\/[\x21-\x7e]+$/.test(text) && URL.canParse(text) ? text : undefined;
}

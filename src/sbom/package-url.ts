import type { InstalledPackage } from '../packages/installed-package.ts';
import type { ImagePin } from '../model/pins.ts';
import { hexOf } from '../model/digest.ts';
import { parsePlatform } from '../model/platform.ts';
import { nameOf, parseReference } from '../model/reference.ts';
import type { Distribution } from './distribution.ts';

/** Names of software that scanners understand: package-url/purl-spec, and its types deb, apk, rpm and oci. */
interface PackageUrl {
  readonly type: string;
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly version: string;
  readonly qualifiers: Readonly<Record<string, string | undefined>>;
}

/** Of a part: no name or version is longer. */
const LONGEST = 1000;

const TYPES = { dpkg: 'deb', apk: 'apk', rpm: 'rpm' } as const;

/** What the type's own page calls a distribution, where that is not its ID. */
const NAMESPACES: ReadonlyMap<string, string> = new Map([['rhel', 'redhat']]);

/** The distribution is a part of the name: without one nobody knows whose package it is. */
export function purlOfPackage(found: InstalledPackage, from: Distribution | undefined): string {
  const { manager, name, source } = found;
  const [, epoch, version = found.version] =
    manager === 'rpm' ? (/^(\d+):(.*)$/.exec(found.version) ?? []) : [];
  const upstream =
    source === undefined || (source.name === name && source.version === undefined)
      ? undefined
      : `${source.name}${source.version === undefined ? '' : `@${source.version}`}`;
  return format({
    type: TYPES[manager],
    namespace: from && (NAMESPACES.get(from.id) ?? from.id),
    name: manager === 'rpm' ? name : name.toLowerCase(),
    version,
    qualifiers: {
      arch: found.architecture,
      distro: from && [from.id, ...(from.version === undefined ? [] : [from.version])].join('-'),
      epoch,
      upstream,
    },
  });
}

/** By the manifest's digest, which is of one platform. Undefined where the reference can't be read, which pins refuse. */
export function purlOfImage({ reference, manifest, platform }: ImagePin): string | undefined {
  const parsed = parseReference(reference);
  if (!parsed.ok) return undefined;
  const { repository, tag } = parsed.value;
  const found = parsePlatform(platform);
  const arch = found.ok ? found.value.arch : undefined;
  return format({
    type: 'oci',
    name: repository.split('/').at(-1) ?? repository,
    version: `sha256:${hexOf(manifest.digest)}`,
    qualifiers: { arch, repository_url: nameOf(parsed.value), tag },
  });
}

function format({ type, namespace, name, version, qualifiers }: PackageUrl): string {
  const path = [...(namespace === undefined ? [] : [namespace]), name].map(encode).join('/');
  const more = Object.entries(qualifiers)
    .filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encode(value)}`);
  return `pkg:${type}/${path}@${encode(version)}${more.length === 0 ? '' : `?${more.join('&')}`}`;
}

/** All but what a URL never needs to escape; purl leaves colons. */
function encode(text: string): string {
  // Halves of characters can't be escaped.
  return encodeURIComponent(Buffer.from(text.slice(0, LONGEST)).toString())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%3A', ':');
}

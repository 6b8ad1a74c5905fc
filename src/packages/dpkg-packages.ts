import type { InstalledPackage } from './installed-package.ts';
import { withoutEmpty } from './installed-package.ts';

/** dpkg(1), "Package states": of every other at least some files are there. */
const ABSENT: ReadonlySet<string> = new Set(['not-installed', 'config-files']);

/**
 * What is installed by a status file of dpkg, or by one of the files that images without dpkg have for each package:
 * deb822(5) paragraphs of fields, parted by empty lines; the fields are those of deb-control(5) and dpkg(1).
 */
export function readDpkgPackages(text: string): InstalledPackage[] {
  return text.split(/\n(?:[ \t]*\n)+/).flatMap((paragraph) => {
    const fields = fieldsOf(paragraph);
    const [name, version, status] = ['package', 'version', 'status'].map((key) => fields.get(key));
    if (name === undefined || name === '' || version === undefined || version === '') return [];
    if (ABSENT.has(status?.split(/\s+/).at(-1) ?? '')) return [];
    const architecture = fields.get('architecture');
    const isForeign = fields.get('multi-arch') === 'same' && architecture !== undefined;
    return [
      {
        ...{ manager: 'dpkg' as const, name, version },
        key: isForeign ? `${name}:${architecture}` : name,
        ...withoutEmpty({
          architecture,
          maintainer: fields.get('maintainer'),
          source: sourceOf(fields.get('source')),
          homepage: fields.get('homepage'),
          summary: fields.get('description'),
        }),
      },
    ];
  });
}

/** The first line of each field, by its name in lower case. */
function fieldsOf(paragraph: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of paragraph.split('\n')) {
    const [, name, value] = /^([^\s:#][^\s:]*):[ \t]*(.*)$/.exec(line) ?? [];
    const key = name?.toLowerCase();
    if (key !== undefined && !fields.has(key)) fields.set(key, (value ?? '').trim());
  }
  return fields;
}

/** `glibc (2.36-9)`, or the name alone where the version is the package's own. */
function sourceOf(field: string | undefined): InstalledPackage['source'] {
  const [, name, version] = /^(\S+)(?:\s+\((.+)\))?$/.exec(field ?? '') ?? [];
  return name === undefined ? undefined : { name, ...(version === undefined ? {} : { version }) };
}

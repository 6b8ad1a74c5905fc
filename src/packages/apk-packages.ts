import type { InstalledPackage } from './installed-package.ts';
import { withoutEmpty } from './installed-package.ts';

/**
 * What is installed by apk's database: apk-package(5) calls its form the index format v2. Paragraphs are parted by
 * empty lines, fields have one letter; those in lower and upper case behind `F:` tell of directories and files.
 */
export function readApkPackages(text: string): InstalledPackage[] {
  return text.split(/\n{2,}/).flatMap((paragraph) => {
    const fields = fieldsOf(paragraph);
    const [name, version] = [fields.get('P'), fields.get('V')];
    if (name === undefined || name === '' || version === undefined || version === '') return [];
    const source = fields.get('o');
    return [
      {
        ...{ manager: 'apk' as const, name, version, key: name },
        ...withoutEmpty({
          architecture: fields.get('A'),
          license: fields.get('L'),
          maintainer: fields.get('m'),
          source: source === undefined || source === '' ? undefined : { name: source },
          homepage: fields.get('U'),
          summary: fields.get('T'),
        }),
      },
    ];
  });
}

/** Those of the package itself. */
function fieldsOf(paragraph: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of paragraph.split('\n')) {
    if (line.startsWith('F:')) break;
    const letter = line.charAt(0);
    if (line.charAt(1) === ':' && !fields.has(letter)) fields.set(letter, line.slice(2).trim());
  }
  return fields;
}

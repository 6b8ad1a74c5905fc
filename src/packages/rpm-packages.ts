import type { InstalledPackage } from './installed-package.ts';
import { withoutEmpty } from './installed-package.ts';
import { readTable, SqliteError } from './sqlite-table.ts';

/** rpm, include/rpm/rpmtag.h. */
const TAGS = {
  ...{ name: 1000, version: 1001, release: 1002, epoch: 1003, summary: 1004, vendor: 1011 },
  ...{ license: 1014, packager: 1015, url: 1020, arch: 1022, sourceRpm: 1044 },
} as const;
const ENTRY = 16;
const INT32 = 4;
const STRING = 6;
/** Of a text in several languages the first is that of no locale. */
const I18N_STRING = 9;
/** Keys that users have imported are packages of this name. */
export const RPM_KEY = 'gpg-pubkey';

/**
 * The packages of a database of rpm 4.16 and newer in SQLite: a header a row (rpm, docs/manual, "RPM Header").
 * Undefined for what is none, or is damaged.
 */
export function readRpmPackages(database: Buffer): readonly InstalledPackage[] | undefined {
  try {
    const packages: InstalledPackage[] = [];
    for (const [, header] of readTable(database, 'Packages')) {
      if (!(header instanceof Uint8Array)) return undefined;
      const found = readHeader(Buffer.from(header.buffer, header.byteOffset, header.length));
      if (found === undefined) return undefined;
      packages.push(found);
    }
    return packages;
  } catch (error) {
    if (error instanceof SqliteError) return undefined;
    throw error;
  }
}

function readHeader(header: Buffer): InstalledPackage | undefined {
  if (header.length < 8) return undefined;
  const count = header.readUInt32BE(0);
  const data = 8 + count * ENTRY;
  if (data > header.length) return undefined;
  const values = new Map<number, string>();
  for (let i = 0; i < count; i++) {
    const at = 8 + i * ENTRY;
    const [tag, type] = [header.readUInt32BE(at), header.readUInt32BE(at + 4)];
    const start = data + header.readUInt32BE(at + 8);
    if (type === STRING || type === I18N_STRING) {
      const end = header.indexOf(0, start);
      if (end !== -1) values.set(tag, header.toString('utf8', start, end));
    } else if (type === INT32 && start + 4 <= header.length)
      values.set(tag, `${header.readUInt32BE(start)}`);
  }
  const get = (tag: keyof typeof TAGS): string | undefined => values.get(TAGS[tag]);
  const [name, version, epoch, arch] = [get('name'), get('version'), get('epoch'), get('arch')];
  if (name === undefined || version === undefined) return undefined;
  const isKey = name === RPM_KEY;
  return {
    ...{ manager: 'rpm', name },
    version: `${epoch === undefined ? '' : `${epoch}:`}${version}-${get('release') ?? ''}`,
    key: isKey || arch === undefined ? name : `${name}.${arch}`,
    ...withoutEmpty({
      architecture: isKey ? undefined : arch,
      license: get('license'),
      maintainer: get('packager'),
      vendor: get('vendor'),
      source: sourceOf(get('sourceRpm')),
      homepage: get('url'),
      summary: get('summary'),
    }),
  };
}

/** `glibc-2.38-7.fc39.src.rpm`. */
function sourceOf(file: string | undefined): InstalledPackage['source'] {
  const [, name, version] = /^(.+)-([^-]+-[^-]+)\.(?:no)?src\.rpm$/.exec(file ?? '') ?? [];
  return name === undefined || version === undefined ? undefined : { name, version };
}

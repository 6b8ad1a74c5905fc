import type { MergedNode } from '../trees/merged-tree.ts';
import { mergedChildren } from '../trees/merged-tree.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { readApkPackages } from './apk-packages.ts';
import { readDpkgPackages } from './dpkg-packages.ts';
import { findNode } from './find-node.ts';
import type { InstalledPackage, Manager } from './installed-package.ts';
import { readRpmPackages } from './rpm-packages.ts';

/** What package managers have written down in a tree. */
export interface PackageDatabases {
  /** By manager; one that has a database and no packages has an empty list. */
  readonly read: ReadonlyMap<Manager, readonly InstalledPackage[]>;
  /** Those that are there and not read, by path. */
  readonly unread: ReadonlyMap<string, UnreadDatabase>;
}

export interface UnreadDatabase {
  readonly manager: Manager;
  readonly node: TreeNode;
}

const DPKG_STATUS = 'var/lib/dpkg/status';
/** Of images without dpkg itself: a file for each package. */
const DPKG_DIRECTORY = 'var/lib/dpkg/status.d';
const APK = ['lib/apk/db/installed', 'usr/lib/apk/db/installed', 'var/lib/apk/db/installed'];
const RPM = ['var/lib/rpm', 'usr/lib/sysimage/rpm', 'usr/share/rpm'].flatMap((directory) =>
  // SQLite's log holds what has not gone into the database yet.
  ['Packages', 'Packages.db', 'rpmdb.sqlite-wal', 'rpmdb.sqlite'].map(
    (name) => `${directory}/${name}`,
  ),
);
const KNOWN = new Set([DPKG_STATUS, ...APK, ...RPM]);

export function isPackageDatabase(path: string): boolean {
  return KNOWN.has(path) || path.startsWith(`${DPKG_DIRECTORY}/`);
}

/** Of managers that are not read at all, by the place in which they write things down. */
const OTHERS: readonly (readonly [path: string, manager: string])[] = [
  ['var/lib/pacman/local', 'pacman'],
  ['var/lib/opkg/status', 'opkg'],
  ['usr/lib/opkg/status', 'opkg'],
  ['var/db/pkg', 'Portage'],
  ['var/lib/chisel/manifest.wall', 'Chisel'],
];

/** Whether a path is of use to those who look for packages: one that is looked at, or on the way to one. */
export function leadsToPackages(path: string): boolean {
  const all = [...KNOWN, `${DPKG_DIRECTORY}/`, ...OTHERS.map(([place]) => place)];
  return isPackageDatabase(path) || all.some((place) => `${place}/`.startsWith(`${path}/`));
}

/** Databases of managers that are not known, as phrases. */
export async function otherDatabases(root: MergedNode | undefined): Promise<readonly string[]> {
  const found: string[] = [];
  if (root === undefined) return found;
  for (const [place, manager] of OTHERS)
    if ((await findNode(root, place)).node !== undefined)
      found.push(`${place}: packages of ${manager}, which is not known`);
  return found;
}

export async function readPackages(root: MergedNode | undefined): Promise<PackageDatabases> {
  const reading = new Reading();
  if (root === undefined) return reading;
  const directory = (await findNode(root, DPKG_DIRECTORY)).node;
  await reading.take('dpkg', root, DPKG_STATUS);
  if (directory?.node.type === 'directory') {
    reading.add('dpkg', []);
    for (const [name] of await mergedChildren(directory))
      if (!name.endsWith('.md5sums')) await reading.take('dpkg', root, `${DPKG_DIRECTORY}/${name}`);
  }
  for (const path of APK) await reading.take('apk', root, path);
  for (const path of RPM) await reading.take('rpm', root, path);
  return reading;
}

class Reading implements PackageDatabases {
  readonly read = new Map<Manager, InstalledPackage[]>();
  readonly unread = new Map<string, UnreadDatabase>();
  /** By the paths that links lead to. */
  readonly #seen = new Set<string>();

  /** A database that is in its place, under whatever name. */
  async take(manager: Manager, root: MergedNode, place: string): Promise<void> {
    const { path, node: found } = await findNode(root, place);
    if (found?.node.type !== 'file' || this.#seen.has(path)) return;
    this.#seen.add(path);
    const { node } = found;
    if (manager === 'rpm' && node.size === 0) return;
    const bytes = await bytesOf(node);
    const packages = bytes === undefined ? undefined : this.#parse(manager, path, bytes);
    if (packages === undefined || packages.length > MOST_PACKAGES)
      this.unread.set(path, { manager, node });
    else this.add(manager, packages);
  }

  add(manager: Manager, packages: readonly InstalledPackage[]): void {
    this.read.set(manager, [...(this.read.get(manager) ?? []), ...packages]);
  }

  #parse(manager: Manager, path: string, bytes: Buffer): readonly InstalledPackage[] | undefined {
    switch (manager) {
      case 'dpkg':
        return readDpkgPackages(bytes.toString('utf8'));
      case 'apk':
        return readApkPackages(bytes.toString('utf8'));
      case 'rpm':
        return path.endsWith('.sqlite') && !this.unread.has(`${path}-wal`)
          ? readRpmPackages(bytes)
          : undefined;
    }
  }
}

/** Larger is no database of packages that is read. */
const MOST = 64 * 1024 * 1024;
/** Debian as a whole has not as many. */
const MOST_PACKAGES = 100_000;

/** A file's content; undefined where it is too large, or not at hand. */
export async function bytesOf(node: TreeNode): Promise<Buffer | undefined> {
  if (node.size === 0) return Buffer.alloc(0);
  if (node.content === undefined || node.size > MOST) return undefined;
  const pieces: Buffer[] = [];
  for await (const piece of node.content()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

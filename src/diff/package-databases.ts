import type { MergedNode } from '../trees/merged-tree.ts';
import { mergedChildren } from '../trees/merged-tree.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import type { PackageChange } from './difference.ts';
import { readRpmPackages } from './rpm-packages.ts';

/** Versions by name, `name:architecture` where several architectures may be installed. */
export type Packages = ReadonlyMap<string, string>;

/** What package managers have written down in a tree. */
export interface PackageDatabases {
  /** By manager: `dpkg`, `apk`, `rpm`. */
  readonly read: ReadonlyMap<string, Packages>;
  /** Those that are not read, by path. */
  readonly unread: ReadonlyMap<string, TreeNode>;
}

const DPKG_STATUS = 'var/lib/dpkg/status';
/** Of images without dpkg itself: a file for each package. */
const DPKG_DIRECTORY = 'var/lib/dpkg/status.d';
const APK = ['lib/apk/db/installed', 'usr/lib/apk/db/installed', 'var/lib/apk/db/installed'];
const RPM = ['var/lib/rpm', 'usr/lib/sysimage/rpm'].flatMap((directory) =>
  // SQLite's log holds what has not gone into the database yet.
  ['Packages', 'Packages.db', 'rpmdb.sqlite-wal', 'rpmdb.sqlite'].map(
    (name) => `${directory}/${name}`,
  ),
);
const KNOWN = new Set([DPKG_STATUS, ...APK, ...RPM]);

export function isPackageDatabase(path: string): boolean {
  return KNOWN.has(path) || path.startsWith(`${DPKG_DIRECTORY}/`);
}

export async function readPackages(root: MergedNode | undefined): Promise<PackageDatabases> {
  const read = new Map<string, Packages>();
  const unread = new Map<string, TreeNode>();
  if (root === undefined) return { read, unread };
  const dpkg = new Map<string, string>();
  const status = await find(root, DPKG_STATUS);
  if (status !== undefined) addDpkg(await textOf(status.node), dpkg);
  const directory = await find(root, DPKG_DIRECTORY);
  for (const [name, { node }] of directory === undefined ? [] : await mergedChildren(directory))
    if (node.type === 'file' && !name.endsWith('.md5sums')) addDpkg(await textOf(node), dpkg);
  if (status !== undefined || directory !== undefined) read.set('dpkg', dpkg);
  for (const path of APK) {
    const installed = await find(root, path);
    if (installed?.node.type !== 'file') continue;
    read.set(
      'apk',
      new Map([...(read.get('apk') ?? []), ...readApk(await textOf(installed.node))]),
    );
  }
  for (const path of RPM) {
    const database = await find(root, path);
    if (database?.node.type !== 'file' || database.node.size === 0) continue;
    const packages =
      path.endsWith('.sqlite') && !unread.has(`${path}-wal`)
        ? readRpmPackages(await bytesOf(database.node))
        : undefined;
    if (packages === undefined) unread.set(path, database.node);
    else read.set('rpm', packages);
  }
  return { read, unread };
}

/** By manager and name. */
export async function comparePackages(
  from: PackageDatabases,
  to: PackageDatabases,
): Promise<PackageChange[]> {
  const changes: PackageChange[] = [];
  for (const database of union(from.read, to.read)) {
    const [old, now] = [from.read.get(database), to.read.get(database)];
    for (const name of union(old, now)) {
      const [a, b] = [old?.get(name), now?.get(name)];
      if (a !== b)
        changes.push({
          ...{ database, name },
          ...(a === undefined ? {} : { from: a }),
          ...(b === undefined ? {} : { to: b }),
        });
    }
  }
  for (const path of union(from.unread, to.unread)) {
    const [old, now] = [from.unread.get(path), to.unread.get(path)];
    if (old !== undefined && now !== undefined && (await old.digest()) === (await now.digest()))
      continue;
    changes.push({ database: `rpm (${path})` });
  }
  return changes;
}

function union(a?: ReadonlyMap<string, unknown>, b?: ReadonlyMap<string, unknown>): string[] {
  return [...new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])])].sort();
}

/** deb-control(5): paragraphs of fields, parted by empty lines. */
function addDpkg(text: string, packages: Map<string, string>): void {
  for (const paragraph of text.split(/\n{2,}/)) {
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}:[ \\t]*(.*)$`, 'im').exec(paragraph)?.[1]?.trim();
    const [name, version, status] = [field('Package'), field('Version'), field('Status')];
    // What was removed and left its configuration is no package that is there.
    if (name === undefined || version === undefined) continue;
    if (status !== undefined && !/\binstalled$/.test(status)) continue;
    const architecture = field('Architecture');
    const isForeign = field('Multi-Arch') === 'same' && architecture !== undefined;
    packages.set(isForeign ? `${name}:${architecture}` : name, version);
  }
}

/** apk-installed(5): fields of one letter, `P` the name and `V` the version. */
function readApk(text: string): [string, string][] {
  return text.split(/\n{2,}/).flatMap((paragraph): [string, string][] => {
    const name = /^P:(.*)$/m.exec(paragraph)?.[1];
    const version = /^V:(.*)$/m.exec(paragraph)?.[1];
    return name === undefined || version === undefined ? [] : [[name, version]];
  });
}

async function find(root: MergedNode, path: string): Promise<MergedNode | undefined> {
  let at: MergedNode | undefined = root;
  for (const part of path.split('/')) {
    if (at === undefined) return undefined;
    at = (await mergedChildren(at)).find(([name]) => name === part)?.[1];
  }
  return at;
}

async function textOf(node: TreeNode): Promise<string> {
  return (await bytesOf(node)).toString('utf8');
}

/** Larger is no database of packages that is read. */
const MOST = 64 * 1024 * 1024;

/** Empty where it is too large, or no file. */
async function bytesOf(node: TreeNode): Promise<Buffer> {
  if (node.type !== 'file' || node.content === undefined || node.size > MOST)
    return Buffer.alloc(0);
  const pieces: Buffer[] = [];
  for await (const piece of node.content()) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

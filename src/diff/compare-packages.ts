import type { InstalledPackage } from '../packages/installed-package.ts';
import type { PackageDatabases } from '../packages/package-databases.ts';
import type { PackageChange } from './difference.ts';

/** By manager and name. */
export async function comparePackages(
  from: PackageDatabases,
  to: PackageDatabases,
): Promise<PackageChange[]> {
  const changes: PackageChange[] = [];
  for (const database of union(from.read, to.read)) {
    const [old, now] = [versions(from.read.get(database)), versions(to.read.get(database))];
    for (const name of union(old, now)) {
      const [a, b] = [old.get(name), now.get(name)];
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
    if (old !== undefined && now !== undefined) {
      if ((await old.node.digest()) === (await now.node.digest())) continue;
    }
    changes.push({ database: `${(old ?? now)?.manager ?? ''} (${path})` });
  }
  return changes;
}

function versions(packages: readonly InstalledPackage[] = []): ReadonlyMap<string, string> {
  const byName = new Map<string, string>();
  for (const { manager, key, version } of packages) {
    // Several versions of one package may be installed: kernels.
    const before = manager === 'rpm' ? byName.get(key) : undefined;
    byName.set(key, before === undefined ? version : `${before}, ${version}`);
  }
  return byName;
}

function union<K extends string>(a: ReadonlyMap<K, unknown>, b: ReadonlyMap<K, unknown>): K[] {
  return [...new Set([...a.keys(), ...b.keys()])].sort();
}

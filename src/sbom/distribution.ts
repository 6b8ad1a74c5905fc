import { bytesOf } from '../packages/package-databases.ts';
import { findNode } from '../packages/find-node.ts';
import type { MergedNode } from '../trees/merged-tree.ts';

/** What an image says that it is made of: os-release(5). */
export interface Distribution {
  /** Lower case: `debian`. */
  readonly id: string;
  /** `Debian GNU/Linux`; the ID where there is none. */
  readonly name: string;
  /** `12`; undefined where it has none, as a rolling one. */
  readonly version?: string;
}

/** In the order in which they are looked for. */
export const OS_RELEASE = ['etc/os-release', 'usr/lib/os-release'];

export function isOsRelease(path: string): boolean {
  return OS_RELEASE.includes(path);
}

/** Undefined where the tree has none, or one without an ID. */
export async function readDistribution(
  root: MergedNode | undefined,
): Promise<Distribution | undefined> {
  if (root === undefined) return undefined;
  for (const path of OS_RELEASE) {
    const { node: found } = await findNode(root, path);
    if (found?.node.type !== 'file') continue;
    const bytes = await bytesOf(found.node);
    return bytes === undefined ? undefined : parseOsRelease(bytes.toString('utf8'));
  }
  return undefined;
}

export function parseOsRelease(text: string): Distribution | undefined {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim()) ?? [];
    if (name !== undefined) values.set(name, unquote(value ?? ''));
  }
  const id = (values.get('ID') ?? '').toLowerCase();
  if (!/^[a-z0-9._-]+$/.test(id)) return undefined;
  const [name, version] = [values.get('NAME') ?? '', values.get('VERSION_ID') ?? ''];
  return { id, name: name === '' ? id : name, ...(version === '' ? {} : { version }) };
}

/** As a shell would, without variables. */
function unquote(value: string): string {
  const [, , inner] = /^(["'])(.*)\1$/.exec(value) ?? [];
  return (inner ?? value).replace(/\\([\\"'$`])/g, '$1');
}

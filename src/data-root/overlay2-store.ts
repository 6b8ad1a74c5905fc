import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import { parseReference, taggedName } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * Where dockerd's graph driver overlay2 keeps images (moby: reference/store.go, image/fs.go, layer/filestore.go,
 * daemon/graphdriver/overlay2). Unlike containerd's store it has no manifests and no packed layers: an image is its
 * config, a layer the directory that it was unpacked to.
 *
 * ```
 * image/overlay2/repositories.json                      names to config digests
 * image/overlay2/imagedb/content/sha256/<config hex>    configs, byte for byte
 * image/overlay2/layerdb/sha256/<chain hex>/            diff, parent, size, cache-id, tar-split.json.gz
 * overlay2/<cache-id>/                                  diff/, link, and with a parent lower, work/
 * overlay2/l/<link>                                     -> ../<cache-id>/diff
 * ```
 */
export interface Overlay2Paths {
  readonly repositories: string;
  readonly configs: string;
  readonly layers: string;
  readonly driver: string;
  readonly links: string;
}

/** Relative to the partition's root. */
export function overlay2Paths(dataRoot: string): Overlay2Paths {
  const image = `${dataRoot}/image/overlay2`;
  return {
    repositories: `${image}/repositories.json`,
    configs: `${image}/imagedb/content/sha256`,
    layers: `${image}/layerdb/sha256`,
    driver: `${dataRoot}/overlay2`,
    links: `${dataRoot}/overlay2/l`,
  };
}

/** What each directory of a layer has (layer/filestore.go). */
export const LAYER_FILES = {
  diffId: 'diff',
  parent: 'parent',
  size: 'size',
  cacheId: 'cache-id',
  tarSplit: 'tar-split.json.gz',
} as const;

export function isCacheId(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

/** Base32 of random bytes: so short that 128 of them fit into a mount's options. */
export function isLink(text: string): boolean {
  return /^[A-Z2-7]{26}$/.test(text);
}

/** `lower` of a layer, the nearest parent first: as an overlay mount takes it. */
export function formatLower(links: readonly string[]): string {
  return links.map((link) => `l/${link}`).join(':');
}

/** Image IDs by full name (`docker.io/library/x:tag`); a name by digest stays as the engine has it. */
export function readRepositories(
  text: string,
): Result<ReadonlyMap<string, Digest>, { readonly detail: string }> {
  const names = new Map<string, Digest>();
  let document: { readonly Repositories?: unknown } | null;
  try {
    document = JSON.parse(text) as typeof document;
  } catch {
    return fail({ detail: 'it is not JSON' });
  }
  const repositories = document?.Repositories;
  if (typeof repositories !== 'object' || repositories === null)
    return fail({ detail: 'it lists no repositories' });
  for (const tags of Object.values(repositories as Readonly<Record<string, unknown>>))
    for (const [name, id] of Object.entries((tags ?? {}) as Readonly<Record<string, unknown>>)) {
      const digest = parseDigest(id);
      if (digest === undefined) return fail({ detail: `${name} is not the name of an image` });
      const reference = parseReference(name);
      const full =
        reference.ok && reference.value.digest === undefined
          ? taggedName(reference.value)
          : undefined;
      names.set(full ?? name, digest);
    }
  return ok(names);
}

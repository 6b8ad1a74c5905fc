import { containerdPaths } from '../data-root/containerd-store.ts';
import { overlay2Paths } from '../data-root/overlay2-store.ts';
import { inodeAt } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { EngineStore } from '../model/bundle.ts';

/** Where a data image keeps images, and how. Paths are relative to the partition, some with a slash in front. */
export interface FoundRoot {
  readonly dataRoot: string;
  readonly store: EngineStore;
  readonly layout?: 'daemon' | 'own';
}

/** Our default, the partition itself, and where the engines have theirs on a root file system. */
const USUAL = ['docker', '', 'var/lib/docker', 'lib/docker', 'containerd', 'var/lib/containerd'];

/** The first of `given`, or of the usual places, in which there are databases of an engine. */
export async function findDataRoot(
  reader: ImageReader,
  given: string | undefined,
): Promise<FoundRoot | undefined> {
  for (const dataRoot of given === undefined ? USUAL : [given]) {
    const has = async (path: string): Promise<boolean> => (await inodeAt(reader, `/${path}`)).ok;
    for (const layout of ['daemon', 'own'] as const)
      if (await has(containerdPaths(dataRoot, layout).metaDb))
        return { dataRoot, store: 'containerd', layout };
    if (await has(overlay2Paths(dataRoot).repositories)) return { dataRoot, store: 'overlay2' };
  }
  return undefined;
}

/** What to say of a tar or directory that has them. */
export const TREE_OF_DATA =
  'the content of a data image, and no file system: `stowage mkfs` makes one of it';

/** By these a tree of files shows that it is to become a data image. */
export function usualDatabases(): string[] {
  return USUAL.flatMap((dataRoot) => [
    containerdPaths(dataRoot, 'daemon').metaDb,
    containerdPaths(dataRoot, 'own').metaDb,
    overlay2Paths(dataRoot).repositories,
  ]).map((path) => path.replace(/^\/+/, ''));
}

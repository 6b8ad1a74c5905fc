import type { ContentFile, ContentImage, ContentLayer } from '../inspect/contents.ts';
import { imageSizes, totals } from '../inspect/contents.ts';
import type { Subject } from '../inspect/open-subject.ts';
import type { Context } from '../model/event.ts';
import type { Digest } from '../model/digest.ts';
import type { Result } from '../model/result.ts';
import { compareTrees } from '../trees/compare-trees.ts';
import { readPackages } from '../packages/package-databases.ts';
import { untilStopped } from '../trees/stopped.ts';
import { FileCollector, isEmpty, NO_DIFFERENCES } from './collect-files.ts';
import { compareDataImages } from './compare-data-images.ts';
import { compareConfigs } from './config-changes.ts';
import type {
  Difference,
  FileDifferences,
  LayerChanges,
  LayerFacts,
  MovedImage,
  Side,
} from './difference.ts';
import { compareWholeness } from './find-spoilt-blobs.ts';
import { comparePackages } from './compare-packages.ts';
import type { Pair } from './pair-images.ts';
import { pairImages } from './pair-images.ts';
import { hasContent, LayerCache, readConfig, treeOf } from './subject-trees.ts';

export interface DiffOptions {
  /** How many files are listed of each tree; the counts are of all. */
  readonly most: number;
}

/**
 * Compares what two subjects hold: names, digests, configs, layers, files and packages of what moved, and of two data
 * images everything that is on them. Reads files side by side; of layers that are packed it keeps a record for each
 * file. Fails as the readers do, and with `source-bad` for a layer that no engine would unpack.
 */
export async function compareSubjects(
  from: Subject,
  to: Subject,
  options: DiffOptions,
  context: Context,
): Promise<Result<Difference>> {
  return untilStopped(() => compare(from, to, options, context));
}

async function compare(
  from: Subject,
  to: Subject,
  { most }: DiffOptions,
  context: Context,
): Promise<Difference> {
  const pairing = pairImages(from.contents.images, to.contents.images);
  const data =
    from.dataImage !== undefined && to.dataImage !== undefined
      ? await compareDataImages(from.dataImage, to.dataImage, pairing, most, context)
      : undefined;
  const cache = new LayerCache();
  for (const { from: a, to: b } of pairing.moved)
    [a, b].forEach((image) => {
      cache.willUse(image);
    });
  const moved: MovedImage[] = [];
  for (const pair of pairing.moved)
    moved.push(
      await compareImages(from, to, pair, { most, cache, same: data?.sameLayers }, context),
    );
  const {
    records: noted = [],
    hashed = new Set<Digest>(),
    unpacked = [],
    fileSystem = [],
    dataRoot = NO_DIFFERENCES,
    engineMade = NO_DIFFERENCES,
  } = data ?? {};
  const records = [...(await compareWholeness(from, to, hashed)), ...noted];
  const files = data?.files ?? compareFiles(from, to, most);
  const { added, removed, tags, same } = pairing;
  const lists = [added, removed, moved, tags, records, unpacked, fileSystem];
  return {
    from: sideOf(from),
    to: sideOf(to),
    ...{ added, removed, moved, tags, records, unpacked, files, dataRoot, engineMade, fileSystem },
    same: same.length,
    isEqual: lists.every(({ length }) => length === 0) && [files, dataRoot].every(isEmpty),
  };
}

interface Reading {
  readonly most: number;
  readonly cache: LayerCache;
  /** Chain IDs of layers that are known to have the same files on both sides. */
  readonly same: ReadonlySet<string> | undefined;
}

async function compareImages(
  from: Subject,
  to: Subject,
  { from: a, to: b, names }: Pair,
  { most, cache, same }: Reading,
  { signal }: Context,
): Promise<MovedImage> {
  const [before] = imageSizes([a]);
  const [after] = imageSizes([b]);
  const plain = {
    ...{ from: a, to: b, names },
    layers: compareLayers(a, b),
    sizes: [before ?? { shared: 0 }, after ?? { shared: 0 }] as const,
  };
  const isUnknown = [a, b].some(
    ({ problem, layers }) => problem !== undefined && layers.length === 0,
  );
  if (isUnknown || !hasContent(from) || !hasContent(to))
    return { ...plain, config: [], packages: [] };
  const config = compareConfigs(await readConfig(from, a), await readConfig(to, b));
  const [x, y] = [await treeOf(from, a, cache, signal), await treeOf(to, b, cache, signal)];
  const collector = new FileCollector(most);
  const differences = compareTrees(x, y, {
    ignoreXattr: (name) => name.startsWith('trusted.overlay.'),
    isSameContent: ({ layer }, other) =>
      layer !== undefined && layer === other.layer && same?.has(layer) === true,
  });
  for await (const difference of differences) collector.take(difference);
  const packages = await comparePackages(await readPackages(x), await readPackages(y));
  [a, b].forEach((image) => {
    cache.done(image);
  });
  return { ...plain, config, files: collector.result, packages };
}

/** By diff ID where both sides know it: a layer that is only packed otherwise is the same. */
export function compareLayers(from: ContentImage, to: ContentImage): LayerChanges {
  const by = knownBy([...from.layers, ...to.layers]);
  if (by === 'nothing') return { by, same: 0, removed: [], added: [] };
  const key = (layer: ContentLayer): string =>
    (by === 'diff ID' ? layer.diffId : layer.digest) ?? '';
  const facts = (layer: ContentLayer): LayerFacts => ({
    digest: key(layer),
    ...(by === 'blob' || layer.digest === undefined ? {} : { blob: layer.digest }),
    ...(layer.packed === undefined ? {} : { packed: layer.packed }),
  });
  const [a, b] = [new Set(from.layers.map(key)), new Set(to.layers.map(key))];
  return {
    by,
    same: [...a].filter((one) => b.has(one)).length,
    removed: from.layers.filter((layer) => !b.has(key(layer))).map(facts),
    added: to.layers.filter((layer) => !a.has(key(layer))).map(facts),
  };
}

function knownBy(layers: readonly ContentLayer[]): LayerChanges['by'] {
  if (layers.every(({ diffId }) => diffId !== undefined)) return 'diff ID';
  return layers.every(({ digest }) => digest !== undefined) ? 'blob' : 'nothing';
}

/** By what lists say of files; those of stores have no paths, and archives have none at all. */
function compareFiles(from: Subject, to: Subject, most: number): FileDifferences {
  const [a, b] = [from.contents, to.contents];
  const lists = new Set(['pins', 'data image']);
  const isComparable = a.kind === b.kind || (lists.has(a.kind) && lists.has(b.kind));
  if (!isComparable) return NO_DIFFERENCES;
  const collector = new FileCollector(most);
  const [left, right] = [filesByName(a.files), filesByName(b.files)];
  for (const path of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const [x, y] = [left.get(path), right.get(path)];
    if (x === undefined || y === undefined) {
      const size = (x ?? y)?.size ?? 0;
      collector.add({ kind: x === undefined ? 'added' : 'removed', path, type: 'file', size });
      continue;
    }
    const changes = [
      ...changed('mode', x.mode, y.mode),
      ...changed('size', `${x.size}`, `${y.size}`),
      ...changed('content', x.sha256, y.sha256),
    ];
    if (changes.length > 0) collector.add({ kind: 'changed', path, type: 'file', changes });
  }
  return collector.result;
}

function filesByName(files: readonly ContentFile[]): ReadonlyMap<string, ContentFile> {
  return new Map(
    files.map((file) => [
      [file.target, file.path ?? file.sha256].filter((part) => part !== undefined).join(' '),
      file,
    ]),
  );
}

function changed<W extends 'mode' | 'size' | 'content'>(
  what: W,
  from: string | undefined,
  to: string | undefined,
): { readonly what: W; readonly from: string; readonly to: string }[] {
  return from === undefined || to === undefined || from === to ? [] : [{ what, from, to }];
}

function sideOf({ contents }: Subject): Side {
  const { source, kind, images, fileSystem, engine } = contents;
  return {
    ...{ source, kind, images: images.length, packed: totals(images).packed },
    ...(fileSystem === undefined ? {} : { size: fileSystem.size, free: fileSystem.free }),
    ...(engine?.schema === undefined ? {} : { schema: engine.schema }),
  };
}

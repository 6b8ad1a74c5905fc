import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Digest } from '../model/digest.ts';
import type { NodeChange } from '../trees/compare-nodes.ts';
import type { CompareTreesOptions, TreeDifference } from '../trees/compare-trees.ts';
import { compareTrees } from '../trees/compare-trees.ts';
import { ImageNode, imageTreeAt } from '../trees/image-tree.ts';
import type { LayerOptions, UnpackedLayer as UnpackedTree } from '../trees/layer-tree.ts';
import { LayerRefused, unpackLayer } from '../trees/layer-tree.ts';
import { single } from '../trees/merged-tree.ts';
import { need } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { displayName, isOverlaysOwn } from '../trees/tree-node.ts';
import { completeDirectory } from './inherited-directory.ts';
import type { Inspection } from './inspection.ts';
import { checkLayers } from './inspection.ts';

/** A layer and where it was unpacked to. Paths are absolute in the partition. */
export interface UnpackedLayer {
  /** What findings begin with: `image core`. */
  readonly owner: string;
  readonly digest: Digest;
  readonly diffId: Digest;
  readonly blob: string;
  readonly directory: string;
  /** The directories of the layers below it, the nearest first. */
  readonly lower: readonly string[];
}

/** Of one layer; the rest is counted. */
const MOST_FINDINGS = 20;

/**
 * Compares what is unpacked of each layer with the layer: every file's type, content, mode, owner, links, extended
 * attributes and time, and that none is missing and none is there besides. Two layers at a time. Returns how many
 * files were compared.
 */
export function checkUnpacked(
  inspection: Inspection,
  layers: readonly UnpackedLayer[],
): Promise<number> {
  return checkLayers(inspection, layers, (reader, layer) => checkLayer(inspection, reader, layer));
}

async function checkLayer(
  inspection: Inspection,
  reader: ImageReader,
  layer: UnpackedLayer,
): Promise<number> {
  const { signal } = inspection;
  const found = await imageTreeAt(reader, layer.directory, signal);
  const blob = need(await reader.lookUp(Buffer.from(layer.blob), 'keep'));
  // What is missing is told of by who looks for it.
  if (found?.type !== 'directory' || blob?.type !== 'file') return 0;
  const source = new ImageNode(reader, blob, signal);
  const what = `${layer.owner}: layer ${layer.digest}`;
  const unpacked = await unpack(inspection, what, source.content(), {
    isBase: layer.lower.length === 0,
  });
  if (unpacked === undefined) return 0;
  if (unpacked.diffId === layer.diffId)
    await compareFiles(inspection, what, unpacked.root, found, (node, path, parent) =>
      completeDirectory(reader, layer.lower, { node, path, parent }, signal),
    );
  else inspection.find(`${what} unpacks to ${unpacked.diffId} instead of ${layer.diffId}`);
  return unpacked.files;
}

/** Undefined, with a finding, for a layer that no engine would unpack. */
export async function unpack(
  inspection: Inspection,
  what: string,
  source: AsyncIterable<Uint8Array>,
  options: LayerOptions,
): Promise<UnpackedTree | undefined> {
  try {
    return await unpackLayer(source, options);
  } catch (error) {
    if (!(error instanceof LayerRefused)) throw error;
    inspection.find(`${what} can't be unpacked: ${error.message}`);
    return undefined;
  }
}

/** Finds whatever differs from what the layer says. Throws `Stopped`. */
export async function compareFiles(
  inspection: Inspection,
  what: string,
  wanted: TreeNode,
  found: TreeNode,
  complete?: CompareTreesOptions['complete'],
): Promise<void> {
  let findings = 0;
  const differences = compareTrees(single(wanted), single(found), {
    directoryTimes: true,
    ignoreXattr: isOverlaysOwn,
    ...(complete === undefined ? {} : { complete }),
  });
  for await (const difference of differences)
    for (const problem of problemsOf(difference)) {
      findings += 1;
      const path = difference.path === '' ? 'its root' : displayName(difference.path);
      if (findings <= MOST_FINDINGS) inspection.find(`${what}: ${path} ${problem}`);
    }
  if (findings > MOST_FINDINGS)
    inspection.find(`${what}: ${findings - MOST_FINDINGS} more of the kind`);
}

function problemsOf(difference: TreeDifference): string[] {
  switch (difference.kind) {
    case 'added':
      return ['is unpacked, and not in the layer'];
    case 'removed':
      return ['is missing'];
    case 'changed':
      return difference.changes.map(problemOf);
  }
}

function problemOf({ what, from, to }: NodeChange): string {
  switch (what) {
    case 'type':
      return `is a ${to} instead of a ${from}`;
    case 'mode':
      return `has mode ${to} instead of ${from}`;
    case 'owner':
      return `belongs to ${to} instead of ${from}`;
    case 'size':
      return `has ${to} bytes instead of ${from}`;
    case 'content':
      return `has other bytes: ${to} instead of ${from}`;
    case 'target':
      return `leads to ${to} instead of ${from}`;
    case 'device':
      return `is device ${to} instead of ${from}`;
    case 'links':
      return `has ${to} names instead of ${from}`;
    case 'xattr':
      return `has ${to} instead of ${from}`;
    case 'time':
      return `is of ${to} instead of ${from}`;
  }
}

import type { ContentImage, ContentLayer } from '../inspect/contents.ts';
import { layerKey } from '../inspect/contents.ts';
import { readDocument } from '../inspect/blobs.ts';
import type { Subject } from '../inspect/open-subject.ts';

import { parseDigest } from '../model/digest.ts';
import { isPackageDatabase } from '../packages/package-databases.ts';
import { imageTreeAt } from '../trees/image-tree.ts';
import { LayerRefused, unpackLayer } from '../trees/layer-tree.ts';
import type { MergedNode } from '../trees/merged-tree.ts';
import { mergeLayers } from '../trees/merged-tree.ts';
import { Stopped } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';

/** Linux mounts no overlay of more (fs/overlayfs/params.h, `OVL_MAX_STACK`). */
const MOST_LAYERS = 500;

/** Layers that both sides have are unpacked once, and forgotten when the last image that needs them is done. */
export class LayerCache {
  readonly #uses = new Map<string, number>();
  readonly #trees = new Map<string, Promise<TreeNode>>();

  /** To be told before anything is read. */
  willUse(image: ContentImage): void {
    for (const key of keysOf(image)) this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
  }

  async get(key: string, unpack: () => Promise<TreeNode>): Promise<TreeNode> {
    const known = this.#trees.get(key) ?? unpack();
    this.#trees.set(key, known);
    return known;
  }

  done(image: ContentImage): void {
    for (const key of keysOf(image)) {
      const left = (this.#uses.get(key) ?? 0) - 1;
      this.#uses.set(key, left);
      if (left <= 0) this.#trees.delete(key);
    }
  }
}

/** Whether there is anything to compare besides digests. */
export function hasContent({ blobs }: Subject): boolean {
  return blobs !== undefined;
}

/** The config as a document; undefined where it is not there. Throws `Stopped`. */
export async function readConfig(subject: Subject, image: ContentImage): Promise<unknown> {
  if (image.config === undefined || subject.blobs === undefined) return undefined;
  const bytes = await readDocument(subject.blobs, image.config);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * What a container of the image would see; of a data image out of its unpacked layers where they are there, else out of
 * the packed ones. Throws `Stopped`.
 */
export async function treeOf(
  subject: Subject,
  image: ContentImage,
  cache: LayerCache,
  signal: AbortSignal,
): Promise<MergedNode | undefined> {
  if (image.layers.length > MOST_LAYERS)
    throw broken(subject, image, `it has ${image.layers.length} layers, more than ${MOST_LAYERS}`);
  const roots: TreeNode[] = [];
  for (const [i, layer] of image.layers.entries())
    roots.push(
      (await unpackedTree(subject, layer, signal)) ??
        (await cache.get(keyAt(layer, i), () => packedTree(subject, image, layer, i === 0))),
    );
  return mergeLayers(roots);
}

async function unpackedTree(
  { dataImage }: Subject,
  { chainId }: ContentLayer,
  signal: AbortSignal,
): Promise<TreeNode | undefined> {
  if (dataImage === undefined || chainId === undefined) return undefined;
  const path = dataImage.layerPath(chainId);
  return path === undefined ? undefined : imageTreeAt(dataImage.reader, path, signal, chainId);
}

async function packedTree(
  subject: Subject,
  image: ContentImage,
  layer: ContentLayer,
  isBase: boolean,
): Promise<TreeNode> {
  const { blobs } = subject;
  const key = parseDigest(layer.digest ?? layer.diffId);
  const bad = (detail: string): Stopped => broken(subject, image, detail);
  if (blobs === undefined || key === undefined || blobs.size(key) === undefined)
    throw bad(`layer ${key ?? layer.chainId ?? ''} is missing`);
  try {
    const unpacked = await unpackLayer(blobs.read(key), { isBase, keep: isPackageDatabase });
    if (layer.diffId !== undefined && unpacked.diffId !== layer.diffId)
      throw bad(`layer ${key} unpacks to ${unpacked.diffId} instead of ${layer.diffId}`);
    return unpacked.root;
  } catch (error) {
    if (error instanceof LayerRefused) throw bad(`layer ${key}: ${error.message}`);
    throw error;
  }
}

function broken({ contents }: Subject, image: ContentImage, detail: string): Stopped {
  const what = `${contents.source}: ${image.names[0] ?? image.config ?? ''}`;
  return new Stopped({ reason: 'source-bad', problem: 'broken', what, detail });
}

/** A base is unpacked otherwise than what lies on something. */
function keyAt(layer: ContentLayer, i: number): string {
  return `${i === 0 ? 'base ' : ''}${layerKey(layer) ?? ''}`;
}

function keysOf(image: ContentImage): string[] {
  return image.layers.map(keyAt);
}

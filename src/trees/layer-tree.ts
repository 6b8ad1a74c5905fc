import { createHash } from 'node:crypto';
import { digestFromHex, type Digest } from '../model/digest.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import { LayerApplier } from '../oci/layer/apply-layer.ts';
import { LayerError } from '../oci/layer/layer-entry.ts';
import type { DirectoryNode, LeafNode, Node } from '../oci/layer/layer-tree.ts';
import { readTar } from '../oci/tar/reader.ts';
import { TarError } from '../oci/tar/tar-error.ts';
import { displayName, type TreeNode } from './tree-node.ts';

/** A layer as an engine would unpack it, with what its files hash to: in memory is a record for each of its files. */
export interface UnpackedLayer {
  readonly root: TreeNode;
  /** Of its tar. */
  readonly diffId: Digest;
  /** How many, directories among them. */
  readonly files: number;
}

/** A layer that no engine would unpack; a phrase. */
export class LayerRefused extends Error {}

export interface LayerOptions {
  /** Nothing is below it. */
  readonly isBase: boolean;
  /** Who unpacks it. Default: containerd. */
  readonly by?: 'containerd' | 'graph driver';
  /** Files whose bytes are kept, by their paths: for those who look into them. */
  readonly keep?: (path: string) => boolean;
  /** False where nobody will ask what its files hash to. Default: true. */
  readonly digests?: boolean;
}

/** Of all files of a layer together. */
const MOST_KEPT = 64 * 1024 * 1024;

/** Throws a `LayerRefused`, and what the source throws. */
export async function unpackLayer(
  source: AsyncIterable<Uint8Array>,
  options: LayerOptions,
): Promise<UnpackedLayer> {
  const { isBase, by = 'containerd', keep = () => false, digests = true } = options;
  const whole = createHash('sha256');
  const contents = new Map<number, Content>();
  const applier = new LayerApplier({
    ...{ isBase, by },
    time: { seconds: 0, nanoseconds: 0 },
    foresees: true,
  });
  try {
    let member = -1;
    let room = MOST_KEPT;
    for await (const entry of readTar(hashing(decompress(source), whole), { dialect: 'go' })) {
      member += 1;
      const made = applier.take(entry).find(({ type }) => type === 'file');
      if (made === undefined) continue;
      const kept = entry.size <= room && keep(made.path) ? [] : undefined;
      if (kept !== undefined) room -= entry.size;
      else if (!digests) continue;
      contents.set(member, await readContent(entry.content, kept));
    }
    applier.finish();
  } catch (error) {
    if (error instanceof LayerError)
      throw new LayerRefused(
        `${displayName(Buffer.from(error.member).toString('latin1'))}: ${error.detail}`,
      );
    if (error instanceof TarError || error instanceof CompressionError)
      throw new LayerRefused(error.message);
    throw error;
  }
  const links = new Map<Node, number>();
  let files = 0;
  for (const { node } of applier.tree.walk()) {
    files += 1;
    if (node.type !== 'directory') links.set(node, (links.get(node) ?? 0) + 1);
  }
  return {
    root: new LayerDirectory(applier.tree.root, { contents, links }),
    diffId: digestFromHex(whole.digest('hex')),
    files,
  };
}

interface Content {
  readonly digest: string;
  readonly bytes?: Buffer;
}

interface Facts {
  /** By the member of the archive that has it. */
  readonly contents: ReadonlyMap<number, Content>;
  readonly links: ReadonlyMap<Node, number>;
}

async function readContent(
  content: Uint8Array | AsyncIterable<Uint8Array>,
  kept: Buffer[] | undefined,
): Promise<Content> {
  const hash = createHash('sha256');
  for await (const piece of content instanceof Uint8Array ? [content] : content) {
    hash.update(piece);
    kept?.push(Buffer.from(piece));
  }
  const digest = hash.digest('hex');
  return kept === undefined ? { digest } : { digest, bytes: Buffer.concat(kept) };
}

async function* hashing(
  source: AsyncIterable<Uint8Array>,
  hash: { update(bytes: Uint8Array): unknown },
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    hash.update(piece);
    yield piece;
  }
}

abstract class LayerNode {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly #xattrs: ReadonlyMap<string, Uint8Array>;

  constructor({ attributes }: Node) {
    this.mode = attributes.mode;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    this.#xattrs = attributes.xattrs;
  }

  xattrs(): Promise<ReadonlyMap<string, Uint8Array>> {
    return Promise.resolve(this.#xattrs);
  }

  target(): Promise<string> {
    throw new Error('this is no symbolic link');
  }

  digest(): Promise<string> {
    throw new Error('this is no file');
  }
}

class LayerDirectory extends LayerNode implements TreeNode {
  readonly type = 'directory';
  readonly size = 0;
  readonly mtime: TreeNode['mtime'];
  readonly links = 1;
  readonly device = undefined;
  readonly isImplied: boolean;
  readonly inherits: boolean;
  readonly #node: DirectoryNode;
  readonly #facts: Facts;

  constructor(node: DirectoryNode, facts: Facts) {
    super(node);
    this.#node = node;
    this.#facts = facts;
    this.isImplied = !node.isUnpacked;
    this.inherits = node.inherits;
    this.mtime = node.isUnpacked ? node.attributes.mtime : undefined;
  }

  children(): Promise<readonly (readonly [string, TreeNode])[]> {
    const children = [...this.#node.children].map(([name, node]): [string, TreeNode] => [
      name,
      node.type === 'directory'
        ? new LayerDirectory(node, this.#facts)
        : new LayerLeaf(node, this.#facts),
    ]);
    return Promise.resolve(children.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

class LayerLeaf extends LayerNode implements TreeNode {
  readonly type: LeafNode['type'];
  readonly size: number;
  readonly mtime: TreeNode['mtime'];
  readonly links: number;
  readonly device: string | undefined;
  readonly isImplied = false;
  readonly content?: () => AsyncIterable<Uint8Array>;
  readonly #target: string;
  readonly #content: Content | undefined;

  constructor(node: LeafNode, { contents, links }: Facts) {
    super(node);
    const { type, size, attributes, major, minor, target, member } = node;
    this.type = type;
    this.size = size;
    // Whiteouts are made when they are needed.
    this.mtime = member === -1 ? undefined : attributes.mtime;
    this.links = links.get(node) ?? 1;
    this.device =
      type === 'character device' || type === 'block device' ? `${major}:${minor}` : undefined;
    this.#target = target;
    this.#content = contents.get(member);
    const bytes = this.#content?.bytes;
    if (bytes !== undefined)
      this.content = async function* () {
        yield await Promise.resolve(bytes);
      };
  }

  children(): Promise<readonly []> {
    return Promise.resolve([]);
  }

  override target(): Promise<string> {
    return Promise.resolve(this.#target);
  }

  override digest(): Promise<string> {
    return Promise.resolve(this.#content?.digest ?? '');
  }
}

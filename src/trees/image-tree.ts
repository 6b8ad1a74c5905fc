import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import type { Inode } from '../ext4/reader/inode.ts';
import { interruption } from '../model/file-failure.ts';
import { MetDirectories } from './met-directories.ts';
import { need, Stopped } from './stopped.ts';
import type { TreeNode } from './tree-node.ts';
import { displayName } from './tree-node.ts';

/** Milliseconds after which the event loop gets its turn: holes take none, and no signal would be heard. */
const TURN = 50;

/** The tree below an inode of a file system image: a snapshot's `fs`, or all of it. */
export class ImageNode implements TreeNode {
  readonly type: TreeNode['type'];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: TreeNode['mtime'];
  readonly links: number;
  readonly device: string | undefined;
  readonly isImplied = false;
  readonly layer: string | undefined;
  readonly #reader: ImageReader;
  readonly #inode: Inode;
  readonly #signal: AbortSignal;
  /** Of the whole tree. */
  readonly #met: MetDirectories;
  readonly #depth: number;

  /** `within` is absent for the root of a tree. */
  constructor(
    reader: ImageReader,
    inode: Inode,
    signal: AbortSignal,
    layer?: string,
    within?: { readonly met: MetDirectories; readonly depth: number },
  ) {
    this.#reader = reader;
    this.layer = layer;
    this.#inode = inode;
    this.#signal = signal;
    this.#met = within?.met ?? new MetDirectories(reader.path, inode.number);
    this.#depth = within?.depth ?? 0;
    const { type, mode, uid, gid, size, mtime, links, device } = inode;
    this.type = type;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.size = type === 'file' ? size : 0;
    this.mtime = mtime;
    this.links = type === 'directory' ? 1 : links;
    this.device = device === undefined ? undefined : `${device.major}:${device.minor}`;
  }

  async children(): Promise<readonly (readonly [string, TreeNode])[]> {
    if (this.type !== 'directory') return [];
    if (this.#signal.aborted) throw new Stopped(interruption(this.#signal));
    const listed: { readonly name: string; readonly inode: number }[] = [];
    for await (const entry of this.#reader.list(this.#inode)) {
      const { name, inode } = need(entry);
      listed.push({ name: name.toString('latin1'), inode });
    }
    listed.sort((a, b) => (a.name < b.name ? -1 : 1));
    const twice = listed.find(({ name }, i) => listed[i + 1]?.name === name);
    if (twice !== undefined)
      throw this.#met.damaged(
        `directory inode ${this.#inode.number} has the name ${displayName(twice.name)} twice`,
      );
    const within = { met: this.#met, depth: this.#depth + 1 };
    const children: [string, TreeNode][] = [];
    for (const { name, inode } of listed) {
      const found = need(await this.#reader.inode(inode));
      if (found.type === 'directory') this.#met.meet(inode, this.#inode.number, name, within.depth);
      children.push([name, new ImageNode(this.#reader, found, this.#signal, this.layer, within)]);
    }
    return children;
  }

  async xattrs(): Promise<ReadonlyMap<string, Uint8Array>> {
    return need(await this.#reader.xattrs(this.#inode));
  }

  async target(): Promise<string> {
    return need(await this.#reader.readLink(this.#inode)).toString('latin1');
  }

  async digest(): Promise<string> {
    const hash = createHash('sha256');
    for await (const piece of this.content()) hash.update(piece);
    return hash.digest('hex');
  }

  async *content(): AsyncGenerator<Uint8Array> {
    let since = performance.now();
    for await (const piece of this.#reader.readFile(this.#inode)) {
      if (performance.now() - since > TURN) {
        await nextTurn();
        since = performance.now();
      }
      if (this.#signal.aborted) throw new Stopped(interruption(this.#signal));
      yield need(piece);
    }
  }
}

/** The tree at a path of the image; undefined where there is none. Throws `Stopped`. */
export async function imageTreeAt(
  reader: ImageReader,
  path: string,
  signal: AbortSignal,
  layer?: string,
): Promise<TreeNode | undefined> {
  const inode = need(await reader.lookUp(Buffer.from(path), 'keep'));
  return inode === undefined ? undefined : new ImageNode(reader, inode, signal, layer);
}

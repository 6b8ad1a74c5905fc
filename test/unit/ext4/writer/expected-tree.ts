import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Entry } from '../../../../src/ext4/entry.ts';
import { openImage } from '../../../../src/ext4/reader/open-image.ts';
import type { ImageReader } from '../../../../src/ext4/reader/image-reader.ts';
import { must } from './write-image.ts';

/** What is known of one inode, in a form that can be compared. */
export type Known = Readonly<Record<string, unknown>>;

interface Node {
  entry: Exclude<Entry, { type: 'hard link' }>;
  content: string;
}

/** What an image must hold after entries were added to it: the simplest model that can be. */
export class ExpectedTree {
  /** By path, as latin1; names of one inode share their node. */
  readonly #nodes = new Map<string, Node>();

  constructor(epoch: number) {
    const common = { type: 'directory', uid: 0, gid: 0 } as const;
    const mtime = { seconds: epoch, nanoseconds: 0 };
    this.add({ ...common, mtime, path: Buffer.from(''), mode: 0o755 });
    this.add({ ...common, mtime, path: Buffer.from('lost+found'), mode: 0o700 });
  }

  add(entry: Entry, content?: Uint8Array): void {
    const path = latin1(entry.path);
    if (entry.type === 'hard link') {
      const node = this.#nodes.get(latin1(entry.target));
      assert.ok(node !== undefined);
      this.#nodes.set(path, node);
    } else this.#nodes.set(path, { entry, content: sum([content ?? new Uint8Array(0)]) });
  }

  typeAt(path: string): Entry['type'] | undefined {
    return this.#nodes.get(path)?.entry.type;
  }

  isEmpty(path: string): boolean {
    return ![...this.#nodes.keys()].some((name) => name.startsWith(`${path}/`));
  }

  paths(): string[] {
    return [...this.#nodes.keys()];
  }

  /** By path: what it is, with all paths that are the same. */
  known(): Map<string, Known> {
    const names = new Map<Node, string[]>();
    for (const [path, node] of this.#nodes) names.set(node, [...(names.get(node) ?? []), path]);
    return new Map(
      [...this.#nodes].map(([path, node]) => [
        path,
        describe(node.entry, node.content, names.get(node) ?? []),
      ]),
    );
  }
}

/** The same, of an image. */
export async function knownInImage(path: string): Promise<Map<string, Known>> {
  const reader = must(await openImage(path));
  try {
    const found = new Map<string, { entry: Node['entry']; content: string; names: string[] }>();
    for await (const result of reader.walk()) {
      const { entry, inode } = must(result);
      const name = latin1(entry.path);
      if (entry.type !== 'hard link') {
        const content = inode.type === 'file' ? await contentOf(reader, inode) : sum([]);
        found.set(name, { entry, content, names: [name] });
        continue;
      }
      const first = found.get(latin1(entry.target));
      assert.ok(first !== undefined);
      first.names.push(name);
      found.set(name, first);
    }
    return new Map(
      [...found].map(([name, { entry, content, names }]) => [
        name,
        describe(entry, content, names),
      ]),
    );
  } finally {
    await reader.close();
  }
}

async function contentOf(
  reader: ImageReader,
  inode: Parameters<ImageReader['readFile']>[0],
): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of reader.readFile(inode)) pieces.push(Buffer.from(must(piece)));
  return sum(pieces);
}

function describe(entry: Node['entry'], content: string, names: readonly string[]): Known {
  const { mtime, xattrs } = entry;
  return {
    ...{ atime: mtime, ctime: mtime, crtime: mtime },
    ...entry,
    // Told by the names.
    path: '',
    ...('target' in entry ? { target: latin1(entry.target) } : {}),
    xattrs: [...(xattrs ?? [])]
      .map(([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`)
      .sort(),
    content,
    names: [...names].sort(),
  };
}

function sum(pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  let length = 0;
  for (const piece of pieces) {
    hash.update(piece);
    length += piece.length;
  }
  return `${length}:${hash.digest('hex')}`;
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

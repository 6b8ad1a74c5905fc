import type { Attributes, Entry } from '../entry.ts';
import { BlockSet } from './block-set.ts';
import { targetOf } from './content.ts';
import { damaged, unsupported } from './damage.ts';
import type { Listed } from './directory.ts';
import { namesIn } from './directory.ts';
import type { Inode, RawInode } from './inode.ts';
import { readInode } from './inode.ts';
import { ROOT } from './path-lookup.ts';
import type { Volume } from './volume.ts';
import { readXattrs } from './xattrs.ts';

/** An entry of a tree, and the inode whose name it is: what `readFile` takes. */
export interface Walked {
  readonly entry: Entry;
  readonly inode: Inode;
}

/** Far beyond what any path in use has; a tree as deep as an image can be made would take a day to name. */
const LONGEST_PATH = 65535;

/** Names from the root down, each with its directory's: what many share is kept once. */
interface Place {
  readonly above?: Place;
  readonly name: Buffer;
  /** Bytes of the whole path. */
  readonly length: number;
}

interface Level {
  readonly place: Place | undefined;
  /** The next one last. */
  readonly left: Listed[];
}

/**
 * The whole tree, the root first, a directory before what is in it, names in the order of their bytes. Takes memory
 * for the names in the directories that it is in, and for what has several names.
 */
export async function* walkTree(volume: Volume): AsyncGenerator<Walked> {
  const walk = new Walk(volume);
  const root = await readInode(volume, ROOT);
  yield { entry: await walk.entryOf(undefined, root), inode: root.facts };
  const levels: Level[] = [await walk.enter(undefined, root)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const listed = level.left.pop();
    if (listed === undefined) {
      levels.pop();
      continue;
    }
    const inode = await readInode(volume, listed.inode);
    if (listed.type !== undefined && listed.type !== inode.facts.type)
      throw damaged(
        `inode ${inode.number} is a ${inode.facts.type}, and named as a ${listed.type}`,
      );
    const place = below(level.place, listed.name);
    yield { entry: await walk.entryOf(place, inode), inode: inode.facts };
    if (inode.facts.type === 'directory') levels.push(await walk.enter(place, inode));
  }
}

class Walk {
  readonly #volume: Volume;
  readonly #directories = new BlockSet();
  readonly #directoryBlocks = new BlockSet();
  /** Inodes with names still to come: the first one, and how many. */
  readonly #linked = new Map<number, { readonly first: Place; left: number }>();

  constructor(volume: Volume) {
    this.#volume = volume;
  }

  async enter(place: Place | undefined, directory: RawInode): Promise<Level> {
    if (!this.#directories.add(directory.number))
      throw damaged(`directory inode ${directory.number} has two names`);
    const left: Listed[] = [];
    for await (const listed of namesIn(this.#volume, directory, this.#directoryBlocks))
      left.push(listed);
    left.sort((a, b) => b.name.compare(a.name));
    const twice = left.find((listed, i) => left[i + 1]?.name.equals(listed.name) === true);
    if (twice !== undefined)
      throw damaged(
        `directory inode ${directory.number} has the name ${JSON.stringify(twice.name.toString())} twice`,
      );
    return { place, left };
  }

  async entryOf(place: Place | undefined, inode: RawInode): Promise<Entry> {
    const path = pathOf(place);
    const first = place === undefined ? undefined : this.#firstNameOf(place, inode);
    if (first !== undefined) return { type: 'hard link', path, target: pathOf(first) };
    const { type, size, device } = inode.facts;
    const attributes = await this.#attributesOf(inode);
    switch (type) {
      case 'directory':
      case 'fifo':
      case 'socket':
        return { type, path, ...attributes };
      case 'file':
        return { type, path, ...attributes, size };
      case 'symlink':
        return { type, path, ...attributes, target: await targetOf(this.#volume, inode) };
      case 'character device':
      case 'block device':
        return { type, path, ...attributes, ...(device ?? { major: 0, minor: 0 }) };
    }
  }

  /** Undefined where this is it. */
  #firstNameOf(place: Place, inode: RawInode): Place | undefined {
    const { type, links } = inode.facts;
    if (type === 'directory' || links < 2) return undefined;
    const known = this.#linked.get(inode.number);
    if (known === undefined) {
      this.#linked.set(inode.number, { first: place, left: links - 1 });
      return undefined;
    }
    known.left -= 1;
    if (known.left === 0) this.#linked.delete(inode.number);
    return known.first;
  }

  async #attributesOf(inode: RawInode): Promise<Attributes> {
    const { mode, uid, gid, mtime, atime, ctime, crtime } = inode.facts;
    const xattrs = await readXattrs(this.#volume, inode);
    return {
      mode,
      uid,
      gid,
      mtime,
      atime,
      ctime,
      ...(crtime === undefined ? {} : { crtime }),
      ...(xattrs.size === 0 ? {} : { xattrs }),
    };
  }
}

function below(above: Place | undefined, name: Buffer): Place {
  const length = name.length + (above === undefined ? 0 : above.length + 1);
  if (length > LONGEST_PATH) throw unsupported(`paths of more than ${LONGEST_PATH} bytes`);
  return { name, length, ...(above === undefined ? {} : { above }) };
}

function pathOf(place: Place | undefined): Buffer {
  const path = Buffer.alloc(place?.length ?? 0, '/');
  let end = path.length;
  for (let at = place; at !== undefined; at = at.above) {
    at.name.copy(path, end - at.name.length);
    end -= at.name.length + 1;
  }
  return path;
}

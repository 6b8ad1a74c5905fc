import type { Result } from '../../model/result.ts';
import type { Placed, Stretch } from './content.ts';
import { contentOf, placesOf, targetOf } from './content.ts';
import { attempt, attemptEach, damaged } from './damage.ts';
import type { Listed } from './directory.ts';
import { namesIn } from './directory.ts';
import type { ImageFile } from './image-file.ts';
import type { Inode, InodeType, RawInode } from './inode.ts';
import { readInode } from './inode.ts';
import type { Links } from './path-lookup.ts';
import { lookUp, ROOT } from './path-lookup.ts';
import type { ImageFacts, Superblock } from './superblock.ts';
import { Volume } from './volume.ts';
import type { Walked } from './walk.ts';
import { walkTree } from './walk.ts';
import { readXattrs } from './xattrs.ts';

/**
 * A file system in an image, whoever wrote it. Nothing in it is trusted: what contradicts itself ends in the failure
 * `image-corrupt`, what is sound and not known here in `image-unsupported`. Metadata checksums are verified where the
 * file system has them. Calls may overlap. What yields results ends after the first failure.
 */
export class ImageReader {
  readonly path: string;
  readonly facts: ImageFacts;
  readonly #file: ImageFile;
  readonly #volume: Volume;

  /** Use `openImage`. */
  constructor(file: ImageFile, superblock: Superblock) {
    this.path = file.path;
    this.facts = superblock;
    this.#file = file;
    this.#volume = new Volume(file, superblock);
  }

  /** Throws `Unreadable`: for `openImage`. */
  async checkRoot(): Promise<void> {
    const { facts } = await readInode(this.#volume, ROOT);
    if (facts.type !== 'directory') throw damaged(`its root is a ${facts.type}`);
  }

  async root(): Promise<Result<Inode>> {
    return this.inode(ROOT);
  }

  /** By the number that `list` gives. */
  async inode(number: number): Promise<Result<Inode>> {
    return this.#attempt(async () => (await readInode(this.#volume, number)).facts);
  }

  /**
   * From the root, whether the path begins with a slash or not; symbolic links on the way are followed within the
   * image, and a last one as `links` says. Undefined where there is no such path, or links lead in circles.
   */
  async lookUp(path: Uint8Array, links: Links): Promise<Result<Inode | undefined>> {
    return this.#attempt(async () => (await lookUp(this.#volume, path, links))?.facts);
  }

  /** The names in a directory as they lie there, `.` and `..` aside. */
  list(directory: Inode): AsyncIterable<Result<Listed>> {
    return this.#each(directory, 'directory', (inode) => namesIn(this.#volume, inode));
  }

  /**
   * What a file holds, or the stretch of it that is asked for, in pieces of at most 1 MiB that must not be written to;
   * holes are zeros.
   */
  readFile(file: Inode, stretch: Partial<Stretch> = {}): AsyncIterable<Result<Buffer>> {
    const { start = 0, end = Infinity } = stretch;
    return this.#each(file, 'file', (inode) => contentOf(this.#volume, inode, { start, end }));
  }

  /**
   * Where in the image (the file at `path`) what a file holds lies, in its order, for who reads that himself; undefined
   * where it has no blocks of its own. `at` is absent in holes.
   */
  async placesOf(file: Inode): Promise<Result<readonly Placed[] | undefined>> {
    return this.#attempt(async () => {
      const places = await placesOf(this.#volume, await this.#inodeOf(file, 'file'));
      const { start } = this.#file;
      return places?.map(({ length, at }) =>
        at === undefined ? { length } : { length, at: start + at },
      );
    });
  }

  /** Where a symbolic link leads. */
  async readLink(link: Inode): Promise<Result<Buffer>> {
    return this.#attempt(async () => targetOf(this.#volume, await this.#inodeOf(link, 'symlink')));
  }

  /** By full name, with values as `getxattr` gives them. */
  async xattrs(inode: Inode): Promise<Result<ReadonlyMap<string, Buffer>>> {
    return this.#attempt(async () =>
      readXattrs(this.#volume, await readInode(this.#volume, inode.number)),
    );
  }

  /**
   * The whole tree, lost+found too: the root first, a directory before what is in it, names in the order of their
   * bytes; what has several names is a hard link to the first of them from the second on.
   */
  walk(): AsyncIterable<Result<Walked>> {
    return attemptEach(this.#file.path, walkTree(this.#volume));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #attempt<T>(work: () => Promise<T>): Promise<Result<T>> {
    return attempt(this.#file.path, work);
  }

  async *#each<T>(
    of: Inode,
    type: InodeType,
    items: (inode: RawInode) => AsyncIterable<T>,
  ): AsyncGenerator<Result<T>> {
    const inode = await this.#attempt(() => this.#inodeOf(of, type));
    if (!inode.ok) yield inode;
    else yield* attemptEach(this.#file.path, items(inode.value));
  }

  async #inodeOf({ number }: Inode, type: InodeType): Promise<RawInode> {
    const inode = await readInode(this.#volume, number);
    if (inode.facts.type !== type)
      throw new Error(`inode ${number} is a ${inode.facts.type}, not a ${type}`);
    return inode;
  }
}

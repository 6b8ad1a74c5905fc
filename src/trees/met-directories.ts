import { Stopped } from './stopped.ts';

/** As deep as a path that Linux takes can be, of names of one byte. */
export const DEEPEST = 2048;

/**
 * The directories of a walk through a damaged file system, which may hold themselves: each has one place. A walk may be
 * made again, and then meets them where they were.
 */
export class MetDirectories {
  readonly #image: string;
  readonly #places = new Map<number, string>();

  /** `root` is the inode where the walk begins. */
  constructor(image: string, root: number) {
    this.#image = image;
    this.#places.set(root, '');
  }

  /** Throws `Stopped` for a directory that was met elsewhere, or lies too deep. */
  meet(inode: number, parent: number, name: string, depth: number): void {
    const place = `${parent}/${name}`;
    const known = this.#places.get(inode);
    if (known === undefined) this.#places.set(inode, place);
    else if (known !== place) throw this.damaged(`directory inode ${inode} has two names`);
    if (depth > DEEPEST)
      throw this.damaged(`directory inode ${inode} lies below ${DEEPEST} others`);
  }

  damaged(detail: string): Stopped {
    return new Stopped({ reason: 'image-corrupt', image: this.#image, detail });
  }
}

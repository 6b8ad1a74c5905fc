import { NameHashes } from './name-hashes.ts';
import { printable } from '../model/printable.ts';

/** As many as Linux follows. */
const MOST_LINKS = 40;

/** Where a member can't be; `detail` is a phrase. */
export class WrongPlace extends Error {
  constructor(readonly detail: string) {
    super(detail);
  }
}

/** Where a member's directory really is. */
export interface Parent {
  readonly path: string;
  /** The directories on the way that are not there yet, the outermost first. */
  readonly missing: readonly string[];
}

/**
 * What an extraction would have made so far, as far as it decides where the next member goes: an earlier one may have
 * been a symbolic link to its directory. Paths are in latin1, a character a byte. Links are followed within the tree,
 * as a process sees them whose root it is: what is absolute begins there, and no `..` leads out of it.
 */
export class ExtractedTree {
  readonly #directories = new Set<string>(['']);
  readonly #links = new Map<string, string>();
  /** Of everything else, of which there is most. */
  readonly #others = new NameHashes();
  /** Of the path that was followed last, as siblings come together. */
  #followed: { readonly from: string; readonly to: string } | undefined;

  isDirectory(path: string): boolean {
    return this.#directories.has(path);
  }

  addDirectory(path: string): void {
    this.#directories.add(path);
    this.#unlink(path);
  }

  addLink(path: string, target: string): void {
    this.#directories.delete(path);
    this.#links.set(path, target);
    this.#followed = undefined;
  }

  addOther(path: string, bytes: Uint8Array): void {
    this.#others.add(bytes);
    this.#unlink(path);
  }

  /** A further name is a link as well, if what it names is one. */
  addName(path: string, bytes: Uint8Array, of: string): void {
    const target = this.#links.get(of);
    if (target === undefined) this.addOther(path, bytes);
    else if (path !== of) this.addLink(path, target);
  }

  /** `path` with the links on the way to its last part followed. */
  follow(path: string): string {
    const slash = path.lastIndexOf('/');
    if (slash === -1 || this.#links.size === 0) return path;
    const parent = path.slice(0, slash);
    if (this.#directories.has(parent)) return path;
    return `${this.#reach(parent).path}${path.slice(slash)}`.replace(/^\//, '');
  }

  /** Throws a `WrongPlace` where no directory can be. */
  parent(path: string): Parent {
    if (this.#followed?.from === path) return { path: this.#followed.to, missing: [] };
    const reached = this.#reach(path);
    if (reached.missing.length === 0) this.#followed = { from: path, to: reached.path };
    return reached;
  }

  #reach(path: string): Parent {
    const missing: string[] = [];
    let here = '';
    let links = 0;
    /** What is still to go, the next part last; parts of a link's target must be there. */
    const parts = partsOf(path, undefined);
    for (let next = parts.pop(); next !== undefined; next = parts.pop()) {
      const { part, link } = next;
      if (part === '..') {
        here = here.slice(0, Math.max(0, here.lastIndexOf('/')));
        continue;
      }
      const step = here === '' ? part : `${here}/${part}`;
      const target = this.#links.get(step);
      if (target !== undefined) {
        links += 1;
        if (links > MOST_LINKS)
          throw new WrongPlace(`it is below ${quoted(path)}, which leads through too many links`);
        if (target.startsWith('/')) here = '';
        parts.push(...partsOf(target, link ?? step));
        continue;
      }
      if (!this.#directories.has(step)) {
        if (link !== undefined)
          throw new WrongPlace(
            `it is below ${quoted(link)}, a symbolic link to ${quoted(this.#links.get(link) ?? '')}, where no directory is yet`,
          );
        if (this.#others.has(Buffer.from(step, 'latin1')))
          throw new WrongPlace(`it is below ${quoted(step)}, which is no directory`);
        missing.push(step);
      }
      here = step;
    }
    return { path: here, missing };
  }

  #unlink(path: string): void {
    if (this.#links.size > 0 && this.#links.delete(path)) this.#followed = undefined;
  }
}

/** In the order in which they are popped. */
function partsOf(
  path: string,
  link: string | undefined,
): { readonly part: string; readonly link: string | undefined }[] {
  return path
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .reverse()
    .map((part) => ({ part, link }));
}

function quoted(path: string): string {
  return JSON.stringify(printable(Buffer.from(path, 'latin1')));
}

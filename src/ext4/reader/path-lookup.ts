import type { RawInode } from './inode.ts';
import { readInode } from './inode.ts';
import { targetOf } from './content.ts';
import { namesIn } from './directory.ts';
import { findByHash } from './hash-tree.ts';
import { unsupported } from './damage.ts';
import type { Volume } from './volume.ts';

/** What a path's last part may be: `follow` goes on where a symbolic link leads, `keep` gives the link itself. */
export type Links = 'follow' | 'keep';

export const ROOT = 2;
/** As many as Linux follows. */
const MOST_LINKS = 40;
const SLASH = 0x2f;

/**
 * Looks a path up as a process would whose root is the image's: links lead nowhere outside. Undefined where there is
 * no such path, or links lead in circles.
 */
export async function lookUp(
  volume: Volume,
  path: Uint8Array,
  links: Links,
): Promise<RawInode | undefined> {
  /** From the root down to where we are. */
  const above = [await readInode(volume, ROOT)];
  /** Parts to go, the next one last. */
  const parts = split(path).reverse();
  let followed = 0;
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const directory = above.at(-1);
    if (directory?.facts.type !== 'directory') return undefined;
    const name = part.toString('latin1');
    if (name === '.') continue;
    if (name === '..') {
      if (above.length > 1) above.pop();
      continue;
    }
    const found = await find(volume, directory, part);
    if (found === undefined) return undefined;
    if (found.facts.type !== 'symlink' || (parts.length === 0 && links === 'keep')) {
      above.push(found);
      continue;
    }
    followed += 1;
    if (followed > MOST_LINKS) return undefined;
    const target = await targetOf(volume, found);
    if (target[0] === SLASH) above.length = 1;
    parts.push(...split(target).reverse());
  }
  return above.at(-1);
}

async function find(
  volume: Volume,
  directory: RawInode,
  name: Buffer,
): Promise<RawInode | undefined> {
  if (directory.foldsCase) throw unsupported('casefold');
  if (directory.encrypted) throw unsupported('encrypt');
  const found = await findByHash(volume, directory, name);
  if (found !== 'unknown') return found === undefined ? undefined : readInode(volume, found.inode);
  for await (const listed of namesIn(volume, directory))
    if (listed.name.equals(name)) return readInode(volume, listed.inode);
  return undefined;
}

/** A trailing slash says that it must be a directory, as `.` does. */
function split(path: Uint8Array): Buffer[] {
  const parts: Buffer[] = [];
  const bytes = Buffer.from(path);
  for (let at = 0; at < bytes.length;) {
    const slash = bytes.indexOf(SLASH, at);
    const end = slash === -1 ? bytes.length : slash;
    if (end > at) parts.push(bytes.subarray(at, end));
    at = end + 1;
  }
  if (bytes.at(-1) === SLASH) parts.push(Buffer.from('.'));
  return parts;
}

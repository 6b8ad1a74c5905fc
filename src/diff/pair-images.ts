import type { ContentImage } from '../inspect/contents.ts';
import { imageKey } from '../inspect/contents.ts';
import type { TagChange } from './difference.ts';

/** An image of one side and the one of the other side that it is to be compared with. */
export interface Pair {
  readonly from: ContentImage;
  readonly to: ContentImage;
  readonly names: readonly [string, string];
}

export interface Pairing {
  /** Of the same digest. */
  readonly same: readonly Pair[];
  readonly moved: readonly Pair[];
  readonly added: readonly ContentImage[];
  readonly removed: readonly ContentImage[];
  readonly tags: readonly TagChange[];
}

/**
 * Images that belong together: those of one name; then those of one name but for the tag, where there is just one on
 * each side, which is how versions move; then the only ones there are. An image that is on both sides under other names
 * has moved nowhere: its tags have.
 */
export function pairImages(from: readonly ContentImage[], to: readonly ContentImage[]): Pairing {
  const pairs = new Map<string, Pair>();
  const [left, right] = [new Set(from), new Set(to)];
  const paired = { from: new Set<ContentImage>(), to: new Set<ContentImage>() };
  const pair = (a: ContentImage, b: ContentImage, names: readonly [string, string]): void => {
    paired.from.add(a);
    paired.to.add(b);
    const key = `${[...left].indexOf(a)} ${[...right].indexOf(b)}`;
    if (!pairs.has(key)) pairs.set(key, { from: a, to: b, names });
  };
  // The same content first, so that what only has another name is never taken for another version.
  for (const a of from)
    for (const b of to)
      if (isSame(a, b) && a.target === b.target) pair(a, b, [nameOf(a), nameOf(b)]);
  const [a, b] = [byName(from, to), byName(to, from)];
  const tags: TagChange[] = [];
  const moved: [ContentImage, ContentImage, readonly [string, string]][] = [];
  for (const [name, old] of a) {
    const now = b.get(name);
    if (now === undefined || isSame(old, now)) continue;
    if (paired.from.has(old) && paired.to.has(now)) {
      // Both images are on both sides.
      tags.push({ kind: 'removed', name: plain(name), image: keyOf(old) });
      tags.push({ kind: 'added', name: plain(name), image: keyOf(now) });
    } else moved.push([old, now, [plain(name), plain(name)]]);
  }
  for (const [old, now, names] of moved) pair(old, now, names);
  for (const [old, now] of versions(left, right, paired))
    pair(old, now, [nameOf(old), nameOf(now)]);
  const [onlyOld, onlyNew] = [from[0], to[0]];
  if (from.length === 1 && to.length === 1 && onlyOld !== undefined && onlyNew !== undefined)
    if (!paired.from.has(onlyOld)) pair(onlyOld, onlyNew, [nameOf(onlyOld), nameOf(onlyNew)]);
  const all = [...pairs.values()];
  // A name that one side alone has, of an image that both have, or that moved under another name.
  const renamed = new Set(
    all.filter((one) => !isSame(one.from, one.to)).flatMap(({ names }) => names),
  );
  const isTag = (name: string, others: ReadonlyMap<string, unknown>): boolean =>
    !others.has(name) && !renamed.has(plain(name));
  for (const [name, old] of a)
    if (isTag(name, b) && paired.from.has(old))
      tags.push({ kind: 'removed', name: plain(name), image: keyOf(old) });
  for (const [name, now] of b)
    if (isTag(name, a) && paired.to.has(now))
      tags.push({ kind: 'added', name: plain(name), image: keyOf(now) });
  return {
    same: all.filter((one) => isSame(one.from, one.to)),
    moved: all.filter((one) => !isSame(one.from, one.to)),
    added: to.filter((image) => !paired.to.has(image)),
    removed: from.filter((image) => !paired.from.has(image)),
    tags,
  };
}

/** Without what tells it apart from others of the same name. */
function plain(name: string): string {
  return name.split('\0')[0] ?? '';
}

/** By manifest where both sides know it; a config says what an image is as well. */
export function isSame(a: ContentImage, b: ContentImage): boolean {
  if (a.manifest !== undefined && b.manifest !== undefined) return a.manifest === b.manifest;
  return a.config !== undefined && a.config === b.config;
}

export function nameOf(image: ContentImage): string {
  return image.names[0] ?? imageKey(image) ?? '';
}

function keyOf(image: ContentImage): string {
  return imageKey(image) ?? '';
}

/** A name that several images of a side have, of several targets or platforms, is told apart by those. */
function byName(
  images: readonly ContentImage[],
  others: readonly ContentImage[],
): Map<string, ContentImage> {
  const isAmbiguous = (name: string): boolean =>
    [images, others].some((side) => side.filter(({ names }) => names.includes(name)).length > 1);
  const found = new Map<string, ContentImage>();
  for (const image of images)
    for (const name of image.names) {
      const which = image.target ?? image.platform ?? '';
      found.set(isAmbiguous(name) ? `${name}\0${which}` : name, image);
    }
  return found;
}

function* versions(
  from: ReadonlySet<ContentImage>,
  to: ReadonlySet<ContentImage>,
  paired: { readonly from: ReadonlySet<ContentImage>; readonly to: ReadonlySet<ContentImage> },
): Generator<readonly [ContentImage, ContentImage]> {
  const group = (
    images: ReadonlySet<ContentImage>,
    done: ReadonlySet<ContentImage>,
  ): Map<string, ContentImage[]> => {
    const groups = new Map<string, ContentImage[]>();
    for (const image of images) {
      if (done.has(image) || image.names.length === 0) continue;
      const key = `${repositoryOf(nameOf(image))} ${image.target ?? ''}`;
      groups.set(key, [...(groups.get(key) ?? []), image]);
    }
    return groups;
  };
  const now = group(to, paired.to);
  for (const [key, olds] of group(from, paired.from)) {
    const [old, ...more] = olds;
    const [one, ...others] = now.get(key) ?? [];
    if (old !== undefined && one !== undefined && more.length + others.length === 0)
      yield [old, one];
  }
}

/** A colon before the last slash belongs to the registry's port. */
function repositoryOf(name: string): string {
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  return colon === -1 ? name : name.slice(0, colon);
}

import type { Attributes, Content, Entry, FileEntry, HardLinkEntry } from './entry.ts';
import { checkEntry } from './check-entry.ts';
import { writeContent } from './file-content.ts';
import type { ImageState } from './finish-image.ts';
import { sectorsOf } from './finish-image.ts';
import {
  encodeDevice,
  INODE_FLAG,
  INODE_TYPE,
  inodeSeed,
  LONGEST_FAST_LINK,
  OLD_INODE,
  readLinks,
  readPointers,
  writeLinks,
} from './format/inode.ts';
import { FIRST_INODE } from './format/superblock.ts';
import { parseXattrs, placeXattrs, sealXattrBlock } from './format/xattr.ts';
import type { BlockStore, Mapped } from './block-store.ts';
import { MappedBlocks } from './block-store.ts';
import { EntryRefusal } from './refusal.ts';
import { releaseBlocks, releaseXattrBlock } from './release-blocks.ts';
import { LOST_AND_FOUND, ROOT } from './tree.ts';
import type { Place } from './tree.ts';

/** What there is before anything is added: the root, and where e2fsck puts what it finds. */
export function addFirstDirectories(state: ImageState): void {
  const mtime = { seconds: state.settings.epoch, nanoseconds: 0 };
  const common = { type: 'directory', uid: 0, gid: 0, mtime } as const;
  const { tree } = state;
  describe(state, ROOT, { ...common, mode: 0o755 }, NO_BLOCKS);
  tree.setParent(ROOT, ROOT);
  void addEntry(state, { ...common, path: LOST_AND_FOUND, mode: 0o700 });
}

/**
 * Returns a promise where there is something to wait for, which there mostly is not. Throws an `EntryRefusal` where it
 * can't be, and `NoRoom`; so may the promise.
 */
export function addEntry(
  state: ImageState,
  entry: Entry,
  content?: Content,
): Promise<void> | undefined {
  const { settings, store, inodes, tree } = state;
  tree.settle();
  checkEntry(entry, { blockSize: store.blockSize, inodeSize: settings.inodeSize });
  if (content !== undefined && entry.type !== 'file')
    throw new EntryRefusal('it has content and is no file');
  if (entry.path.length === 0) {
    if (entry.type !== 'directory') throw new EntryRefusal('the root can only be a directory');
    describe(state, ROOT, entry, NO_BLOCKS);
    return undefined;
  }
  const place = tree.place(entry.path);
  const old = place.entry === undefined ? undefined : tree.inodeOf(place.entry);
  if (entry.type === 'hard link') return addLink(state, entry, place, old);
  if (old === undefined) return addInode(state, entry, content, place);
  if (entry.type === 'directory' && inodes.isDirectory(old)) {
    describe(state, old, entry, NO_BLOCKS);
    return undefined;
  }
  return removeName(state, old).then(() => addInode(state, entry, content, place));
}

function addInode(
  state: ImageState,
  entry: Exclude<Entry, HardLinkEntry>,
  content: Content | undefined,
  place: Place,
): Promise<void> | undefined {
  const { store, inodes, tree } = state;
  const inode = inodes.allocate();
  const enter = (placed: Placed): Promise<void> | undefined => {
    describe(state, inode, entry, placed);
    if (entry.type === 'directory') tree.setParent(inode, place.directory);
    tree.set(place, inode);
    return store.output.room();
  };
  const seed = inodeSeed(inode, state.settings.checksumSeed);
  if (entry.type !== 'file') return enter(writeBlocks(store, entry, seed));
  const { size } = entry;
  const written = writeContent(store, size, content, seed);
  if (written instanceof Promise) return written.then((mapped) => enter(ofFile(size, mapped)));
  return enter(ofFile(size, written));
}

function ofFile(size: number, { pointers, blocks }: Mapped): Placed {
  return { size, flags: INODE_FLAG.extents, pointers, blocks };
}

const MOST_LINKS = 65000;

/** What its inode says of where the content is; `blocks` are those that it takes. */
interface Placed {
  readonly size: number;
  readonly flags: number;
  readonly pointers: Buffer;
  readonly blocks: number;
}

const NO_BLOCKS: Placed = { size: 0, flags: 0, pointers: Buffer.alloc(0), blocks: 0 };

function addLink(
  state: ImageState,
  { target }: HardLinkEntry,
  place: Place,
  old: number | undefined,
): Promise<void> | undefined {
  const { inodes, tree } = state;
  const { entry } = target.length === 0 ? { entry: undefined } : tree.place(target);
  if (target.length > 0 && entry === undefined)
    throw new EntryRefusal('it is a hard link to what is not there yet');
  const inode = entry === undefined ? ROOT : tree.inodeOf(entry);
  if (inodes.isDirectory(inode)) throw new EntryRefusal('it is a hard link to a directory');
  if (inode === old) return undefined;
  const fields = inodes.fields(inode);
  const links = readLinks(fields);
  if (links === MOST_LINKS)
    throw new EntryRefusal(
      `what it is a hard link to has ${MOST_LINKS} names, and they are the most`,
    );
  const enter = (): void => {
    writeLinks(fields, links + 1);
    tree.set(place, inode);
  };
  if (old !== undefined) return removeName(state, old).then(enter);
  enter();
  return undefined;
}

/** Takes one name from an inode, and everything with the last. */
async function removeName({ store, inodes, tree }: ImageState, inode: number): Promise<void> {
  const fields = inodes.fields(inode);
  if (inodes.isDirectory(inode)) {
    if (inode === FIRST_INODE)
      throw new EntryRefusal('it would take the place of lost+found, which e2fsck needs');
    if (!tree.isEmpty(inode))
      throw new EntryRefusal('it would take the place of a directory that is not empty');
    tree.forget();
  } else if (readLinks(fields) > 1) {
    writeLinks(fields, readLinks(fields) - 1);
    return;
  }
  await releaseBlocks(store, fields);
  inodes.release(inode);
}

function writeBlocks(
  store: BlockStore,
  entry: Exclude<Entry, HardLinkEntry | FileEntry>,
  seed: number,
): Placed {
  switch (entry.type) {
    case 'symlink': {
      const size = entry.target.length;
      if (size <= LONGEST_FAST_LINK)
        return { ...NO_BLOCKS, size, pointers: Buffer.from(entry.target) };
      const block = Buffer.alloc(store.blockSize);
      block.set(entry.target);
      const blocks = new MappedBlocks(store, seed);
      blocks.append(block);
      return ofFile(size, blocks.end());
    }
    case 'character device':
    case 'block device':
      return { ...NO_BLOCKS, pointers: encodeDevice(entry.major, entry.minor) };
    case 'directory':
    case 'fifo':
    case 'socket':
      return NO_BLOCKS;
  }
}

/** Writes an inode's fields; of a directory that is there, everything but what is in it. */
function describe(
  state: ImageState,
  inode: number,
  entry: Attributes & { readonly type: Exclude<Entry['type'], 'hard link'> },
  placed: Placed,
): void {
  const { store, inodes } = state;
  const fields = inodes.fields(inode);
  releaseXattrBlock(store, fields);
  const { xattrBlock, body } = writeXattrs(state, entry.xattrs);
  const { mtime } = entry;
  inodes.describe(
    inode,
    {
      mode: INODE_TYPE[entry.type].mode | entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtime,
      atime: entry.atime ?? mtime,
      ctime: entry.ctime ?? mtime,
      crtime: entry.crtime ?? mtime,
      xattrBlock,
      size: placed.size,
      flags: placed.flags,
      // Of a directory they tell what is in it until it is written.
      pointers: entry.type === 'directory' ? Buffer.from(readPointers(fields)) : placed.pointers,
      // Directories' own are counted when they are written.
      links: 1,
      sectors: sectorsOf(placed.blocks + (xattrBlock === 0 ? 0 : 1), store.blockSize),
    },
    body,
  );
}

/** What is in the inode of them, and the block for those that don't fit into it, or 0. */
function writeXattrs(
  { settings, store }: ImageState,
  xattrs: ReadonlyMap<string, Uint8Array> | undefined,
): { readonly xattrBlock: number; readonly body: Uint8Array | undefined } {
  if (xattrs === undefined || xattrs.size === 0) return { xattrBlock: 0, body: undefined };
  const parsed = parseXattrs(xattrs);
  if (typeof parsed === 'string') throw new EntryRefusal(parsed);
  const room = settings.inodeSize - OLD_INODE - settings.extraInodeSize;
  const placed = placeXattrs(parsed, room, store.blockSize);
  if (placed === undefined)
    throw new EntryRefusal(
      `its extended attributes are more than its inode (${room} bytes) and one block (${store.blockSize} bytes) hold`,
    );
  const { block, body } = placed;
  if (block === undefined) return { xattrBlock: 0, body };
  const xattrBlock = store.writeBlock((at) => {
    sealXattrBlock(block, at, settings.checksumSeed);
    return block;
  });
  return { xattrBlock, body };
}

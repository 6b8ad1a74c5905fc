import { damaged } from './damage.ts';
import type { RawInode } from './inode.ts';
import { pointersOf } from './inode.ts';
import { xattrsInInode } from './xattr-entries.ts';

/** `system.data`: the prefix `system.`, and the name. */
export const INLINE = { index: 7, name: 'data' } as const;

/**
 * The content that an inode holds itself: its first 60 bytes where pointers would be, the rest in an extended
 * attribute (Linux, Documentation/filesystems/ext4/inlinedata.rst).
 */
export function inlineParts(inode: RawInode): readonly [Buffer, Buffer] {
  const rest = xattrsInInode(inode).find(
    ({ index, name }) => index === INLINE.index && name === INLINE.name,
  );
  if (rest === undefined || !Buffer.isBuffer(rest.value))
    throw damaged(`inode ${inode.number} has inline data without its attribute`);
  return [pointersOf(inode), rest.value];
}

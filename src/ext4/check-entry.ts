import type { Attributes, Entry, Timestamp } from './entry.ts';
import { EARLIEST, LATEST, LATEST_OLD, OLD_INODE } from './format/inode.ts';
import { EntryRefusal } from './refusal.ts';

const MOST_NUMBER = 2 ** 32 - 1;
const LONGEST_LINK = 4095;
const MOST_MAJOR = 2 ** 12 - 1;
const MOST_MINOR = 2 ** 20 - 1;
/** Extents count blocks in 32 bits, and the last number stands for none. */
const MOST_FILE_BLOCKS = 2 ** 32 - 1;
/** 2310-04-04 to 2378-04-22 (e2fsprogs, e2fsck/pass1.c): it would change them. */
const SUSPECT = { from: 5 * 2 ** 31, to: 6 * 2 ** 31 - 1 };
const TIMES = ['mtime', 'atime', 'ctime', 'crtime'] as const;

/** Throws an `EntryRefusal` on what no inode of that size, in blocks of that size, can hold. */
export function checkEntry(
  entry: Entry,
  { blockSize, inodeSize }: { readonly blockSize: number; readonly inodeSize: number },
): void {
  switch (entry.type) {
    case 'hard link':
      return;
    case 'file':
      checkNumber('size', entry.size, Number.MAX_SAFE_INTEGER);
      if (entry.size > MOST_FILE_BLOCKS * blockSize)
        throw new EntryRefusal(
          `it has ${entry.size} bytes, and ${MOST_FILE_BLOCKS * blockSize} are the most`,
        );
      break;
    case 'symlink':
      checkLink(entry.target, Math.min(LONGEST_LINK, blockSize - 1));
      break;
    case 'character device':
    case 'block device':
      checkNumber('major number', entry.major, MOST_MAJOR);
      checkNumber('minor number', entry.minor, MOST_MINOR);
      break;
    case 'directory':
    case 'fifo':
    case 'socket':
  }
  checkAttributes(entry, inodeSize);
}

function checkAttributes(attributes: Attributes, inodeSize: number): void {
  checkNumber('mode', attributes.mode, 0o7777);
  checkNumber('uid', attributes.uid, MOST_NUMBER);
  checkNumber('gid', attributes.gid, MOST_NUMBER);
  for (const which of TIMES) {
    const time = attributes[which];
    if (time !== undefined) checkTime(which, time, inodeSize === OLD_INODE ? LATEST_OLD : LATEST);
  }
}

function checkTime(which: string, { seconds, nanoseconds }: Timestamp, latest: number): void {
  checkNumber(`${which}'s nanoseconds`, nanoseconds, 999_999_999);
  if (!Number.isSafeInteger(seconds) || seconds < EARLIEST || seconds > latest)
    throw new EntryRefusal(
      `its ${which} is ${seconds} seconds since 1970, and ${EARLIEST} to ${latest} can be kept`,
    );
  if (seconds >= SUSPECT.from && seconds <= SUSPECT.to)
    throw new EntryRefusal(
      `its ${which} is ${seconds} seconds since 1970, and e2fsck takes ${SUSPECT.from} to ${SUSPECT.to} for times before 1970 that an old Linux wrote wrongly`,
    );
}

function checkLink(target: Uint8Array, most: number): void {
  if (target.length === 0) throw new EntryRefusal('it is a symbolic link to nothing');
  if (target.includes(0)) throw new EntryRefusal("its link's target contains a NUL");
  if (target.length > most)
    throw new EntryRefusal(
      `its link's target has ${target.length} bytes, and ${most} are the most`,
    );
}

function checkNumber(what: string, value: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < 0 || value > most)
    throw new EntryRefusal(`its ${what} is ${value}, and 0 to ${most} can be kept`);
}

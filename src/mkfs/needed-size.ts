import type { Entry } from '../ext4/entry.ts';
import type { ImageOptions } from '../ext4/image-writer.ts';
import { chosenJournal } from '../model/ext4-journal.ts';

const MIB = 1024 * 1024;
/** Symbolic links up to this many bytes are in their inode. */
const FAST_LINK = 59;
const OLD_INODE = 160;

/**
 * How large a file system must be for all that was added: for the message, where the size that was given does not do.
 * Blocks that are zero count like others, since nobody has looked, so it is rather too much.
 */
export class NeededSize {
  readonly #options: ImageOptions;
  readonly #blockSize: number;
  readonly #inodeSize: number;
  #blocks = 0;
  #inodes = 11;
  #names = 0;

  constructor(options: ImageOptions) {
    this.#options = options;
    this.#blockSize = options.blockSize ?? 4096;
    this.#inodeSize = options.inodeSize ?? 256;
  }

  add(entry: Entry): void {
    const { length } = entry.path;
    // A directory's blocks are not always full.
    this.#names += (12 + length - entry.path.lastIndexOf(0x2f)) * 1.5;
    if (entry.type === 'hard link') return;
    this.#inodes += 1;
    if (entry.type === 'file') this.#blocks += Math.ceil(entry.size / this.#blockSize);
    else if (entry.type === 'directory') this.#blocks += 1;
    else if (entry.type === 'symlink' && entry.target.length > FAST_LINK) this.#blocks += 1;
    let attributes = 0;
    for (const [name, value] of entry.xattrs ?? []) attributes += 16 + name.length + value.length;
    if (attributes > this.#inodeSize - OLD_INODE) this.#blocks += 1;
  }

  /** Bytes: whole MiB. */
  get bytes(): number {
    const content = this.#blocks * this.#blockSize + this.#names;
    // What the file system itself takes depends on how large it is.
    let bytes = content;
    for (let round = 0; round < 8; round++) bytes = content + this.#overhead(bytes);
    return Math.ceil((bytes * 1.01) / MIB + 1) * MIB;
  }

  #overhead(bytes: number): number {
    const { journal, inodes = 0, growTo = 1000 * bytes } = this.#options;
    const groupSize = this.#blockSize * this.#blockSize * 8;
    const groups = Math.ceil(bytes / groupSize);
    const tables = Math.max(this.#inodes, inodes, bytes / (16 * 1024)) * this.#inodeSize;
    const chosen = chosenJournal(bytes / this.#blockSize, this.#blockSize);
    const descriptors = Math.ceil((growTo / groupSize) * 64);
    const heads = Math.min(descriptors, (this.#blockSize / 4) * this.#blockSize);
    // A superblock and its descriptors in the groups 0, 1 and the powers of 3, 5 and 7.
    const copies = Math.min(groups, 2 + Math.log2(groups) * 1.5);
    return (
      tables +
      (journal ?? chosen * this.#blockSize) +
      copies * (heads + 2 * this.#blockSize) +
      groups * 2 * this.#blockSize
    );
  }
}

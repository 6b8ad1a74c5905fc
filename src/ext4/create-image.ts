import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Failure } from '../model/failure.ts';
import { printable } from '../model/printable.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { addEntry, addFirstDirectories } from './add-entry.ts';
import { BlockAllocator } from './block-allocator.ts';
import { BlockStore } from './block-store.ts';
import type { Content, Entry } from './entry.ts';
import type { ImageState } from './finish-image.ts';
import { finishImage } from './finish-image.ts';
import { OLD_INODE } from './format/inode.ts';
import { ImageOutput } from './image-output.ts';
import type { Finished, ImageOptions, ImageWriter } from './image-writer.ts';
import { InodeStore } from './inode-store.ts';
import { NameIndex } from './name-index.ts';
import { PageFile } from './page-file.ts';
import { blocksIn } from './plan-image.ts';
import { attempt, EntryRefusal, NoRoom, Refusal, writing } from './refusal.ts';
import type { Settings } from './settings.ts';
import { settle } from './settings.ts';
import { Tree } from './tree.ts';

/**
 * Begins an image that will be at `path`, whatever is there: until `finish` it lies in the same directory under a name
 * of its own. Fails with `invalid-option` (named as in `ImageOptions`), `no-space` or `access-denied`.
 */
export async function createImage(
  path: string,
  options: ImageOptions,
): Promise<Result<ImageWriter>> {
  const settings = settle(options);
  if (!settings.ok) return settings;
  return attempt(async () => {
    const temporary = join(dirname(path), `.stowage-${randomBytes(8).toString('hex')}.ext4`);
    const handle = await writing(path, () => open(temporary, 'wx+'));
    const writer = new Ext4Writer(path, temporary, handle, settings.value);
    try {
      writer.begin();
    } catch (error) {
      await writer.abandon();
      throw error;
    }
    return writer;
  });
}

const DONE = ok(undefined);

class Ext4Writer implements ImageWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  readonly #state: ImageState;
  readonly #pages: { readonly inodes: PageFile; readonly names: PageFile };
  /** What may be called next. */
  #stage: 'ready' | 'busy' | 'failed' | 'ended' = 'ready';

  constructor(path: string, temporary: string, handle: FileHandle, settings: Settings) {
    this.#path = path;
    this.#temporary = temporary;
    this.#handle = handle;
    const { geometry, size, inodeSize, extraInodeSize } = settings;
    this.#pages = { inodes: new PageFile(path), names: new PageFile(path) };
    const limit = size === 'auto' ? Infinity : blocksIn(geometry, size);
    const output = new ImageOutput(handle, path);
    const inodes = new InodeStore(inodeSize, OLD_INODE + extraInodeSize, this.#pages.inodes);
    const names = new NameIndex(this.#pages.names);
    const allocator = new BlockAllocator(geometry, limit);
    const store = new BlockStore(geometry.blockSize, allocator, output);
    this.#state = { settings, store, inodes, tree: new Tree(inodes, names) };
  }

  begin(): void {
    addFirstDirectories(this.#state);
  }

  async add(entry: Entry, content?: Content): Promise<Result<void>> {
    return this.addNow(entry, content);
  }

  addNow(entry: Entry, content?: Content): Result<void> | Promise<Result<void>> {
    this.#begin();
    try {
      const added = addEntry(this.#state, entry, content);
      if (added !== undefined) return this.#added(added, entry);
    } catch (error) {
      return this.#refused(error, entry);
    }
    this.#stage = 'ready';
    return DONE;
  }

  async finish(): Promise<Result<Finished>> {
    this.#begin();
    let written: Finished;
    try {
      written = await finishImage(this.#state);
      await writing(this.#path, async () => {
        await this.#handle.truncate(written.size);
        if (this.#state.settings.sync) await this.#handle.sync();
        await rename(this.#temporary, this.#path);
      });
    } catch (error) {
      return this.#refused(error);
    }
    this.#stage = 'ended';
    this.#closePages();
    await this.#handle.close();
    if (!this.#state.settings.sync) return ok(written);
    return attempt(async () => {
      await writing(this.#path, () => syncDirectory(dirname(this.#path)));
      return written;
    });
  }

  async abandon(): Promise<void> {
    if (this.#stage === 'ended') return;
    this.#stage = 'ended';
    // What is under way needs the handle; what became of it is of no interest.
    await this.#state.store.output.flush().catch(() => undefined);
    this.#closePages();
    await this.#handle.close();
    await rm(this.#temporary, { force: true });
  }

  #closePages(): void {
    this.#pages.inodes.close();
    this.#pages.names.close();
  }

  #begin(): void {
    if (this.#stage !== 'ready') throw new Error(`an image's writer is used while ${this.#stage}`);
    this.#stage = 'busy';
  }

  async #added(added: Promise<void>, entry: Entry): Promise<Result<void>> {
    try {
      await added;
    } catch (error) {
      return this.#refused(error, entry);
    }
    this.#stage = 'ready';
    return DONE;
  }

  /** What ended the work, as a failure; throws what is none. `entry` is what was being added. */
  #refused(error: unknown, entry?: Entry): Result<never> {
    this.#stage = 'failed';
    if (error instanceof Refusal) return fail(error.failure);
    if (error instanceof NoRoom) return fail(this.#noSpace(error));
    if (!(error instanceof EntryRefusal) || entry === undefined) throw error;
    return fail({
      reason: 'entry-refused',
      image: this.#path,
      entry: printable(entry.path),
      detail: error.detail,
    });
  }

  #noSpace({ needed }: NoRoom): Failure {
    const { size } = this.#state.settings;
    return {
      reason: 'no-space',
      where: this.#path,
      ...(needed === undefined ? {} : { needed }),
      ...(size === 'auto' ? {} : { available: size }),
    };
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

import type { Stats } from 'node:fs';
import { existsSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Context } from '../model/event.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import { parsePins } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { openImage } from '../ext4/reader/open-image.ts';
import { ArchiveMembers } from './archive-members.ts';
import { readArchiveContent } from './archive-content.ts';
import type { Blobs } from './blobs.ts';
import type { Contents } from './contents.ts';
import type { DataImage, DataImageOptions } from './data-image.ts';
import { openDataImage } from './data-image.ts';
import { readLayout } from './file-blobs.ts';
import { readPinsContent } from './pins-content.ts';
import { readStoreContent } from './store-content.ts';
import { untilStopped } from '../trees/stopped.ts';

/** Something that holds images, of whatever kind. Close it. */
export interface Subject {
  readonly contents: Contents;
  /** Configs and layers; undefined of pins, which name them only. */
  readonly blobs?: Blobs;
  /** Of data images, whose layers are unpacked. */
  readonly dataImage?: DataImage;
  close(): Promise<void>;
}

/**
 * Opens a data image, pins, a store, an OCI layout or an archive: what it is it tells by its content, not by its name.
 * Fails with `invalid-document` for what is none of them, `source-bad` for a damaged archive, and as the reader of
 * each kind does.
 */
export async function openSubject(
  source: string,
  options: DataImageOptions,
  context: Context,
): Promise<Result<Subject>> {
  const path = resolve(source);
  let found: Stats;
  try {
    found = await stat(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return unknown(source, 'there is no such file');
    return fail(fileFailure(error, source, 'looking at it'));
  }
  if (options.place !== undefined) return openAsImage(path, source, options, context);
  if (found.isDirectory()) return openDirectory(path, source, context);
  if (!found.isFile() && !found.isBlockDevice()) return unknown(source, 'this is no file');
  const head = await readHead(path, source);
  if (!head.ok) return head;
  switch (kindOf(head.value)) {
    case 'ext4':
      return openAsImage(path, source, options, context);
    case 'disk':
      return choosePartition(path);
    case 'JSON':
      return openPins(path, source);
    case 'tar':
      return openArchive(path, source, context);
    case undefined:
      return unknown(source, NONE_OF_THEM);
  }
}

const NONE_OF_THEM = 'it is no data image, no pins, no archive of images, no layout and no store';
/** The superblock's magic is at 1080, a tar's at 257, a GUID partition table's behind one sector of 512 or 4096. */
const HEAD = 4096 + 8;

async function readHead(path: string, source: string): Promise<Result<Buffer>> {
  try {
    const file = await open(path, 'r');
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
      return ok(buffer.subarray(0, bytesRead));
    } finally {
      await file.close();
    }
  } catch (error) {
    return fail(fileFailure(error, source, 'reading it'));
  }
}

function kindOf(head: Buffer): 'ext4' | 'disk' | 'JSON' | 'tar' | undefined {
  if (head.length >= 1082 && head.readUInt16LE(1080) === 0xef53) return 'ext4';
  const at = (offset: number, text: string): boolean =>
    head.toString('latin1', offset, offset + text.length) === text;
  if (at(512, 'EFI PART') || at(4096, 'EFI PART')) return 'disk';
  if (/^(?:\uFEFF|\s)*\{/.test(head.toString('utf8'))) return 'JSON';
  const magic = head.toString('hex', 0, 4);
  if (at(257, 'ustar') || magic.startsWith('1f8b') || magic === '28b52ffd') return 'tar';
  return undefined;
}

async function openAsImage(
  path: string,
  source: string,
  options: DataImageOptions,
  { signal }: Context,
): Promise<Result<Subject>> {
  const image = await openDataImage(path, source, options, signal);
  if (!image.ok) return image;
  const { contents, blobs } = image.value;
  return ok({ contents, blobs, dataImage: image.value, close: () => image.value.close() });
}

/** A whole disk has file systems enough: whoever asks says which. */
async function choosePartition(path: string): Promise<Result<never>> {
  const opened = await openImage(path, { partition: '' });
  if (opened.ok) await opened.value.close();
  else if (opened.failure.reason !== 'partition-missing') return opened;
  const present =
    !opened.ok && opened.failure.reason === 'partition-missing' ? opened.failure.present : [''];
  return fail({
    reason: 'invalid-option',
    option: '--partition',
    value: '',
    expected: `the name of one of the disk image's partitions: ${present.join(', ')}`,
  });
}

async function openDirectory(
  path: string,
  source: string,
  { signal }: Context,
): Promise<Result<Subject>> {
  if (existsSync(join(path, 'stowage-store.json'))) {
    const store = await untilStopped(() => readStoreContent(path, signal));
    if (!store.ok) return store;
    if (!store.value.ok) return store.value;
    const { contents, blobs } = store.value.value;
    return ok({ contents: { ...contents, source }, blobs, close: nothingOpen });
  }
  if (!existsSync(join(path, 'oci-layout')) || !existsSync(join(path, 'index.json')))
    return unknown(source, 'this directory is neither a store nor an OCI layout');
  const layout = await untilStopped(() => readLayout(path, source, signal));
  if (!layout.ok) return layout;
  const { kind, images, blobs } = layout.value;
  return ok({ contents: { kind, source, images, files: [] }, blobs, close: nothingOpen });
}

async function openPins(path: string, source: string): Promise<Result<Subject>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    return fail(fileFailure(error, source, 'reading the pins'));
  }
  const pins = parsePins(text, source);
  if (!pins.ok) return pins;
  return ok({ contents: readPinsContent(pins.value, source), close: nothingOpen });
}

async function openArchive(
  path: string,
  source: string,
  { signal }: Context,
): Promise<Result<Subject>> {
  const read = await untilStopped(async () =>
    readArchiveContent(await ArchiveMembers.open(path, signal), source),
  );
  if (!read.ok) return read;
  const { kind, images, blobs } = read.value;
  return ok({ contents: { kind, source, images, files: [] }, blobs, close: nothingOpen });
}

function unknown(file: string, detail: string): Result<never> {
  return fail({ reason: 'invalid-document', kind: 'content', file, problems: [{ detail }] });
}

async function nothingOpen(): Promise<void> {
  // Files are opened when they are read.
}

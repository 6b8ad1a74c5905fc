import type { Stats } from 'node:fs';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Context } from '../model/event.ts';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import { parsePins } from '../model/pins-document.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { ArchiveMembers } from './archive-members.ts';
import { readArchiveContent } from './archive-content.ts';
import type { Blobs } from './blobs.ts';
import type { Contents } from './contents.ts';
import type { DataImage, DataImageOptions } from './data-image.ts';
import { openDataImage } from './data-image.ts';
import { checkPlace, choosePartition, fileKind } from './file-kind.ts';
import { readLayout } from './file-blobs.ts';
import { TREE_OF_DATA, usualDatabases } from './find-data-root.ts';
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
  if (options.place !== undefined) {
    const checked = await checkPlace(path, options.place);
    return checked.ok ? openAsImage(path, source, options, context) : checked;
  }
  if (found.isDirectory()) return openDirectory(path, source, context);
  if (!found.isFile() && !found.isBlockDevice()) return unknown(source, 'this is no file');
  const kind = await fileKind(path, source);
  if (!kind.ok) return kind;
  switch (kind.value.kind) {
    case 'ext4':
      return openAsImage(path, source, options, context);
    case 'disk':
      return choosePartition(path);
    case 'JSON':
      return openPins(path, source);
    case 'tar':
      return openArchive(path, source, context);
    case 'other':
      return unknown(source, kind.value.looksLike ?? NONE_OF_THEM);
  }
}

const NONE_OF_THEM = 'it is no data image, no pins, no archive of images, no layout and no store';
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
  if (usualDatabases().some((database) => existsSync(join(path, database))))
    return unknown(source, `this directory is ${TREE_OF_DATA}`);
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

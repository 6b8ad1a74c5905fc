import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, readdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { BlobBad } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { BlobMismatch } from '../oci/blob-entries.ts';
import type {
  ArchivedContent,
  ArchivedImage,
  ArchivedSignature,
  StoreArchive,
} from '../oci/store-archive.ts';
import { writeStoreArchive } from '../oci/store-archive.ts';
import { syncDirectory } from './content.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import type { Inventory } from './inventory.ts';
import { blobsNeeded, takeInventory } from './inventory.ts';
import { noteUse } from './last-use.ts';
import type { Store } from './store.ts';

/** What pins want of a store. */
export interface Selection {
  readonly images: readonly SelectedImage[];
  readonly files: readonly SelectedFile[];
}

export interface SelectedImage extends Omit<ArchivedImage, 'signatures'> {
  /** Its name in the bundle. */
  readonly owner: string;
  /** All it consists of, the manifest too. */
  readonly blobs: readonly Descriptor[];
  /** Left out where the store does not have it: the loader's image for other builders. */
  readonly optional: boolean;
}

export interface SelectedFile extends ArchivedContent {
  /** Path on the partition. */
  readonly path: string;
  /** Left out where the store does not have it: the bundle itself has it. */
  readonly optional: boolean;
}

export interface Exported {
  readonly images: readonly string[];
  readonly files: number;
  /** Bytes of blobs and files. */
  readonly bytes: number;
}

/**
 * Writes what was selected, or all that the store has, into one file: hashed on the way, synced, renamed into place.
 * The same content gives the same bytes. Fails with blob-bad, store-damaged (an image that is not whole),
 * invalid-option (no such directory), access-denied, no-space and interrupted; then `output` is as it was.
 */
export async function exportStore(
  store: Store,
  selection: Selection | undefined,
  output: string,
  options: { readonly dryRun: boolean },
  context: Context,
): Promise<Result<Exported>> {
  const inventory = await takeInventory(store);
  if (!inventory.ok) return inventory;
  const chosen =
    selection === undefined
      ? chooseAll(store, inventory.value)
      : chooseSelected(store, inventory.value, selection);
  if (!chosen.ok) return chosen;
  const archive = await withContents(store, inventory.value, chosen.value);
  const bytes = [...archive.blobs, ...archive.files].reduce((sum, { size }) => sum + size, 0);
  const images = archive.images.map(({ name }) => name);
  const done = ok({ images, files: archive.files.length, bytes });
  if (options.dryRun) return done;
  for (const { digest } of archive.blobs) await noteUse(store, 'blobs', digest);
  for (const { digest } of archive.files) await noteUse(store, 'files', digest);
  const written = await writeExport(store, archive, bytes, output, context);
  if (written.ok || written.failure.reason !== 'blob-bad') return written.ok ? done : written;
  const { digest } = written.failure;
  const users = inventory.value.images.filter(({ blobs }) =>
    blobs.some((blob) => blob.digest === digest),
  );
  const owner = users.map(({ name }) => name).join(', ');
  return fail(owner === '' ? written.failure : { ...written.failure, owner });
}

interface Chosen {
  readonly images: readonly Omit<ArchivedImage, 'signatures'>[];
  readonly blobs: readonly Digest[];
  readonly files: readonly Digest[];
}

function chooseAll(store: Store, { images, files }: Inventory): Result<Chosen> {
  const findings = images.flatMap(({ name, problem }) =>
    problem === undefined ? [] : [`${name}: ${problem}`],
  );
  if (findings.length > 0)
    return fail({ reason: 'store-damaged', store: store.directory, findings });
  return ok({
    images: images.map(({ name, manifest: digest, mediaType, blobs }) => ({
      name,
      manifest: { digest, mediaType, size: blobs[0]?.size ?? 0 },
    })),
    blobs: images.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)),
    files: [...files.keys()],
  });
}

function chooseSelected(store: Store, inventory: Inventory, selection: Selection): Result<Chosen> {
  const bad = (digest: Digest, owner: string): Result<never> =>
    fail({ reason: 'blob-bad', problem: 'missing', digest, owner, store: store.directory });
  const images = new Map<string, SelectedImage>();
  for (const image of selection.images) {
    const missing = image.blobs.find(({ digest }) => !inventory.blobs.has(digest));
    if (missing === undefined) images.set(`${image.name}@${image.manifest.digest}`, image);
    else if (!image.optional) return bad(missing.digest, image.owner);
  }
  const files = new Set<Digest>();
  for (const { digest, path, optional } of selection.files) {
    if (inventory.files.has(digest)) files.add(digest);
    else if (!optional) return bad(digest, path);
  }
  return ok({
    images: [...images.values()],
    blobs: [...images.values()].flatMap(({ blobs }) => blobs.map(({ digest }) => digest)),
    files: [...files],
  });
}

/** With what belongs to the images besides: indexes that were kept, signatures. */
async function withContents(
  store: Store,
  inventory: Inventory,
  chosen: Chosen,
): Promise<StoreArchive> {
  const manifests = new Set(chosen.images.map(({ manifest }) => manifest.digest));
  const theirs = inventory.images.filter(({ manifest }) => manifests.has(manifest));
  const needed = await blobsNeeded(store, inventory, theirs);
  const blobs = [...new Set([...chosen.blobs, ...needed])];
  const images: ArchivedImage[] = [];
  for (const { name, manifest } of chosen.images) {
    const layout = store.imagePath(name, manifest.digest);
    images.push({ name, manifest, signatures: await readSignatures(join(layout, 'signatures')) });
  }
  return {
    images,
    blobs: blobs.flatMap((digest) => inventory.blobs.get(digest) ?? []),
    files: chosen.files.flatMap((digest) => inventory.files.get(digest) ?? []),
  };
}

async function readSignatures(directory: string): Promise<ArchivedSignature[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
    () => [],
  );
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)));
  const signatures: ArchivedSignature[] = [];
  for (const path of paths.sort())
    signatures.push({ path, content: (await readFile(join(directory, path))).toString('base64') });
  return signatures;
}

async function writeExport(
  store: Store,
  archive: StoreArchive,
  bytes: number,
  output: string,
  context: Context,
): Promise<Result<void>> {
  const directory = dirname(output);
  const free = await statfs(directory).catch(() => undefined);
  const available = free === undefined ? undefined : free.bavail * free.bsize;
  if (available !== undefined && available < bytes)
    return fail({ reason: 'no-space', where: directory, needed: bytes, available });
  const staged = join(directory, `.${basename(output)}.${randomUUID()}`);
  try {
    const tar = writeStoreArchive(
      archive,
      (digest) => store.blobPath(digest),
      (digest) => store.filePath(digest),
    );
    await pipeline(tar, createWriteStream(staged, { flags: 'wx', mode: 0o644 }), {
      signal: context.signal,
    });
    const handle = await open(staged, 'r');
    await handle.sync().finally(() => handle.close());
    await rename(staged, output);
    await syncDirectory(directory);
    return ok();
  } catch (error) {
    await rm(staged, { force: true }).catch(() => undefined);
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (error instanceof BlobMismatch) return fail(badBlob(store, error));
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(errorCode(error) ?? ''))
      return fail({
        reason: 'invalid-option',
        option: '--output',
        value: output,
        expected: 'a file in a directory that exists',
      });
    const failure = fileFailure(error, directory, 'writing the export');
    return fail(failure.reason === 'no-space' ? { ...failure, needed: bytes } : failure);
  }
}

function badBlob(store: Store, { digest, problem }: BlobMismatch): BlobBad {
  return { reason: 'blob-bad', problem, digest, owner: 'the export', store: store.directory };
}

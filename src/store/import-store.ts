import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, hexOf } from '../model/digest.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readImageParts } from '../oci/image-parts.ts';
import type { ArchiveMember } from '../oci/read-archive.ts';
import { ArchiveError, readArchive, readText } from '../oci/read-archive.ts';
import type { ArchivedContent, StoreArchive } from '../oci/store-archive.ts';
import { EXPORT_DOCUMENT, FOR_OTHERS, readExportDocument } from '../oci/store-archive.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import { hasImageLayout, writeImageLayout } from './image-layout.ts';
import { keepSignatures } from './image-signatures.ts';
import { publish } from './publish.ts';
import { lackOfSpace, stageMember } from './stage-member.ts';
import { makeStaging } from './staging.ts';
import type { Shelf, Store } from './store.ts';
import { checkContent, createStore, openStore } from './store.ts';
import { sweepStore } from './sweep.ts';

export interface Imported {
  /** Names of the images of the export. */
  readonly images: readonly string[];
  /** Blobs and files that the store did not have, and their bytes. */
  readonly contents: number;
  readonly bytes: number;
}

interface Member extends ArchivedContent {
  readonly shelf: Shelf;
}

/**
 * Takes an export (oci/store-archive.ts) into the store, which is made where there is none. All of it is staged and
 * verified before the first blob gets its name, so a bad file changes nothing; where all is there, nothing is
 * written and only the beginning of the file is read. Fails with archive-bad, invalid-option (no such file),
 * store-invalid, access-denied, no-space (with what is needed) and interrupted.
 */
export async function importStore(
  directory: string,
  file: string,
  options: { readonly dryRun: boolean },
  context: Context,
): Promise<Result<Imported>> {
  const read = await reading(file, () => readHeader(file));
  if (!read.ok) return read;
  const archive = read.value;
  const opened = options.dryRun ? await openStore(directory) : await createStore(directory);
  if (!opened.ok) return opened;
  const store = opened.value;
  const members = membersOf(archive);
  const missing = new Map<string, Member>();
  for (const [name, member] of members)
    if ((await checkContent(store, member.shelf, member)) !== 'good') missing.set(name, member);
  const bytes = [...missing.values()].reduce((sum, { size }) => sum + size, 0);
  const done = ok({
    images: archive.images.map(({ name }) => name),
    contents: missing.size,
    bytes,
  });
  if (options.dryRun) return done;
  if (missing.size > 0) {
    await sweepStore(store, context.report);
    const lack = await lackOfSpace(store, bytes);
    if (lack !== undefined) return fail(lack);
    const taken = await takeIn(store, file, archive, members, missing, context);
    if (!taken.ok)
      return fail(
        taken.failure.reason === 'no-space'
          ? ((await lackOfSpace(store, bytes)) ?? { ...taken.failure, needed: bytes })
          : taken.failure,
      );
  }
  for (const image of archive.images) {
    if (!(await hasImageLayout(store, image))) {
      const written = await writeImageLayout(store, image);
      if (!written.ok) return written;
    }
    const signatures = image.signatures.map(({ path, content }) => ({
      path,
      content: Buffer.from(content, 'base64'),
    }));
    const kept = await keepSignatures(store, image, signatures);
    if (!kept.ok) return kept;
  }
  return done;
}

async function takeIn(
  store: Store,
  file: string,
  archive: StoreArchive,
  members: ReadonlyMap<string, Member>,
  missing: ReadonlyMap<string, Member>,
  context: Context,
): Promise<Result<void>> {
  const staging = await makeStaging(store);
  if (!staging.ok) return staging;
  const staged = (member: Member): string =>
    join(staging.value.directory, `${member.shelf}-${hexOf(member.digest)}`);
  try {
    const seen = new Set<string>();
    const read = await reading(file, async () => {
      for await (const member of readArchive(file)) {
        if (context.signal.aborted) break;
        if (member.name === EXPORT_DOCUMENT || FOR_OTHERS.includes(member.name)) continue;
        const expected = members.get(member.name);
        checkMember(member, expected);
        seen.add(member.name);
        const wanted = missing.get(member.name);
        if (wanted === undefined) continue;
        const { digest } = await stageMember(member, staged(wanted), context.signal);
        if (digest !== wanted.digest)
          throw new ArchiveError(`its ${member.name} is not what its name says`);
      }
      if (context.signal.aborted) return;
      const absent = [...members.keys()].find((name) => !seen.has(name));
      if (absent !== undefined) throw new ArchiveError(`it ends too early: it lacks ${absent}`);
      await checkImages(archive, async (digest) => {
        const member = missing.get(`blobs/sha256/${hexOf(digest)}`);
        return readFile(member === undefined ? store.blobPath(digest) : staged(member));
      });
    });
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (!read.ok) return read;
    for (const member of missing.values()) {
      const published = await publish(store, member.shelf, staged(member), member);
      if (published.ok) continue;
      const { failure } = published;
      // It was right a moment ago, so it is this machine's disk.
      return fail(
        failure.reason === 'content-wrong'
          ? { reason: 'archive-bad', file, detail: `${member.digest} changed while it was written` }
          : failure,
      );
    }
    return ok();
  } catch (error) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    return fail(fileFailure(error, store.directory, 'writing to the store'));
  } finally {
    await staging.value.remove();
  }
}

function checkMember(
  member: ArchiveMember,
  expected: Member | undefined,
): asserts expected is Member {
  if (member.kind === 'link') throw new ArchiveError(`it has a link, ${member.name}`);
  if (expected === undefined)
    throw new ArchiveError(`it has ${JSON.stringify(member.name)}, which no export has`);
  if (expected.size !== member.size)
    throw new ArchiveError(`its ${member.name} is of the wrong size`);
}

/** Every image must be whole: a layout over blobs that are not there would promise too much. */
async function checkImages(
  archive: StoreArchive,
  read: (digest: Digest) => Promise<Buffer>,
): Promise<void> {
  const there = new Set(archive.blobs.map(({ digest }) => digest));
  for (const { name, manifest } of archive.images) {
    const lacks = (digest: Digest): never => {
      throw new ArchiveError(`${name} is not whole in it: it lacks ${digest}`);
    };
    if (!there.has(manifest.digest)) return lacks(manifest.digest);
    const bytes = await read(manifest.digest);
    const parts = digestOf(bytes) === manifest.digest ? readImageParts(bytes) : undefined;
    if (parts?.kind !== 'manifest')
      throw new ArchiveError(`the manifest of ${name} in it is no manifest`);
    const absent = parts.parts.find((part) => !there.has(part.digest));
    if (absent !== undefined) return lacks(absent.digest);
  }
}

function membersOf({ blobs, files }: StoreArchive): ReadonlyMap<string, Member> {
  const members = new Map<string, Member>();
  for (const shelf of ['blobs', 'files'] as const)
    for (const { digest, size } of shelf === 'blobs' ? blobs : files)
      members.set(`${shelf}/sha256/${hexOf(digest)}`, { shelf, digest, size });
  return members;
}

async function readHeader(file: string): Promise<StoreArchive> {
  for await (const member of readArchive(file)) {
    if (member.name !== EXPORT_DOCUMENT || member.kind !== 'file') break;
    const archive = readExportDocument(await readText(member));
    if (typeof archive === 'string') throw new ArchiveError(archive);
    return archive;
  }
  throw new ArchiveError('it is no export of a store');
}

/** Failures of the file that is read, apart from those of the store that is written. */
async function reading<T>(file: string, read: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await read());
  } catch (error) {
    if (error instanceof ArchiveError)
      return fail({ reason: 'archive-bad', file, detail: error.message });
    if ((error as NodeJS.ErrnoException).path !== file && errorCode(error) !== 'EISDIR')
      throw error;
    return fail(await unreadable(error, file));
  }
}

async function unreadable(error: unknown, file: string): Promise<Failure> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined || errorCode(error) === 'EISDIR')
    return {
      reason: 'invalid-option',
      option: 'FROM',
      value: file,
      expected: 'a file that exists, or a directory of archives',
    };
  return fileFailure(error, file, 'reading the export');
}

import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestFromHex, digestOf, hexOf, parseDigest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { readImageParts } from '../oci/image-parts.ts';
import type { ImageParts } from '../oci/image-parts.ts';
import { ArchiveError, readArchive, readText } from '../oci/read-archive.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import { writeImageLayout } from './image-layout.ts';
import { publish } from './publish.ts';
import { lackOfSpace, stageMember } from './stage-member.ts';
import type { Staging } from './staging.ts';
import { makeStaging } from './staging.ts';
import type { Store } from './store.ts';
import { hasBlob } from './store.ts';

/** What pins say of an image: by which digests it may be called, which manifest these stand for, and its name. */
export interface KnownImage {
  readonly digests: readonly Digest[];
  readonly manifest: Digest;
  readonly name: string;
}

export interface Adopted {
  readonly file: string;
  readonly images: readonly { readonly name: string; readonly manifest: Digest }[];
  /** Bytes that the store did not have. */
  readonly bytes: number;
  /** Why the image can't be called by the digest in the file's name; a phrase. Then its layers alone were taken. */
  readonly skipped?: string;
}

/** How HAOS's `hassio` package names its downloads: `ghcr.io_x_y_1@sha256_<hex>.tar`. */
const ARCHIVE_NAME = /^(.+)@sha256_([0-9a-f]{64})\.tar$/;
const BLOB = /^blobs\/sha256\/([0-9a-f]{64})$/;
/** Bytes of an archive's own documents, which are kept in memory. */
const MOST_DOCUMENT = 4 * 1024 * 1024;

export function isArchiveName(path: string): boolean {
  return ARCHIVE_NAME.test(basename(path));
}

/**
 * Takes the image of one OCI archive into the store, after every blob was hashed, the image found whole, and its
 * digest found to be the one in the file's name: the manifest's, the digest of an index that is in the archive, or
 * the digest of an index that `known` ties to the manifest. Else only its layers are taken, which are what their
 * digests say whoever copied them, so that a fetch does not download them. An archive that is damaged gives nothing.
 * Fails with access-denied, no-space and interrupted.
 */
export async function adoptArchive(
  store: Store,
  path: string,
  options: { readonly known: readonly KnownImage[]; readonly dryRun: boolean },
  context: Context,
): Promise<Result<Adopted>> {
  const file = basename(path);
  const [, name, hex] = ARCHIVE_NAME.exec(file) ?? [];
  if (name === undefined || hex === undefined)
    return ok({ file, images: [], bytes: 0, skipped: 'there is no digest in its name' });
  let staging: Staging | undefined;
  if (!options.dryRun) {
    const made = await makeStaging(store);
    if (!made.ok) return made;
    staging = made.value;
  }
  try {
    const archive = await stageArchive(store, path, staging, context.signal);
    const wanted = { name, digest: digestFromHex(hex), known: options.known };
    const choice = await chooseContent(archive, wanted);
    let bytes = 0;
    for (const digest of choice.blobs) {
      const size = archive.staged.get(digest);
      if (size === undefined) continue;
      bytes += size;
      if (staging === undefined) continue;
      const published = await publish(store, 'blobs', stagedPath(staging, digest), {
        digest,
        size,
      });
      if (!published.ok)
        return published.failure.reason === 'content-wrong'
          ? ok({ file, images: [], bytes: 0, skipped: `${digest} changed while it was written` })
          : fail(published.failure);
    }
    if (staging !== undefined)
      for (const image of choice.images) {
        const written = await writeImageLayout(store, image);
        if (!written.ok) return written;
      }
    const images = choice.images.map((image) => ({
      name: image.name,
      manifest: image.manifest.digest,
    }));
    const skipped = choice.skipped === undefined ? {} : { skipped: choice.skipped };
    return ok({ file, images, bytes, ...skipped });
  } catch (error) {
    if (context.signal.aborted) return fail(interruption(context.signal));
    if (error instanceof ArchiveError)
      return ok({ file, images: [], bytes: 0, skipped: error.message });
    if ((error as NodeJS.ErrnoException).path === path)
      return ok({ file, images: [], bytes: 0, skipped: `it can't be read (${errorCode(error)})` });
    const failure = fileFailure(error, store.directory, 'writing to the store');
    if (failure.reason !== 'no-space') return fail(failure);
    const { size } = await stat(path);
    return fail((await lackOfSpace(store, size)) ?? { ...failure, needed: size });
  } finally {
    await staging?.remove();
  }
}

interface StagedArchive {
  /** Sizes of the blobs that the store lacks, by digest. */
  readonly staged: ReadonlyMap<Digest, number>;
  /** Every blob of the archive. */
  readonly blobs: ReadonlySet<Digest>;
  readonly index: string;
  /** A blob of the archive that is small enough for a document. */
  readonly read: (digest: Digest) => Promise<Buffer | undefined>;
}

function stagedPath(staging: Staging, digest: Digest): string {
  return join(staging.directory, hexOf(digest));
}

async function stageArchive(
  store: Store,
  path: string,
  staging: Staging | undefined,
  signal: AbortSignal,
): Promise<StagedArchive> {
  const staged = new Map<Digest, number>();
  const blobs = new Set<Digest>();
  const small = new Map<Digest, Buffer>();
  const texts = new Map<string, string>();
  let link: string | undefined;
  for await (const member of readArchive(path)) {
    signal.throwIfAborted();
    if (member.kind === 'link') {
      link ??= member.name;
      continue;
    }
    const hex = BLOB.exec(member.name)?.[1];
    if (hex === undefined) {
      if (['index.json', 'oci-layout', 'manifest.json'].includes(member.name))
        texts.set(member.name, await readText(member, MOST_DOCUMENT));
      continue;
    }
    const named = digestFromHex(hex);
    const has = await hasBlob(store, { digest: named, size: member.size });
    const target = staging === undefined || has ? undefined : stagedPath(staging, named);
    // Also what the store has is read: an archive that is damaged there is damaged.
    const content = keepSmall(member.content, member.size, (bytes) => small.set(named, bytes));
    const { digest, size } = await stageMember({ ...member, content }, target, signal);
    if (digest !== named) throw new ArchiveError(`its blob ${named} is not what its name says`);
    blobs.add(named);
    if (!has) staged.set(named, size);
  }
  const index = texts.get('index.json');
  if (index === undefined || !texts.has('oci-layout'))
    throw new ArchiveError(
      texts.has('manifest.json')
        ? 'it is a docker archive: the manifest, and so the digest, is lost'
        : 'it is no OCI archive',
    );
  if (link !== undefined) throw new ArchiveError(`it has a link, ${link}`);
  const read = async (digest: Digest): Promise<Buffer | undefined> => {
    if (!blobs.has(digest)) return undefined;
    return small.get(digest) ?? (await readFile(store.blobPath(digest)).catch(() => undefined));
  };
  return { staged, blobs, index, read };
}

/** Passes the chunks on, and keeps what can be a manifest: JSON, and no layer. */
async function* keepSmall(
  content: AsyncIterable<Buffer>,
  size: number,
  keep: (bytes: Buffer) => void,
): AsyncGenerator<Buffer, void> {
  const chunks: Buffer[] = [];
  for await (const chunk of content) {
    if (size <= MOST_DOCUMENT) chunks.push(chunk);
    yield chunk;
  }
  if (size > MOST_DOCUMENT) return;
  const bytes = Buffer.concat(chunks);
  if (bytes[0] === 0x7b) keep(bytes);
}

interface Choice {
  readonly images: readonly { readonly name: string; readonly manifest: Descriptor }[];
  readonly blobs: ReadonlySet<Digest>;
  readonly skipped?: string;
}

interface Wanted {
  /** The file's name before the `@`. */
  readonly name: string;
  readonly digest: Digest;
  readonly known: readonly KnownImage[];
}

async function chooseContent(archive: StagedArchive, wanted: Wanted): Promise<Choice> {
  const entries = readImageParts(Buffer.from(archive.index));
  if (entries?.kind !== 'index') throw new ArchiveError('its index.json is no index');
  const manifests: { descriptor: Descriptor; parts: ImageParts; via: Digest }[] = [];
  for (const entry of entries.parts) {
    const document = await documentOf(archive, entry);
    if (document.kind === 'manifest') {
      manifests.push({ descriptor: entry, parts: document, via: entry.digest });
      continue;
    }
    for (const part of document.parts)
      if (archive.blobs.has(part.digest)) {
        const parts = await documentOf(archive, part);
        if (parts.kind === 'manifest')
          manifests.push({ descriptor: part, parts, via: entry.digest });
      }
  }
  if (manifests.length === 0) throw new ArchiveError('it has no image');
  for (const { parts } of manifests)
    for (const part of parts.parts)
      if (!archive.blobs.has(part.digest)) throw new ArchiveError(`it lacks ${part.digest}`);

  const images: { name: string; manifest: Descriptor }[] = [];
  const blobs = new Set<Digest>();
  for (const { descriptor, parts, via } of manifests) {
    const known = wanted.known.find(
      ({ digests, manifest }) => manifest === descriptor.digest && digests.includes(wanted.digest),
    );
    if (wanted.digest !== via && wanted.digest !== descriptor.digest && known === undefined)
      continue;
    const name = known?.name ?? nameIn(archive.index) ?? wanted.name;
    const mediaType = descriptor.mediaType === '' ? parts.mediaType : descriptor.mediaType;
    images.push({ name, manifest: { ...descriptor, mediaType } });
    for (const digest of [via, descriptor.digest, ...parts.parts.map((part) => part.digest)])
      blobs.add(digest);
  }
  if (images.length > 0) return { images, blobs };
  for (const { parts } of manifests)
    for (const layer of parts.parts.slice(1)) blobs.add(layer.digest);
  const is = manifests.map(({ descriptor }) => descriptor.digest).join(', ');
  return {
    images,
    blobs,
    skipped: `its image is ${is}, and nothing here ties that to the digest in its name (an index's, or of before skopeo converted it; pins can: -p); its layers were taken`,
  };
}

async function documentOf(archive: StagedArchive, entry: Descriptor): Promise<ImageParts> {
  const bytes = await archive.read(entry.digest);
  if (bytes === undefined) throw new ArchiveError(`it lacks ${entry.digest}`);
  if (digestOf(bytes) !== entry.digest || bytes.length !== entry.size)
    throw new ArchiveError(`its ${entry.digest} is not as its index says`);
  const parts = readImageParts(bytes);
  if (parts === undefined) throw new ArchiveError(`its ${entry.digest} is no manifest`);
  return parts;
}

/** The name that skopeo notes in the index, where it was told one: a full one, with a tag and no digest. */
function nameIn(index: string): string | undefined {
  const [, name] =
    /"org\.opencontainers\.image\.ref\.name"\s*:\s*"([\w.:/-]{1,300})"/.exec(index) ?? [];
  return name?.includes('/') === true && parseDigest(name) === undefined ? name : undefined;
}

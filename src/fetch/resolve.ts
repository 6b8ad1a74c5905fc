import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Platform } from '../model/platform.ts';
import { choosePlatform, formatPlatform } from '../model/platform.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { atDigest } from '../plan/fetch-sources.ts';
import { inspectRaw } from '../tools/skopeo.ts';
import type { Fault, NetworkAccess } from './access.ts';
import { askSources, mismatch, skopeoFault, skopeoRun } from './access.ts';
import type { ImageDocument, IndexEntry } from './image-documents.ts';
import { readConfigPlatform, readImageDocument } from './image-documents.ts';

/** What a name stands for at this moment. */
export interface ResolvedName {
  /** Of the bytes that the registry served for the name. */
  readonly digest: Digest;
  readonly size: number;
  readonly document: Exclude<ImageDocument, { readonly kind: 'unsupported' }>;
}

/** One platform's image, down to the config, each level's bytes hashed. */
export interface ResolvedImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** What it is for: as the index says, or else its config. */
  readonly platform: Platform;
}

/** An index of an index is followed so far; the spec allows any depth, and no registry has use for more. */
const DEEPEST_INDEX = 3;

/** Where an image's documents are read from, byte for byte: a registry, or local-image.ts. */
export interface Documents {
  /** What the source is called in messages, with no secret in it. */
  readonly source: string;
  /** The index or manifest behind the name. */
  root(): Promise<Result<Buffer>>;
  /** What an entry of an index stands for. */
  entry(entry: IndexEntry): Promise<Result<Buffer>>;
  /** The config of a manifest that was read before. */
  config(manifest: Digest, config: Digest): Promise<Result<Buffer>>;
}

/** A registry's documents; each has the digest it is asked for by. */
export function registryDocuments(
  what: string,
  reference: Reference,
  access: NetworkAccess,
  context: Context,
): Documents {
  const read = (asked: {
    digest?: Digest | undefined;
    tag?: string;
    config?: Digest;
  }): Promise<Result<Buffer>> => readRaw(what, reference, asked, access, context);
  return {
    source: formatReference(reference),
    root: () => read({ digest: reference.digest, tag: reference.tag ?? 'latest' }),
    entry: ({ digest }) => read({ digest }),
    config: (manifest, config) => read({ digest: manifest, config }),
  };
}

/**
 * Reads what the tag or digest of a reference is: an index, or a manifest. `what` is the image's name in the bundle.
 * Fails with registry-temporary, registry-refused, tool-missing and interrupted, and as local-image.ts says.
 */
export async function resolveName(
  what: string,
  documents: Documents,
  context: Context,
): Promise<Result<ResolvedName>> {
  context.report({ type: 'resolving', what: documents.source, name: what });
  return readLevel(what, documents, await documents.root());
}

/**
 * The image for `wanted` of what a name stands for, chosen by us (model/platform.ts). Fails as `resolveName`, and
 * with platform-not-offered and platform-mismatch (a config that contradicts its index).
 */
export async function resolvePlatform(
  what: string,
  documents: Documents,
  name: ResolvedName,
  wanted: Platform,
): Promise<Result<ResolvedImage>> {
  let level = name;
  let promised: Platform | undefined;
  for (let depth = 0; level.document.kind === 'index'; depth++) {
    if (depth === DEEPEST_INDEX)
      return unsupported(what, documents, `its indexes are nested more than ${DEEPEST_INDEX} deep`);
    const chosen = chooseEntry(level.document.entries, wanted);
    if (chosen === undefined)
      return notOffered(what, documents, wanted, offeredBy(level.document.entries));
    promised = chosen.platform;
    const next = readLevel(what, documents, await documents.entry(chosen));
    if (!next.ok) return next;
    level = next.value;
  }
  const { document, digest, size } = level;
  const { config, layers, mediaType } = document;
  const read = await documents.config(digest, config.digest);
  if (!read.ok) return read;
  const stated = readConfigPlatform(read.value);
  const manifest = { digest, size, mediaType };
  if (promised === undefined) {
    if (stated.platform === undefined || choosePlatform(wanted, [stated.platform]) === undefined)
      return notOffered(what, documents, wanted, [
        stated.platform === undefined ? stated.stated : formatPlatform(stated.platform),
      ]);
    return ok({ manifest, config, layers, platform: stated.platform });
  }
  // A config that states no variant contradicts none: older tools left it to the index.
  const agrees =
    stated.platform?.arch === promised.arch &&
    (!stated.hasVariant || stated.platform.variant === promised.variant);
  if (!agrees)
    return fail({
      reason: 'platform-mismatch',
      image: what,
      reference: `${documents.source} (${digest})`,
      expected: formatPlatform(promised),
      actual: stated.platform === undefined ? stated.stated : formatPlatform(stated.platform),
    });
  return ok({ manifest, config, layers, platform: promised });
}

/** The Linux platforms on offer, attestations left out, each once, in the order of the index. */
export function platformsOf(entries: readonly IndexEntry[]): readonly Platform[] {
  const byName = new Map<string, Platform>();
  for (const { platform, isAttestation } of entries)
    if (platform !== undefined && !isAttestation) byName.set(formatPlatform(platform), platform);
  return [...byName.values()];
}

function chooseEntry(entries: readonly IndexEntry[], wanted: Platform): IndexEntry | undefined {
  const index = choosePlatform(
    wanted,
    entries.map(({ platform, isAttestation }) => (isAttestation ? undefined : platform)),
  );
  return index === undefined ? undefined : entries[index];
}

function offeredBy(entries: readonly IndexEntry[]): readonly string[] {
  const names = entries
    .filter((entry) => !entry.isAttestation)
    .map(({ platform, stated }) => (platform === undefined ? stated : formatPlatform(platform)));
  return [...new Set(names.filter((name) => name !== ''))].sort();
}

function readLevel(
  what: string,
  documents: Documents,
  bytes: Result<Buffer>,
): Result<ResolvedName> {
  if (!bytes.ok) return bytes;
  const document = readImageDocument(bytes.value);
  if (document.kind === 'unsupported') return unsupported(what, documents, document.detail);
  return ok({ digest: digestOf(bytes.value), size: bytes.value.length, document });
}

/**
 * The bytes behind a digest, or a tag where there is no digest; with `config`, those of the config of that
 * manifest. Bytes that have not the digest they were asked for by are a mismatch of that source.
 */
export async function readRaw(
  what: string,
  reference: Reference,
  asked: {
    readonly digest?: Digest | undefined;
    readonly tag?: string | undefined;
    readonly config?: Digest | undefined;
  },
  access: NetworkAccess,
  context: Context,
): Promise<Result<Buffer>> {
  const { digest, tag, config } = asked;
  const expected = config ?? digest;
  return askSources(
    what,
    reference,
    access,
    context,
    async (name, skopeo): Promise<Result<Buffer, Fault>> => {
      const at = digest === undefined ? `${name}:${tag ?? 'latest'}` : atDigest(name, digest);
      const run = skopeoRun(access, context);
      const read = await inspectRaw(`docker://${at}`, skopeo, run, config !== undefined);
      if (!read.ok) return fail(skopeoFault(read.failure, context));
      const actual = digestOf(read.value);
      return expected === undefined || actual === expected
        ? ok(read.value)
        : mismatch(`${name} served ${actual} for ${expected}`);
    },
  );
}

function unsupported(what: string, documents: Documents, detail: string): Result<never> {
  return fail({
    reason: 'registry-refused',
    what: `${what} (${documents.source})`,
    why: 'unsupported',
    detail,
  });
}

function notOffered(
  image: string,
  documents: Documents,
  wanted: Platform,
  offered: readonly string[],
): Result<never> {
  return fail({
    reason: 'platform-not-offered',
    image,
    reference: documents.source,
    wanted: formatPlatform(wanted),
    offered,
  });
}

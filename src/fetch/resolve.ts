import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import { digestOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Platform } from '../model/platform.ts';
import { choosePlatform, formatPlatform } from '../model/platform.ts';
import type { Reference } from '../model/reference.ts';
import { formatReference, nameOf } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { atDigest } from '../plan/fetch-sources.ts';
import { inspectRaw } from '../tools/skopeo.ts';
import type { Fault, NetworkAccess } from './access.ts';
import { askSources, mismatch, skopeoFault, stallOf } from './access.ts';
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

/**
 * Reads what the tag or digest of a reference is: an index, or a manifest. `what` is the image's name in the bundle.
 * Fails with registry-temporary, registry-refused, tool-missing and interrupted.
 */
export async function resolveName(
  what: string,
  reference: Reference,
  access: NetworkAccess,
  context: Context,
): Promise<Result<ResolvedName>> {
  context.report({ type: 'resolving', what: formatReference(reference) });
  const { digest, tag } = reference;
  const bytes = await readRaw(what, reference, digest, tag ?? 'latest', access, context, false);
  if (!bytes.ok) return bytes;
  const document = readImageDocument(bytes.value);
  if (document.kind === 'unsupported') return unsupported(what, reference, document.detail);
  return ok({ digest: digestOf(bytes.value), size: bytes.value.length, document });
}

/**
 * The image for `wanted` of what a name stands for, chosen by us (model/platform.ts). Fails as `resolveName`, and
 * with platform-not-offered and platform-mismatch (a config that contradicts its index).
 */
export async function resolvePlatform(
  what: string,
  reference: Reference,
  name: ResolvedName,
  wanted: Platform,
  access: NetworkAccess,
  context: Context,
): Promise<Result<ResolvedImage>> {
  let level = name;
  let promised: Platform | undefined;
  for (let depth = 0; level.document.kind === 'index'; depth++) {
    if (depth === DEEPEST_INDEX)
      return unsupported(what, reference, `its indexes are nested more than ${DEEPEST_INDEX} deep`);
    const chosen = chooseEntry(level.document.entries, wanted);
    if (chosen === undefined)
      return notOffered(what, reference, wanted, offeredBy(level.document.entries));
    promised = chosen.platform;
    const next = await readLevel(what, reference, chosen, access, context);
    if (!next.ok) return next;
    level = next.value;
  }
  const { document, digest, size } = level;
  const { config, layers, mediaType } = document;
  const read = await readRaw(
    what,
    reference,
    digest,
    undefined,
    access,
    context,
    true,
    config.digest,
  );
  if (!read.ok) return read;
  const stated = readConfigPlatform(read.value);
  const manifest = { digest, size, mediaType };
  if (promised === undefined) {
    if (stated.platform === undefined || choosePlatform(wanted, [stated.platform]) === undefined)
      return notOffered(what, reference, wanted, [
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
      reference: formatReference({ ...reference, digest }),
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

async function readLevel(
  what: string,
  reference: Reference,
  entry: IndexEntry,
  access: NetworkAccess,
  context: Context,
): Promise<Result<ResolvedName>> {
  const bytes = await readRaw(what, reference, entry.digest, undefined, access, context, false);
  if (!bytes.ok) return bytes;
  const document = readImageDocument(bytes.value);
  if (document.kind === 'unsupported') return unsupported(what, reference, document.detail);
  return ok({ digest: entry.digest, size: bytes.value.length, document });
}

/**
 * The bytes behind a digest, or a tag where there is no digest; with `config`, those of the config of that
 * manifest. Bytes that have not the digest they were asked for by are a mismatch of that source.
 */
async function readRaw(
  what: string,
  reference: Reference,
  digest: Digest | undefined,
  tag: string | undefined,
  access: NetworkAccess,
  context: Context,
  config: boolean,
  expected: Digest | undefined = digest,
): Promise<Result<Buffer>> {
  return askSources(
    what,
    reference,
    access,
    context,
    async (name, insecure): Promise<Result<Buffer, Fault>> => {
      const asked = digest === undefined ? `${name}:${tag ?? 'latest'}` : atDigest(name, digest);
      const read = await inspectRaw(
        asked,
        { insecure, authfile: access.authfile },
        { signal: context.signal, report: context.report, stall: stallOf(access) },
        config,
      );
      if (!read.ok) return fail(skopeoFault(read.failure, context));
      const actual = digestOf(read.value);
      return expected === undefined || actual === expected
        ? ok(read.value)
        : mismatch(`${name} served ${actual} for ${expected}`);
    },
  );
}

function unsupported(what: string, reference: Reference, detail: string): Result<never> {
  return fail({
    reason: 'registry-refused',
    what: `${what} (${nameOf(reference)})`,
    why: 'unsupported',
    detail,
  });
}

function notOffered(
  image: string,
  reference: Reference,
  wanted: Platform,
  offered: readonly string[],
): Result<never> {
  return fail({
    reason: 'platform-not-offered',
    image,
    reference: formatReference(reference),
    wanted: formatPlatform(wanted),
    offered,
  });
}

import { readFile, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Descriptor } from '../model/descriptor.ts';
import { digestOf, hexOf } from '../model/digest.ts';
import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Failure, RegistryRefused } from '../model/failure.ts';
import type { LocalSource } from '../model/image-source.ts';
import { keepsManifests, storageBrackets } from '../model/image-source.ts';
import type { Platform } from '../model/platform.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { LocatedSource } from '../plan/wanted.ts';
import { errorCode, fileFailure, interruption } from '../model/file-failure.ts';
import type { SkopeoFailure, SkopeoRun } from '../tools/skopeo.ts';
import { copyToDirectory, inspectRaw } from '../tools/skopeo.ts';
import { commandFailure } from '../tools/run-command.ts';
import type { NetworkAccess } from './access.ts';
import { misconfigured, skopeoRun } from './access.ts';
import { classifySkopeo, lastMessage } from './classify.ts';
import { readImageDocument } from './image-documents.ts';
import { statedLayers } from './made-up-manifest.ts';
import type { Policy } from './policy.ts';
import type { Documents } from './resolve.ts';

/** Milliseconds without a byte: archives are unpacked, and engines save, before the first one comes. */
const STALL = 600_000;

/** An image copied whole out of its source. */
export interface StagedImage {
  /** Blobs by their hex digits. */
  readonly directory: string;
  /** Byte for byte, or as we make it up where the source has none. */
  readonly manifest: Buffer;
}

/** Looks whether the file or directory is there, so that "not there" and "broken" are told apart. */
async function checkLocation(what: string, local: LocatedSource): Promise<Result<void>> {
  const { location, transport } = local;
  if (location === undefined) return ok();
  const refused = (why: RegistryRefused['why'], detail: string): Result<never> =>
    fail({ reason: 'registry-refused', what: named(what, local), why, detail });
  // skopeo takes what is behind the first colon for a name.
  if (location.includes(':'))
    return refused('unsupported', `skopeo can't read a path with a colon: ${location}`);
  try {
    const found = await stat(location);
    const wantsFile = transport.endsWith('-archive');
    if (wantsFile ? found.isFile() : found.isDirectory()) return ok();
    return refused('not-found', `${location} is not a ${wantsFile ? 'file' : 'directory'}`);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return refused('not-found', `there is no ${location}`);
    return fail(fileFailure(error, location, `reading ${what}`));
  }
}

/**
 * The image's documents, for pins. What must be copied to be known is copied below `directory`, which the caller
 * removes. Fails with registry-refused where it is not there or not trusted, source-bad where it is there and broken,
 * engine-unreachable, access-denied, tool-missing, no-space and interrupted.
 */
export function localDocuments(
  what: string,
  local: LocatedSource,
  wanted: Platform,
  access: NetworkAccess,
  policy: Policy,
  directory: string,
  context: Context,
): Documents {
  const staged = new Map<Digest, StagedImage>();
  const stage = async (platform: Platform): Promise<Result<Buffer>> => {
    const image = await stageLocal(
      { what, local, platform, policy, directory: join(directory, String(staged.size)) },
      access,
      context,
      () => undefined,
    );
    if (!image.ok) return image;
    staged.set(digestOf(image.value.manifest), image.value);
    return ok(image.value.manifest);
  };
  return {
    source: local.text,
    root: () =>
      keepsManifests(local.transport)
        ? inspectLocal(what, local, access, directory, context, false)
        : stage(wanted),
    entry: async (entry) => {
      if (entry.platform === undefined) throw new Error(`an entry of no platform was chosen`);
      const manifest = await stage(entry.platform);
      if (!manifest.ok || digestOf(manifest.value) === entry.digest) return manifest;
      return broken(what, local, `it has ${digestOf(manifest.value)} for ${entry.digest}`);
    },
    config: async (manifest, config) => {
      const copy = staged.get(manifest);
      const bytes =
        copy === undefined
          ? await inspectLocal(what, local, access, directory, context, true)
          : await readStaged(copy, config);
      if (!bytes.ok || digestOf(bytes.value) === config) return bytes;
      return broken(what, local, `it has ${digestOf(bytes.value)} for its config, ${config}`);
    },
  };
}

/** The index or manifest of a source that keeps them, or the config with `config`. */
export async function inspectLocal(
  what: string,
  local: LocatedSource,
  access: NetworkAccess,
  temporary: string,
  context: Context,
  config: boolean,
): Promise<Result<Buffer>> {
  const there = await checkLocation(what, local);
  if (!there.ok) return there;
  const how = { daemonHost: access.dockerHost, temporary };
  const read = await inspectRaw(skopeoName(local), how, localRun(access, context), config);
  return read.ok ? read : fail(localFailure(what, local, read.failure, context));
}

export interface LocalCopy {
  readonly what: string;
  readonly local: LocatedSource;
  readonly platform: Platform;
  readonly policy: Policy;
  /** Is made. */
  readonly directory: string;
}

/** Copies one image of the source into a directory, with its signatures (`signature-1`, …). Fails as `localDocuments`. */
export async function stageLocal(
  { what, local, platform, policy, directory }: LocalCopy,
  access: NetworkAccess,
  context: Context,
  onProgress: (bytes: number) => void,
): Promise<Result<StagedImage>> {
  const there = await checkLocation(what, local);
  if (!there.ok) return there;
  await rm(directory, { recursive: true, force: true });
  const copied = await copyToDirectory(
    {
      source: skopeoName(local),
      directory,
      exact: keepsManifests(local.transport),
      policy: policy.path,
      platform,
      onProgress,
      daemonHost: access.dockerHost,
      registriesDirectory: access.registriesDirectory,
      temporary: dirname(directory),
    },
    localRun(access, context),
  );
  if (!copied.ok) return fail(localFailure(what, local, copied.failure, context));
  const manifest = await readFile(join(directory, 'manifest.json'));
  if (keepsManifests(local.transport)) return ok({ directory, manifest });
  const document = readImageDocument(manifest);
  if (document.kind !== 'manifest')
    return broken(what, local, document.kind === 'index' ? 'it is an index' : document.detail);
  return ok({ directory, manifest: await statedLayers(document, directory) });
}

/** Where a blob of a staged image is. */
export function stagedBlob(image: StagedImage, blob: Pick<Descriptor, 'digest'>): string {
  return join(image.directory, hexOf(blob.digest));
}

/** What is pinned is not what the source has now. */
export function changedSource(what: string, local: LocalSource, detail: string): Failure {
  return { reason: 'source-bad', problem: 'changed', what: named(what, local), detail };
}

async function readStaged(image: StagedImage, digest: Digest): Promise<Result<Buffer>> {
  return ok(await readFile(stagedBlob(image, { digest })));
}

function localRun(access: NetworkAccess, context: Context): SkopeoRun {
  return { ...skopeoRun(access, context), stall: STALL };
}

/** As skopeo wants it, with what a bundle's own directory adds. */
function skopeoName(local: LocatedSource): string {
  const { transport, name } = local;
  // A container storage knows its images by absolute paths, and policies know directories by them.
  const location = local.location === undefined ? undefined : resolve(local.location);
  if (transport === 'containers-storage') {
    const brackets =
      location === undefined
        ? ''
        : storageBrackets({
            root: location,
            driver: local.driver,
            runRoot: local.runLocation === undefined ? undefined : resolve(local.runLocation),
          });
    return `${transport}:${brackets}${name ?? ''}`;
  }
  return `${transport}:${[location, name].filter((part) => part !== undefined).join(':')}`;
}

/** What skopeo says where a file is there and the image asked for is not in it; seen with 1.9.3. */
const NOT_THERE =
  /no descriptor found for reference|Tag ".*" not found|does not resolve to an image|identifier is not an image|No such image|reference does not exist|more than one image in|expected 1 item, got/i;

function localFailure(
  what: string,
  local: LocalSource,
  failure: SkopeoFailure,
  context: Context,
): Failure {
  switch (failure.reason) {
    case 'stalled':
      return {
        reason: 'tool-failed',
        tool: 'skopeo',
        doing: `reading ${named(what, local)}`,
        detail: `nothing happened for ${failure.milliseconds / 1000} s`,
      };
    case 'command-aborted':
      return interruption(context.signal);
    case 'command-missing':
    case 'deadline-passed':
      return commandFailure(failure, `reading ${named(what, local)}`);
    case 'command-failed':
      break;
  }
  const detail = lastMessage(failure.stderr);
  const refused = (why: RegistryRefused['why']): Failure => ({
    reason: 'registry-refused',
    what: named(what, local),
    why,
    detail,
  });
  const known = classifySkopeo(failure.stderr);
  if (known.kind === 'refused' && known.why === 'untrusted') return refused('untrusted');
  if (known.kind === 'no-space') return { reason: 'no-space', where: detail };
  if (known.kind === 'configuration') return misconfigured(failure.stderr);
  if (/cannot connect to the docker daemon/i.test(detail))
    return { reason: 'engine-unreachable', engine: 'docker', detail };
  if (/permission denied|operation not permitted/i.test(detail))
    return {
      reason: 'access-denied',
      path: local.path ?? local.text,
      doing: `reading ${what}`,
      detail,
    };
  if (NOT_THERE.test(detail)) return refused('not-found');
  return { reason: 'source-bad', problem: 'broken', what: named(what, local), detail };
}

function broken(what: string, local: LocalSource, detail: string): Result<never> {
  return fail({ reason: 'source-bad', problem: 'broken', what: named(what, local), detail });
}

function named(what: string, local: LocalSource): string {
  return `${what} (${local.text})`;
}

import { posix } from 'node:path';
import type { Digest } from '../model/digest.ts';
import { digestOf, hexOf, parseDigest } from '../model/digest.ts';
import { parseReference, taggedName } from '../model/reference.ts';
import { readDiffIds } from '../oci/image-parts.ts';
import { chainIds } from '../data-root/containerd-store.ts';
import type { ArchiveMembers } from './archive-members.ts';
import type { Blobs } from './blobs.ts';
import { MOST_DOCUMENT, unpackedSize } from './blobs.ts';
import type { ContentImage, ContentLayer } from './contents.ts';
import { TREE_OF_DATA, usualDatabases } from './find-data-root.ts';
import type { NamedTarget } from './image-content.ts';
import { imagesOf, platformIn, sortImages } from './image-content.ts';
import { Stopped } from '../trees/stopped.ts';
import { displayName } from '../trees/tree-node.ts';

/** Images of an archive or layout, and their blobs. */
export interface BlobContent {
  readonly kind: 'OCI layout' | 'OCI archive' | 'docker archive';
  readonly images: readonly ContentImage[];
  readonly blobs: Blobs;
}

/** An OCI archive, also where Docker's list is there too; else a docker archive. Throws `Stopped`. */
export async function readArchiveContent(
  members: ArchiveMembers,
  source: string,
): Promise<BlobContent> {
  if (members.has('index.json') && members.has('oci-layout')) {
    const blobs: Blobs = {
      size: (digest) => members.size(`blobs/sha256/${hexOf(digest)}`),
      read: (digest, stretch) => members.read(`blobs/sha256/${hexOf(digest)}`, stretch),
    };
    const index = await readList(members, 'index.json', source);
    return {
      kind: 'OCI archive',
      images: await imagesOf(blobs, namedIn(index, source)),
      blobs,
    };
  }
  if (members.has('manifest.json')) return readDockerArchive(members, source);
  const detail = usualDatabases().some((database) => members.has(database))
    ? `this tar is ${TREE_OF_DATA}`
    : 'this tar is no archive of images: no index.json, no manifest.json';
  throw new Stopped({
    reason: 'invalid-document',
    kind: 'content',
    file: source,
    problems: [{ detail }],
  });
}

/** What the index of a layout names (OCI image-spec, image-layout.md); containerd's full names before others. */
export function namedIn(index: unknown, source: string): NamedTarget[] {
  const manifests = (index as { manifests?: unknown } | null)?.manifests;
  if (!Array.isArray(manifests)) throw broken(source, 'its index.json lists no manifests');
  return manifests.flatMap((entry: IndexEntry | null) => {
    const digest = parseDigest(entry?.digest);
    if (digest === undefined) return [];
    const { annotations } = entry ?? {};
    const name =
      annotations?.['io.containerd.image.name'] ??
      annotations?.['org.opencontainers.image.ref.name'];
    return [
      typeof name === 'string' && name !== '' ? { name: fullName(name), digest } : { digest },
    ];
  });
}

interface IndexEntry {
  readonly digest?: unknown;
  readonly annotations?: Readonly<Record<string, unknown>> | null;
}

/** `x` as `docker.io/library/x:latest`; a bare tag, which some layouts have for a name, stays one. */
function fullName(name: string): string {
  if (!/[/:]/.test(name)) return name;
  const reference = parseReference(name);
  return reference.ok ? (taggedName(reference.value) ?? name) : name;
}

interface DockerEntry {
  readonly Config?: unknown;
  readonly RepoTags?: unknown;
  readonly Layers?: unknown;
}

/** What `docker save` wrote before Docker 25, and skopeo's `docker-archive:`: layers without digests of their own. */
async function readDockerArchive(members: ArchiveMembers, source: string): Promise<BlobContent> {
  const list = await readList(members, 'manifest.json', source);
  if (!Array.isArray(list)) throw broken(source, 'its manifest.json is no list');
  const places = new Map<Digest, string>();
  const blobs: Blobs = {
    size: (digest) => members.size(places.get(digest) ?? ''),
    read: (digest, stretch) => members.read(places.get(digest) ?? '', stretch),
  };
  const images: ContentImage[] = [];
  for (const entry of list as readonly (DockerEntry | null)[]) {
    const file = entry?.Config;
    if (typeof file !== 'string' || !members.has(file))
      throw broken(source, 'an image in its manifest.json has no config');
    const config = await readMember(members, file, source);
    const digest = digestOf(config);
    places.set(digest, posix.normalize(file));
    const diffIds = readDiffIds(config);
    const given = Array.isArray(entry?.Layers) ? (entry.Layers as unknown[]) : [];
    if (diffIds?.length !== given.length)
      throw broken(source, `config ${digest} does not fit the layers of its image`);
    const chain = chainIds(diffIds);
    const layers: ContentLayer[] = [];
    for (const [i, diffId] of diffIds.entries()) {
      const [place, chainId] = [given[i], chain[i]];
      if (typeof place !== 'string' || chainId === undefined) continue;
      places.set(diffId, posix.normalize(place));
      const packed = blobs.size(diffId);
      const unpacked = await unpackedSize(blobs, diffId);
      layers.push({
        ...{ diffId, chainId },
        ...(packed === undefined ? {} : { packed }),
        ...(unpacked === undefined ? {} : { unpacked }),
      });
    }
    const names = Array.isArray(entry?.RepoTags) ? (entry.RepoTags as unknown[]) : [];
    const platform = platformIn(config);
    const missing = layers.filter(({ packed }) => packed === undefined);
    images.push({
      names: names.flatMap((name) => (typeof name === 'string' ? [fullName(name)] : [])).sort(),
      config: digest,
      ...(platform === undefined ? {} : { platform }),
      layers,
      documents: config.length,
      ...(missing.length === 0
        ? {}
        : { problem: `${missing.map(({ diffId = '' }) => diffId).join(', ')} is missing` }),
    });
  }
  return { kind: 'docker archive', images: sortImages(merge(images)), blobs };
}

/** An image that comes twice has all its names once. */
function merge(images: readonly ContentImage[]): readonly ContentImage[] {
  const merged = new Map<string, ContentImage>();
  for (const image of images) {
    const before = merged.get(image.config ?? '');
    const names = [...new Set([...(before?.names ?? []), ...image.names])].sort();
    merged.set(image.config ?? '', { ...image, names });
  }
  return [...merged.values()];
}

async function readList(members: ArchiveMembers, name: string, source: string): Promise<unknown> {
  try {
    return JSON.parse((await readMember(members, name, source)).toString('utf8')) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) throw broken(source, `its ${name} is not JSON`);
    throw error;
  }
}

/** A document, which the list of an archive may call what is none. */
async function readMember(members: ArchiveMembers, name: string, source: string): Promise<Buffer> {
  if ((members.size(name) ?? Infinity) > MOST_DOCUMENT)
    throw broken(source, `its ${displayName(Buffer.from(name).toString('latin1'))} is too large`);
  const pieces: Buffer[] = [];
  for await (const piece of members.read(name)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

export function broken(source: string, detail: string): Stopped {
  return new Stopped({ reason: 'source-bad', problem: 'broken', what: source, detail });
}

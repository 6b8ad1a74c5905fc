import { createHash } from 'node:crypto';
import type { ContentImage } from '../inspect/contents.ts';
import type { Subject } from '../inspect/open-subject.ts';
import { digestFromHex, type Digest } from '../model/digest.ts';
import { CompressionError } from '../oci/compression-error.ts';
import { decompress } from '../oci/decompress.ts';
import { Stopped } from '../trees/stopped.ts';
import type { RecordChange } from './difference.ts';

/** Blobs that images of a side need and that are not what they should be, each with a phrase. */
type Spoilt = ReadonlyMap<Digest, string>;

/**
 * What is the same by its digest is so only where it is there and has that digest. Of data images it is a difference;
 * anything else that is not whole throws `Stopped`. `hashed` are blobs that were read already.
 */
export async function compareWholeness(
  from: Subject,
  to: Subject,
  hashed: ReadonlySet<Digest>,
): Promise<RecordChange[]> {
  const [a, b] = [await spoiltOf(from, hashed), await spoiltOf(to, hashed)];
  return [...new Set([...a.keys(), ...b.keys()])].sort().map((key) => {
    const [x, y] = [stateOf(from, a, key), stateOf(to, b, key)];
    return {
      ...({ what: 'blob', key } as const),
      ...(x === undefined ? {} : { from: x }),
      ...(y === undefined ? {} : { to: y }),
    };
  });
}

function stateOf({ contents, blobs }: Subject, spoilt: Spoilt, digest: Digest): string | undefined {
  const problem = spoilt.get(digest);
  if (problem !== undefined) return problem;
  if (blobs?.size(digest) !== undefined) return 'there';
  const isPinned =
    blobs === undefined && contents.images.some((image) => neededBy(image).includes(digest));
  return isPinned ? 'pinned' : undefined;
}

async function spoiltOf(subject: Subject, hashed: ReadonlySet<Digest>): Promise<Spoilt> {
  const { contents, blobs, dataImage } = subject;
  const spoilt = new Map<Digest, string>();
  if (blobs === undefined) return spoilt;
  const met = new Set<Digest>(hashed);
  for (const image of contents.images) {
    const { index, manifest, config } = image;
    const top = manifest ?? config ?? index;
    const unpacked = unpackedBy(subject, image);
    const needed = [...neededBy(image), ...unpacked];
    for (const digest of needed) {
      if (met.has(digest)) continue;
      met.add(digest);
      const problem = await problemOf(subject, digest, unpacked.includes(digest));
      if (problem !== undefined) spoilt.set(digest, problem);
    }
    if (image.problem !== undefined && top !== undefined)
      if (!needed.some((digest) => spoilt.has(digest))) spoilt.set(top, image.problem);
    const first = [...spoilt.keys()][0];
    if (first !== undefined && dataImage === undefined)
      throw new Stopped({
        reason: 'source-bad',
        problem: 'broken',
        what: `${contents.source}: ${image.names[0] ?? top ?? ''}`,
        detail: `${first}: ${spoilt.get(first) ?? ''}`,
      });
  }
  return spoilt;
}

function neededBy({ index, manifest, config, layers }: ContentImage): Digest[] {
  return [index, manifest, config, ...layers.map(({ digest }) => digest)].filter(
    (digest) => digest !== undefined,
  );
}

/** Layers of a docker archive have no digest but that of what they unpack to; those of overlay2 have no blob. */
function unpackedBy({ contents }: Subject, image: ContentImage): Digest[] {
  if (contents.kind !== 'docker archive') return [];
  return image.layers.flatMap(({ diffId }) => diffId ?? []);
}

async function problemOf(
  { blobs }: Subject,
  digest: Digest,
  isUnpacked: boolean,
): Promise<string | undefined> {
  if (blobs?.size(digest) === undefined) return 'missing';
  try {
    const bytes = blobs.read(digest);
    const found = await hashOf(isUnpacked ? decompress(bytes) : bytes);
    return found === digest ? undefined : `other bytes: ${found}`;
  } catch (error) {
    if (error instanceof CompressionError) return error.message;
    throw error;
  }
}

async function hashOf(source: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const piece of source) hash.update(piece);
  return digestFromHex(hash.digest('hex'));
}

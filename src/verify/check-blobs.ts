import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import type { TargetPins } from '../model/pins.ts';
import { keptIndex } from './check-names.ts';
import type { Inspection } from './inspection.ts';
import { eachOfTwo } from './inspection.ts';
import type { StoredContent } from './stored-content.ts';
import { blobPath, isRecord, readJsonBlob } from './stored-content.ts';

/** A blob that must be there. */
interface WantedBlob {
  /** What messages begin with: `image core`. */
  readonly owner: string;
  readonly kind: 'index' | 'manifest' | 'config' | 'layer';
  readonly size?: number;
}

/** OCI image-spec, manifest.md, recommends that registries take at least 4 MiB; nothing larger is an index. */
const LARGEST_INDEX = 4 * 1024 * 1024;

/**
 * Every pinned blob lies in the content store with its size and its bytes and is known to containerd; nothing
 * else does. Returns how many blobs and bytes were hashed.
 */
export async function checkBlobs(
  inspection: Inspection,
  pins: TargetPins,
  content: StoredContent,
): Promise<{ readonly blobs: number; readonly bytes: number }> {
  const wanted = wantedBlobs(pins, content);
  let blobs = 0;
  let bytes = 0;
  await eachOfTwo(wanted, async ([digest, blob]) => {
    const what = `${blob.owner}: ${blob.kind} ${digest}`;
    checkRecord(inspection, content, digest, blob, what);
    const size = content.blobFiles.get(digest);
    if (size === undefined) {
      inspection.find(`${what} is missing`);
      return;
    }
    if (blob.size !== undefined && size !== blob.size) {
      inspection.find(`${what} has ${size} bytes instead of ${blob.size}`);
      return;
    }
    const hashed = await inspection.hash(blobPath(content.paths, digest), blob.owner);
    if (hashed === undefined) return;
    if (hashed.sha256 !== digest) inspection.find(`${what} has other bytes: ${hashed.sha256}`);
    blobs += 1;
    bytes += hashed.size;
  });
  await checkExtraBlobs(inspection, pins, content, wanted);
  for (const digest of content.store.blobs.keys())
    if (!content.blobFiles.has(digest) && !wanted.has(digest))
      inspection.find(`blob ${digest} is known to containerd and is not there`);
  return { blobs, bytes };
}

function wantedBlobs(pins: TargetPins, content: StoredContent): Map<Digest, WantedBlob> {
  const wanted = new Map<Digest, WantedBlob>();
  for (const [name, pin] of Object.entries(pins.images)) {
    const owner = `image ${name}`;
    const index = keptIndex(pin, content);
    if (index !== undefined && index !== pin.manifest.digest)
      wanted.set(index, {
        owner,
        kind: 'index',
        ...(pin.keptIndex === undefined ? {} : { size: pin.keptIndex.size }),
      });
    wanted.set(pin.manifest.digest, { owner, kind: 'manifest', size: pin.manifest.size });
    wanted.set(pin.config.digest, { owner, kind: 'config', size: pin.config.size });
    for (const layer of pin.layers)
      if (!wanted.has(layer.digest))
        wanted.set(layer.digest, { owner, kind: 'layer', size: layer.size });
  }
  return wanted;
}

function checkRecord(
  inspection: Inspection,
  content: StoredContent,
  digest: Digest,
  blob: WantedBlob,
  what: string,
): void {
  const record = content.store.blobs.get(digest);
  if (record === undefined) inspection.find(`${what} is unknown to containerd`);
  else if (blob.size !== undefined && record.size !== blob.size)
    inspection.find(`${what} has ${record.size} bytes for containerd instead of ${blob.size}`);
}

/**
 * `docker load` imports an archive's index.json as a blob of its own that nothing refers to; containerd
 * collects it after a later removal, so whether it is still there is chance. It is let pass only where
 * all it does is to point at pinned manifests: then it is some hundred bytes that nothing can be run from.
 */
async function checkExtraBlobs(
  inspection: Inspection,
  pins: TargetPins,
  content: StoredContent,
  wanted: ReadonlyMap<Digest, WantedBlob>,
): Promise<void> {
  const manifests = new Set<Digest>();
  for (const pin of Object.values(pins.images)) {
    manifests.add(pin.manifest.digest);
    if (pin.index !== undefined) manifests.add(pin.index);
  }
  for (const [digest, size] of content.blobFiles) {
    if (wanted.has(digest)) continue;
    if (size <= LARGEST_INDEX && (await pointsOnlyAt(inspection, content, digest, manifests)))
      continue;
    inspection.findExtra(`blob ${digest} (${size} bytes) belongs to no pinned image`);
  }
}

async function pointsOnlyAt(
  inspection: Inspection,
  content: StoredContent,
  digest: Digest,
  manifests: ReadonlySet<Digest>,
): Promise<boolean> {
  const bytes = await inspection.read(blobPath(content.paths, digest), `blob ${digest}`);
  if (bytes === undefined) return false;
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    return false;
  }
  if (!isRecord(document) || !Array.isArray(document['manifests'])) return false;
  return document['manifests'].every((entry: unknown) => {
    const pointed = isRecord(entry) ? parseDigest(entry['digest']) : undefined;
    return pointed !== undefined && manifests.has(pointed);
  });
}

/**
 * containerd collects what no label holds (core/metadata/gc.go): the index must hold its manifest, the
 * manifest its config and layers, the config the topmost snapshot. Without them an image is whole until the device
 * removes any other.
 */
export async function checkLabels(
  inspection: Inspection,
  pins: TargetPins,
  content: StoredContent,
): Promise<void> {
  const held = (digest: Digest, prefix: string): string[] =>
    Object.entries(content.store.blobs.get(digest)?.labels ?? {})
      .filter(([label]) => label.startsWith(prefix))
      .map(([, value]) => value);
  for (const [name, pin] of Object.entries(pins.images)) {
    const owner = `image ${name}`;
    if (!content.store.blobs.has(pin.manifest.digest)) continue;
    const children = held(pin.manifest.digest, 'containerd.io/gc.ref.content.');
    for (const { digest } of [pin.config, ...pin.layers])
      if (!children.includes(digest))
        inspection.find(
          `${owner}: containerd may collect ${digest}: its manifest's label is missing`,
        );
    const index = keptIndex(pin, content);
    if (index === undefined || index === pin.manifest.digest) continue;
    if (!held(index, 'containerd.io/gc.ref.content.').includes(pin.manifest.digest))
      inspection.find(
        `${owner}: containerd may collect ${pin.manifest.digest}: its index's label is missing`,
      );
    const document = await readJsonBlob(inspection, content, index, owner);
    const entries = isRecord(document) ? document['manifests'] : undefined;
    const listed: readonly unknown[] = Array.isArray(entries) ? entries : [];
    if (!listed.some((entry) => isRecord(entry) && entry['digest'] === pin.manifest.digest))
      inspection.find(`${owner}: index ${index} does not list manifest ${pin.manifest.digest}`);
  }
}

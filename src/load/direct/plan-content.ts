import { readFile } from 'node:fs/promises';
import { chainIds } from '../../data-root/containerd-store.ts';
import type { Descriptor } from '../../model/descriptor.ts';
import type { Digest } from '../../model/digest.ts';
import { digestOf } from '../../model/digest.ts';
import type { BlobBad, PinContradicted } from '../../model/failure.ts';
import { errorCode } from '../../model/file-failure.ts';
import type { ImagePin, TargetPins } from '../../model/pins.ts';
import type { Result } from '../../model/result.ts';
import { fail, ok } from '../../model/result.ts';
import { readDiffIds, readImageParts } from '../../oci/image-parts.ts';
import type { Store } from '../../store/store.ts';

/** One layer on top of those below it: what becomes one directory of the engine's. */
export interface PlannedLayer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  /** From the nearest down to the base. */
  readonly below: readonly PlannedLayer[];
  readonly blob: Descriptor;
  /** Whose it is, for messages: the first image in the order of names. */
  readonly image: string;
  /** Where this is the same layer, packed otherwise by another image: the one that is unpacked. */
  readonly furtherOf?: PlannedLayer;
}

/** A pinned image with what its documents say. */
export interface PlannedImage {
  /** In the bundle. */
  readonly name: string;
  readonly pin: ImagePin;
  readonly diffIds: readonly Digest[];
  /** From the base up. */
  readonly layers: readonly PlannedLayer[];
  /** Byte for byte. */
  readonly config: Uint8Array;
  readonly manifest: Uint8Array;
  /** The index that is kept, and what it lists. */
  readonly index?: { readonly bytes: Uint8Array; readonly manifests: readonly Digest[] };
  /** Seconds since 1970, where the config says when it was made. */
  readonly created?: number;
}

export interface PlannedContent {
  /** In the order of their names. */
  readonly images: readonly PlannedImage[];
  /** Each once, parents before children. */
  readonly layers: readonly PlannedLayer[];
  /** Further blobs of what layers unpack to: kept beside theirs, and not unpacked again. */
  readonly further: readonly PlannedLayer[];
}

/** Reads the small documents of all images; everything is decided by them. Fails with `blob-bad` and `pin-contradicted`. */
export async function planContent(pins: TargetPins, store: Store): Promise<Result<PlannedContent>> {
  const layers = new Map<Digest, PlannedLayer>();
  const images: PlannedImage[] = [];
  const byName = Object.entries(pins.images).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, pin] of byName) {
    const image = await planImage(name, pin, store, layers);
    if (!image.ok) return image;
    images.push(image.value);
  }
  return ok({ images, layers: [...layers.values()], further: furtherBlobs(images, layers) });
}

/** An image's blob may be packed otherwise than that of the image which has the same layer first. */
function furtherBlobs(
  images: readonly PlannedImage[],
  layers: ReadonlyMap<Digest, PlannedLayer>,
): PlannedLayer[] {
  const keyOf = ({ digest }: Descriptor, diffId: Digest): string => `${digest} ${diffId}`;
  const known = new Set([...layers.values()].map(({ blob, diffId }) => keyOf(blob, diffId)));
  const further: PlannedLayer[] = [];
  for (const { name, pin, layers: own } of images)
    for (const [i, layer] of own.entries()) {
      const blob = pin.layers[i];
      if (blob === undefined || known.has(keyOf(blob, layer.diffId))) continue;
      known.add(keyOf(blob, layer.diffId));
      further.push({ ...layer, blob, image: name, furtherOf: layer });
    }
  return further;
}

async function planImage(
  name: string,
  pin: ImagePin,
  store: Store,
  known: Map<Digest, PlannedLayer>,
): Promise<Result<PlannedImage>> {
  const manifest = await readDocument(pin.manifest, name, store);
  if (!manifest.ok) return manifest;
  const config = await readDocument(pin.config, name, store);
  if (!config.ok) return config;
  const diffIds = readDiffIds(config.value);
  if (diffIds?.length !== pin.layers.length)
    return fail(
      contradicted(name, pin, `its config ${pin.config.digest} does not list its layers`),
    );
  const layers: PlannedLayer[] = [];
  for (const [i, chainId] of chainIds(diffIds).entries()) {
    const [blob, diffId] = [pin.layers[i], diffIds[i]];
    if (blob === undefined || diffId === undefined) throw new Error('a layer has no blob');
    let layer = known.get(chainId);
    if (layer === undefined) {
      layer = { chainId, diffId, below: [...layers].reverse(), blob, image: name };
      known.set(chainId, layer);
    }
    layers.push(layer);
  }
  const created = createdIn(config.value);
  const image = {
    ...{ name, pin, diffIds, layers, config: config.value, manifest: manifest.value },
    ...(created === undefined ? {} : { created }),
  };
  if (pin.keptIndex === undefined) return ok(image);
  const bytes = await readDocument(pin.keptIndex, name, store);
  if (!bytes.ok) return bytes;
  const parts = readImageParts(bytes.value);
  if (parts?.kind !== 'index')
    return fail(contradicted(name, pin, `${pin.keptIndex.digest} is no index`));
  const manifests = parts.parts.map(({ digest }) => digest);
  return ok({ ...image, index: { bytes: bytes.value, manifests } });
}

function contradicted(image: string, pin: ImagePin, detail: string): PinContradicted {
  return { reason: 'pin-contradicted', image, reference: pin.reference, detail };
}

/** RFC 3339 with its zone: others would be this machine's local time. */
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** OCI image-spec, config.md: `created`, a time of RFC 3339. Undefined where it is none. */
function createdIn(config: Uint8Array): number | undefined {
  const { created } = JSON.parse(Buffer.from(config).toString('utf8')) as { created?: unknown };
  if (typeof created !== 'string' || !TIME.test(created)) return undefined;
  const time = Math.floor(Date.parse(created) / 1000);
  return Number.isSafeInteger(time) ? time : undefined;
}

async function readDocument(
  blob: Descriptor,
  owner: string,
  store: Store,
): Promise<Result<Uint8Array>> {
  const bad = (problem: BlobBad['problem']): Result<never> =>
    fail({ reason: 'blob-bad', problem, digest: blob.digest, owner, store: store.directory });
  try {
    const bytes = await readFile(store.blobPath(blob.digest));
    return digestOf(bytes) === blob.digest ? ok(bytes) : bad('wrong digest');
  } catch (error) {
    return bad(errorCode(error) === 'ENOENT' ? 'missing' : 'unreadable');
  }
}

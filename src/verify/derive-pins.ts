import type { Descriptor } from '../model/descriptor.ts';
import { parseDigest } from '../model/digest.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import type { Inspection } from './inspection.ts';
import type { StoredContent } from './stored-content.ts';
import { isRecord, readJsonBlob } from './stored-content.ts';

/** The pins that a data image is consistent with, if it is: made of the images that its engine lists. */
export async function derivePins(
  inspection: Inspection,
  content: StoredContent,
): Promise<TargetPins> {
  const images: Record<string, ImagePin> = {};
  for (const [name, { target }] of content.store.images) {
    const owner = `image ${name}`;
    if (!content.blobFiles.has(target.digest)) {
      inspection.find(`${owner}: ${target.digest} is missing`);
      continue;
    }
    const document = await readJsonBlob(inspection, content, target.digest, owner);
    if (!isRecord(document)) continue;
    const listed: unknown = document['manifests'];
    const manifest = Array.isArray(listed) ? choose(listed, content) : target;
    const body =
      manifest === target || manifest === undefined
        ? document
        : await readJsonBlob(inspection, content, manifest.digest, owner);
    const pin = manifest === undefined ? undefined : readPin(name, target, manifest, body);
    if (pin === undefined) inspection.find(`${owner}: ${target.digest} leads to no manifest`);
    else images[name] = pin;
  }
  return { target: { platform: '', set: {} }, images, files: {} };
}

/** The first manifest of an index whose blob is there: an engine stores one platform of several. */
function choose(entries: readonly unknown[], content: StoredContent): Descriptor | undefined {
  return entries
    .map(readDescriptor)
    .find((entry) => entry !== undefined && content.blobFiles.has(entry.digest));
}

function readPin(
  name: string,
  target: Descriptor,
  manifest: Descriptor,
  body: unknown,
): ImagePin | undefined {
  if (!isRecord(body) || !Array.isArray(body['layers'])) return undefined;
  const config = readDescriptor(body['config']);
  const layers = body['layers'].map(readDescriptor);
  if (config === undefined || !layers.every((layer) => layer !== undefined)) return undefined;
  return {
    reference: `${name}@${target.digest}`,
    ...(target === manifest ? {} : { index: target.digest }),
    manifest,
    config,
    layers,
    platform: '',
    names: [name],
  };
}

function readDescriptor(value: unknown): Descriptor | undefined {
  if (!isRecord(value)) return undefined;
  const digest = parseDigest(value['digest']);
  const size = value['size'];
  if (digest === undefined || typeof size !== 'number' || !Number.isSafeInteger(size))
    return undefined;
  const mediaType = value['mediaType'];
  return { digest, size, mediaType: typeof mediaType === 'string' ? mediaType : '' };
}

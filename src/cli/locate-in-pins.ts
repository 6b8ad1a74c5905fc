import { readFile } from 'node:fs/promises';
import { parseYaml } from '../model/bundle-yaml.ts';
import type { YamlDocument, YamlPath } from '../model/bundle-yaml.ts';
import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { Failure } from '../model/failure.ts';
import type { ImagePin, Pins, PlatformPin } from '../model/pins.ts';
import { parsePins } from '../model/pins-document.ts';
import { DIND } from '../plan/fetch-plan.ts';

/** What a registry was asked for, in its own or skopeo's words. */
const DIGESTS = /\bsha256:[0-9a-f]{64}\b/g;

/**
 * A failure about what is pinned, with the line of the pins `file` that says so: what somebody edited there is neither
 * the bundle's fault nor the registry's. Failures about anything else stay as they are, and so they do where the file
 * has no such line.
 */
export async function locateInPins(failure: Failure, file: string): Promise<Failure> {
  if (failure.reason === 'registry-refused') {
    const line = lineOfDigest(await read(file), failure.detail);
    return line === undefined ? failure : { ...failure, pins: { file, line } };
  }
  if (failure.reason === 'pins-stale' && failure.edited !== undefined) {
    const { locate } = parsed(await read(file)) ?? {};
    if (locate === undefined) return failure;
    const edited = failure.edited.map((pin) => ({ ...pin, line: locate(pin.path, 'key').line }));
    return { ...failure, edited };
  }
  if (failure.reason === 'pin-contradicted' || failure.reason === 'platform-mismatch') {
    const line = lineOfImage(await read(file), file, failure);
    return line === undefined ? failure : { ...failure, pins: { file, line } };
  }
  return failure;
}

/** Nothing where it can't be read: the failure is known already. */
async function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

/** JSON is YAML. */
function parsed(text: string): YamlDocument | undefined {
  const document = parseYaml(text);
  return document.ok ? document.value : undefined;
}

function lineOfDigest(text: string, detail: string): number | undefined {
  const asked = detail.match(DIGESTS) ?? [];
  const at = text.split('\n').findIndex((line) => asked.some((digest) => line.includes(digest)));
  return at === -1 ? undefined : at + 1;
}

function lineOfImage(text: string, file: string, about: About): number | undefined {
  const pins = parsePins(text, file);
  const path = pins.ok ? pathOf(pins.value, about) : undefined;
  return path === undefined ? undefined : parsed(text)?.locate(path, 'key').line;
}

/** What a failure is about: an image or file, and what is pinned of it where that is known. */
interface About {
  readonly image: string;
  readonly reference: string;
  readonly pinned?: Pick<Descriptor, 'digest' | 'size'>;
}

/** The digest in question, in the first target that has it; the whole image where no digest is. */
function pathOf(pins: Pins, about: About): YamlPath | undefined {
  const { pinned } = about;
  const places = placesOf(pins, about);
  const exact = places
    .flatMap(({ path, parts }) => parts.map((part) => ({ ...part, path: [...path, ...part.at] })))
    .find(({ digest, size }) => digest === pinned?.digest && size === pinned.size);
  return exact?.path ?? places[0]?.path;
}

interface Place {
  readonly path: YamlPath;
  readonly parts: readonly Part[];
}

interface Part {
  readonly at: YamlPath;
  readonly digest: Digest;
  readonly size: number;
}

/** The same image may be pinned for several targets. */
function placesOf({ targets }: Pins, { image, reference }: About): readonly Place[] {
  return Object.entries(targets).flatMap(([key, { images, files, dind }]): readonly Place[] => {
    const pin = Object.hasOwn(images, image) ? images[image] : undefined;
    if (pin?.reference === reference)
      return [{ path: ['targets', key, 'images', image], parts: partsOf(pin, []) }];
    const file = Object.hasOwn(files, image) ? files[image] : undefined;
    if (file !== undefined) {
      const part = { at: ['sha256'], digest: file.sha256, size: file.size };
      return [{ path: ['targets', key, 'files', image], parts: [part] }];
    }
    if (image !== DIND || dind?.reference !== reference) return [];
    const parts = Object.entries(dind.platforms).flatMap(([platform, image]) =>
      partsOf(image, ['platforms', platform]),
    );
    return [{ path: ['targets', key, 'dind'], parts }];
  });
}

function partsOf(
  image: PlatformPin & Pick<ImagePin, 'keptIndex'>,
  above: YamlPath,
): readonly Part[] {
  const { manifest, config, layers, keptIndex } = image;
  const part = ({ digest, size }: Descriptor, ...at: YamlPath): Part => ({
    at: [...above, ...at, 'digest'],
    digest,
    size,
  });
  return [
    part(manifest, 'manifest'),
    part(config, 'config'),
    ...layers.map((layer, index) => part(layer, 'layers', index)),
    ...(keptIndex === undefined ? [] : [part(keptIndex, 'keptIndex')]),
  ];
}

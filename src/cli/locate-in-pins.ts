import { readFile } from 'node:fs/promises';
import { parseYaml } from '../model/bundle-yaml.ts';
import type { YamlDocument } from '../model/bundle-yaml.ts';
import type { Failure } from '../model/failure.ts';
import type { Pins } from '../model/pins.ts';
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

function lineOfImage(
  text: string,
  file: string,
  { image, reference }: { readonly image: string; readonly reference: string },
): number | undefined {
  const pins = parsePins(text, file);
  const path = pins.ok ? pathOf(pins.value, image, reference) : undefined;
  return path === undefined ? undefined : parsed(text)?.locate(path, 'key').line;
}

function pathOf({ targets }: Pins, image: string, reference: string): string[] | undefined {
  for (const [key, { images, dind }] of Object.entries(targets)) {
    const pin = Object.hasOwn(images, image) ? images[image] : undefined;
    if (pin?.reference === reference) return ['targets', key, 'images', image];
    if (image === DIND && dind?.reference === reference) return ['targets', key, 'dind'];
  }
  return undefined;
}

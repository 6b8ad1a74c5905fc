import type { Digest } from '../model/digest.ts';
import { digestOf } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { PinContradicted } from '../model/failure.ts';
import type { DindPin, ImagePin, PlatformPin, TargetPins } from '../model/pins.ts';
import { parseReference } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import type { Contradiction } from '../plan/compare-parts.ts';
import { contradictedParts, contradictedSize } from '../plan/compare-parts.ts';
import { DIND } from '../plan/fetch-plan.ts';
import type { NetworkAccess } from './access.ts';
import { unread } from './check-index.ts';
import { readImageDocument } from './image-documents.ts';
import { redact } from './redact.ts';
import { readRaw } from './resolve.ts';

/**
 * Compares what pins say of sizes, configs and layers with the manifests that they name: as `now`, pinned a moment ago,
 * has them, or else as the registry gives them. A manifest that can no longer be read is told as a warning; a local
 * image that has changed is compared when it is copied. Fails with pin-contradicted, and when it is interrupted.
 */
export async function checkParts(
  pins: TargetPins,
  now: TargetPins,
  access: NetworkAccess,
  context: Context,
): Promise<Result<void>> {
  for (const [path, { sha256, size, url }] of Object.entries(pins.files)) {
    const file = Object.hasOwn(now.files, path) ? now.files[path] : undefined;
    if (file?.sha256 === sha256 && file.size !== size)
      return contradicted(
        path,
        url === undefined ? 'its content' : redact(url),
        contradictedSize({ digest: sha256, size }, file.size),
      );
  }
  const known = new Map(pinnedManifests(now).map(({ parts }) => [parts.manifest.digest, parts]));
  for (const { image, pin, parts } of pinnedManifests(pins)) {
    const { reference } = pin;
    const kept = keptIndexes(pins, now, image);
    if (kept !== undefined) return contradicted(image, reference, kept);
    const actual = known.get(parts.manifest.digest);
    const found =
      actual === undefined
        ? await askFor(image, pin, parts, access, context)
        : ok(contradictedParts(parts, actual));
    if (!found.ok) return found;
    if (found.value !== undefined) return contradicted(image, reference, found.value);
  }
  return ok();
}

async function askFor(
  image: string,
  { reference, from }: ImagePin | DindPin,
  parts: PlatformPin,
  access: NetworkAccess,
  context: Context,
): Promise<Result<Contradiction | undefined>> {
  const parsed = parseReference(reference);
  if (from !== undefined || !parsed.ok) return ok(undefined);
  const { digest } = parts.manifest;
  const read = await readRaw(image, parsed.value, { digest }, access, context);
  if (read.ok) return ok(compareManifest(parts, read.value));
  const { failure } = read;
  if (failure.reason === 'interrupted') return read;
  const detail = `${unread(failure, `the manifest ${digest}`)}: whether its parts are those that are pinned can't be seen`;
  context.report({ type: 'warning', about: image, detail });
  return ok(undefined);
}

/** `bytes` are of the pinned manifest. */
export function compareManifest(pinned: PlatformPin, bytes: Uint8Array): Contradiction | undefined {
  const digest: Digest = digestOf(bytes);
  const document = readImageDocument(bytes);
  if (document.kind === 'manifest') {
    const { config, layers, mediaType } = document;
    const manifest = { digest, size: bytes.length, mediaType };
    return contradictedParts(pinned, { manifest, config, layers });
  }
  const detail = document.kind === 'index' ? `${digest} is an index` : document.detail;
  return { detail, pinned: pinned.manifest };
}

function keptIndexes(pins: TargetPins, now: TargetPins, image: string): Contradiction | undefined {
  const indexOf = ({ images }: TargetPins): ImagePin['keptIndex'] =>
    Object.hasOwn(images, image) ? images[image]?.keptIndex : undefined;
  const [pinned, actual] = [indexOf(pins), indexOf(now)];
  return pinned !== undefined && pinned.digest === actual?.digest && pinned.size !== actual.size
    ? contradictedSize(pinned, actual.size)
    : undefined;
}

interface PinnedManifest {
  readonly image: string;
  readonly pin: ImagePin | DindPin;
  readonly parts: PlatformPin;
}

function pinnedManifests({ images, dind }: TargetPins): readonly PinnedManifest[] {
  return [
    ...Object.entries(images).map(([image, pin]) => ({ image, pin, parts: pin })),
    ...(dind === undefined
      ? []
      : Object.values(dind.platforms).map((parts) => ({ image: DIND, pin: dind, parts }))),
  ];
}

function contradicted(
  image: string,
  reference: string,
  contradiction: Contradiction,
): Result<never, PinContradicted> {
  return fail({ reason: 'pin-contradicted', image, reference, ...contradiction });
}

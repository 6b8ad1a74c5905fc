import type { Digest } from '../model/digest.ts';
import type { Context } from '../model/event.ts';
import type { Failure } from '../model/failure.ts';
import { isIndexType } from '../model/media-types.ts';
import type { TargetPins } from '../model/pins.ts';
import { parseReference } from '../model/reference.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { DIND } from '../plan/fetch-plan.ts';
import type { NetworkAccess } from './access.ts';
import { readImageDocument } from './image-documents.ts';
import { readRaw } from './resolve.ts';

/** Whether an index says that a manifest is not its own. One that has indexes below it does not say. */
export function leavesOut(index: Uint8Array, manifest: Digest): boolean {
  const document = readImageDocument(index);
  if (document.kind !== 'index') return true;
  return !document.entries.some(
    ({ digest, mediaType }) => digest === manifest || isIndexType(mediaType),
  );
}

/**
 * Asks the registries whether the indexes in pins list the manifests beside them, but for those that `now`, pinned a
 * moment ago, has too. An index that can no longer be read is told as a warning. Fails with pin-contradicted, and when
 * it is interrupted.
 */
export async function checkIndexes(
  pins: TargetPins,
  now: TargetPins,
  access: NetworkAccess,
  context: Context,
): Promise<Result<void>> {
  for (const { image, reference, index, manifests } of pinnedIndexes(pins)) {
    const known = pinnedIndexes(now).find((other) => other.image === image);
    const unseen = manifests.filter(
      (manifest) => known?.index !== index || !known.manifests.includes(manifest),
    );
    const parsed = parseReference(reference);
    if (unseen.length === 0 || !parsed.ok) continue;
    const read = await readRaw(image, parsed.value, { digest: index }, access, context);
    if (!read.ok) {
      const { failure } = read;
      if (failure.reason === 'interrupted') return read;
      // What is wanted now was found: where the old one comes from may be gone, or closed.
      const detail = `${unread(failure, `the index ${index}`)}: whether it listed what is pinned can't be seen`;
      context.report({ type: 'warning', about: image, detail });
      continue;
    }
    const wrong = unseen.find((manifest) => leavesOut(read.value, manifest));
    if (wrong !== undefined)
      return fail({
        reason: 'pin-contradicted',
        image,
        reference,
        detail: `that index does not list the manifest ${wrong}`,
      });
  }
  return ok();
}

interface PinnedIndex {
  readonly image: string;
  readonly reference: string;
  readonly index: Digest;
  readonly manifests: readonly Digest[];
}

/** Those of registries: what is on this machine is compared with the pins whenever it is copied. */
function pinnedIndexes({ images, dind }: TargetPins): readonly PinnedIndex[] {
  const all = [
    ...Object.entries(images).map(([image, pin]) => ({ image, pin, manifests: [pin.manifest] })),
    ...(dind === undefined
      ? []
      : [
          {
            image: DIND,
            pin: dind,
            manifests: Object.values(dind.platforms).map(({ manifest }) => manifest),
          },
        ]),
  ];
  return all.flatMap(({ image, pin: { reference, index, from }, manifests }) =>
    index === undefined || from !== undefined
      ? []
      : [{ image, reference, index, manifests: manifests.map(({ digest }) => digest) }],
  );
}

/** Such as `nobody has the index sha256:… any more`. */
export function unread(failure: Failure, what: string): string {
  const isGone = failure.reason === 'registry-refused' && failure.why === 'not-found';
  return isGone ? `nobody has ${what} any more` : `nobody gave ${what}`;
}

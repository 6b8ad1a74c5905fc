import type { Descriptor } from '../model/descriptor.ts';
import type { Digest } from '../model/digest.ts';
import type { PlatformPin } from '../model/pins.ts';

/** What pins say of content and the content itself does not. */
export interface Contradiction {
  /** A phrase that tells both. */
  readonly detail: string;
  /** As it is in the pins; absent where it is not about one digest alone. */
  readonly pinned?: Pick<Descriptor, 'digest' | 'size'>;
}

/**
 * Where the parts pinned beside a manifest are not those that it lists: another digest, size or media type, more or
 * fewer of them, another order. `actual` is of the manifest with the pinned digest. Undefined where they agree.
 */
export function contradictedParts(
  pinned: PlatformPin,
  actual: PlatformPin,
): Contradiction | undefined {
  const { digest: manifest } = actual.manifest;
  const [claimed, listed] = [pinned, actual].map((image) => [
    image.manifest,
    image.config,
    ...image.layers,
  ]) as [Descriptor[], Descriptor[]];
  for (const part of claimed) {
    const { digest, mediaType } = part;
    const found = listed.find((other) => other.digest === digest);
    if (found === undefined)
      return { detail: `they name ${digest}, which is no part of ${manifest}`, pinned: part };
    if (found.size !== part.size) return contradictedSize(part, found.size);
    if (found.mediaType !== mediaType) {
      const detail = `they call ${digest} ${mediaType}, and it is ${found.mediaType}`;
      return { detail, pinned: part };
    }
  }
  const order = (parts: readonly Descriptor[]): string => parts.map(({ digest }) => digest).join();
  return order(claimed) === order(listed)
    ? undefined
    : { detail: `config and layers of ${manifest} are others, or in another order` };
}

/** The digest is right, so whoever serves it is: its size in the pins is not. */
export function contradictedSize(
  pinned: { readonly digest: Digest; readonly size: number },
  actual: number,
): Contradiction {
  const { digest, size } = pinned;
  return { detail: `they give ${digest} ${size} bytes, and it has ${actual}`, pinned };
}

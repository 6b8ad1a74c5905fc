import type { Digest } from '../model/digest.ts';
import type { ImagePin } from '../model/pins.ts';

/** One image that an engine loads, and what of it others bring. */
export interface PlannedLoad {
  /** The bundle's names for it, joined by `, `. */
  readonly name: string;
  /** With every name that any of them gives it. */
  readonly image: ImagePin;
  /** Layers that loads earlier in the order bring; each layer is brought once. */
  readonly borrowed: ReadonlySet<Digest>;
  /** The loads that bring them, which must be through before this one's layers are unpacked. */
  readonly after: readonly PlannedLoad[];
}

/**
 * The order in which images are loaded side by side, with no layer copied or unpacked twice. The smallest image
 * brings what others wait for; the rest goes largest first (HAOS #2054: a load needs space while it runs).
 */
export function planLoads(images: Readonly<Record<string, ImagePin>>): readonly PlannedLoad[] {
  const bySize = onceEach(images).sort(
    ([a, imageA], [b, imageB]) => layerBytes(imageA) - layerBytes(imageB) || (a < b ? -1 : 1),
  );
  const bringers = new Set<string>();
  const met = new Map<Digest, string>();
  for (const [name, image] of bySize)
    for (const { digest } of image.layers) {
      const first = met.get(digest);
      if (first === undefined) met.set(digest, name);
      else if (first !== name) bringers.add(first);
    }
  const order = [
    ...bySize.filter(([name]) => bringers.has(name)),
    ...bySize.filter(([name]) => !bringers.has(name)).reverse(),
  ];
  const broughtBy = new Map<Digest, PlannedLoad>();
  return order.map(([name, image]) => {
    const borrowed = image.layers.flatMap(({ digest }) => {
      const load = broughtBy.get(digest);
      return load === undefined ? [] : [{ digest, load }];
    });
    const planned: PlannedLoad = {
      name,
      image,
      borrowed: new Set(borrowed.map(({ digest }) => digest)),
      after: [...new Set(borrowed.map(({ load }) => load))],
    };
    for (const { digest } of image.layers)
      if (!broughtBy.has(digest)) broughtBy.set(digest, planned);
    return planned;
  });
}

/** Compressed bytes of all its layers. */
export function layerBytes(image: ImagePin): number {
  return image.layers.reduce((sum, layer) => sum + layer.size, 0);
}

/**
 * Bundle entries of one image as one, with the names of all: an image that is loaded twice gets a second, nameless
 * record that keeps its content for ever.
 */
function onceEach(images: Readonly<Record<string, ImagePin>>): [string, ImagePin][] {
  const byDigest = new Map<Digest, [string, ImagePin]>();
  for (const [name, image] of Object.entries(images)) {
    const known = byDigest.get(image.manifest.digest);
    byDigest.set(
      image.manifest.digest,
      known === undefined
        ? [name, image]
        : [
            `${known[0]}, ${name}`,
            { ...known[1], names: [...new Set([...known[1].names, ...image.names])].sort() },
          ],
    );
  }
  return [...byDigest.values()];
}

import type { PlannedLayer } from './plan-content.ts';

/**
 * Layers are read by two threads at a time, each its own lane of them. How many processors there are plays no part: the
 * order in which entries are written, and with it the image, depends on the lanes.
 */
export const LANES = 2;

/** Deals out the layers so that the lanes are about equally long: the largest first. The blobs' sizes tell. */
export function dealLayers(layers: readonly PlannedLayer[]): readonly (readonly PlannedLayer[])[] {
  const lanes = Array.from({ length: LANES }, () => ({ layers: [] as PlannedLayer[], bytes: 0 }));
  const bySize = [...layers].sort(
    (a, b) => b.blob.size - a.blob.size || (keyOf(a) < keyOf(b) ? -1 : 1),
  );
  for (const layer of bySize) {
    const shortest = lanes.reduce((least, lane) => (lane.bytes < least.bytes ? lane : least));
    shortest.layers.push(layer);
    shortest.bytes += layer.blob.size + PER_LAYER;
  }
  return lanes.map((lane) => lane.layers);
}

/** Blobs of the same layer differ in their digests alone. */
function keyOf({ chainId, blob }: PlannedLayer): string {
  return `${chainId} ${blob.digest}`;
}

/** What a layer costs besides its bytes, in bytes. */
const PER_LAYER = 64 * 1024;

/** Something with a size, as `mergeLanes` counts it. */
export interface Weighed {
  readonly bytes: number;
}

/**
 * The items of several sources as one: always the next of that which has given the fewest bytes so far, the first of
 * those that have given as many. So all get on equally fast, and the order depends on what they give alone.
 */
export async function* mergeLanes<T extends Weighed>(
  sources: readonly AsyncIterable<T>[],
): AsyncGenerator<T, void> {
  const lanes = sources.map((source) => ({ items: source[Symbol.asyncIterator](), bytes: 0 }));
  let open = [...lanes];
  try {
    while (open.length > 0) {
      const lane = open.reduce((least, other) => (other.bytes < least.bytes ? other : least));
      const next = await lane.items.next();
      if (next.done === true) {
        open = open.filter((other) => other !== lane);
        continue;
      }
      lane.bytes += next.value.bytes;
      yield next.value;
    }
  } finally {
    for (const { items } of open) await items.return?.();
  }
}

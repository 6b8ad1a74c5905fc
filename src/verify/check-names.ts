import type { Digest } from '../model/digest.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import type { Inspection } from './inspection.ts';
import type { StoredContent } from './stored-content.ts';

/** The engine's names are exactly the pinned ones, each on its pinned manifest, or on its index if that was kept. */
export function checkNames(inspection: Inspection, pins: TargetPins, content: StoredContent): void {
  const expected = new Map<string, { readonly owner: string; readonly pin: ImagePin }>();
  for (const [owner, pin] of Object.entries(pins.images))
    for (const name of pin.names) expected.set(name, { owner, pin });
  for (const [name, { owner, pin }] of expected) {
    const target = content.store.images.get(name)?.target;
    if (target === undefined) inspection.find(`image ${owner}: the engine has no ${name}`);
    else if (pin.keptIndex !== undefined && target.digest !== pin.keptIndex.digest)
      inspection.find(
        `image ${owner}: ${name} is ${target.digest}, and not its index ${pin.keptIndex.digest}`,
      );
    else if (target.digest !== pin.manifest.digest && target.digest !== pin.index)
      inspection.find(
        `image ${owner}: ${name} is ${target.digest}, pinned is ${pin.manifest.digest}`,
      );
    else if (target.digest === pin.manifest.digest && target.size !== pin.manifest.size)
      inspection.find(
        `image ${owner}: ${name} has a manifest of ${target.size} bytes, pinned are ${pin.manifest.size}`,
      );
  }
  for (const [name, image] of content.store.images)
    if (!expected.has(name))
      inspection.findExtra(`image ${name} is not pinned (it is ${image.target.digest})`);
  const foreign = content.store.namespaces.filter((namespace) => namespace !== 'moby');
  for (const namespace of foreign)
    inspection.findExtra(`containerd has a namespace ${namespace}, which the engine does not use`);
  for (const container of content.store.containers)
    inspection.findExtra(`containerd has a container ${container}, left from building`);
  for (const lease of content.store.leases)
    inspection.findExtra(
      `containerd has a lease ${lease}, left from building: it would keep content for ever`,
    );
  for (const ingest of content.store.ingests)
    inspection.findExtra(`containerd has an unfinished download ${ingest}`);
}

/** The index an image's names point at, if they do. */
export function keptIndex(pin: ImagePin, content: StoredContent): Digest | undefined {
  return pin.names.some((name) => content.store.images.get(name)?.target.digest === pin.index)
    ? pin.index
    : undefined;
}

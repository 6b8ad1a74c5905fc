import { chainIds } from '../data-root/containerd-store.ts';
import type { Digest } from '../model/digest.ts';
import { parseDigest } from '../model/digest.ts';
import type { ImagePin, TargetPins } from '../model/pins.ts';
import type { Inspection } from './inspection.ts';
import { eachOfTwo } from './inspection.ts';
import type { UnpackedLayer } from './check-unpacked.ts';
import type { StoredContent } from './stored-content.ts';
import { blobPath, isRecord, readJsonBlob } from './stored-content.ts';

interface WantedSnapshot {
  readonly owner: string;
  readonly parent: string | undefined;
  /** Of the layer. */
  readonly digest: Digest | undefined;
  readonly diffId: Digest | undefined;
  /** Chain IDs below it, the nearest first. */
  readonly lower: readonly string[];
}

/**
 * Every layer of every pinned image, of whatever platform, is unpacked: meta.db and the snapshotter agree on a
 * committed snapshot for it, on the right parent, with a directory on the disk. Nothing else is unpacked.
 * Returns how many snapshots there should be, and those whose files can be looked at.
 */
export async function checkSnapshots(
  inspection: Inspection,
  pins: TargetPins,
  content: StoredContent,
): Promise<{ readonly snapshots: number; readonly layers: readonly UnpackedLayer[] }> {
  const wanted = new Map<string, WantedSnapshot>();
  const tops: { readonly owner: string; readonly top: string; readonly label?: string }[] = [];
  const kept = new Set<string>();
  let complete = true;
  for (const [name, pin] of Object.entries(pins.images)) {
    const owner = `image ${name}`;
    const diffIds = await readDiffIds(inspection, content, pin, owner);
    if (diffIds === undefined) {
      complete = false;
      continue;
    }
    const chain = chainIds(diffIds);
    chain.forEach((chainId, i) => {
      if (wanted.has(chainId)) return;
      const [digest, diffId] = [pin.layers[i]?.digest, diffIds[i]];
      const lower = chain.slice(0, i).reverse();
      wanted.set(chainId, { owner, parent: chain[i - 1], digest, diffId, lower });
    });
    const label = content.store.blobs.get(pin.config.digest)?.labels[
      'containerd.io/gc.ref.snapshot.overlayfs'
    ];
    const top = chain.at(-1);
    if (top === undefined) continue;
    tops.push({ owner, top, ...(label === undefined ? {} : { label }) });
    if (label === top) for (const chainId of chain) kept.add(chainId);
  }
  // dockerd labels no config whose layers it finds unpacked for another image, which then keeps them for both.
  for (const { owner, top, label } of tops)
    if (!kept.has(top) || (label !== undefined && label !== top))
      inspection.find(
        `${owner}: containerd may collect its snapshots: its config's label is missing`,
      );
  const directories = await inspection.list(`/${content.paths.snapshots}`, 'the snapshots');
  const ids = new Set(directories?.map((entry) => entry.name) ?? []);
  await eachOfTwo(wanted, async ([chainId, { owner, parent }]) => {
    const id = checkSnapshot(inspection, content, chainId, parent, owner);
    if (id === undefined) return;
    if (directories !== undefined && !ids.has(`${id}`))
      inspection.find(
        `${owner}: snapshot ${chainId} has no directory ${content.paths.snapshots}/${id}`,
      );
    else await checkDirectory(inspection, `${content.paths.snapshots}/${id}`, owner);
  });
  // Where a config could not be read nobody knows what is too much.
  if (complete) checkExtraSnapshots(inspection, content, wanted, ids);
  return { snapshots: wanted.size, layers: layersOf(content, wanted) };
}

function layersOf(
  content: StoredContent,
  wanted: ReadonlyMap<string, WantedSnapshot>,
): readonly UnpackedLayer[] {
  const { store, paths } = content;
  const directoryOf = (chainId: string): string | undefined => {
    const record = store.records.get(store.snapshots.get(chainId)?.record ?? '');
    return record === undefined ? undefined : `/${paths.snapshots}/${record.id}/fs`;
  };
  return [...wanted].flatMap(([chainId, { owner, digest, diffId, lower }]) => {
    const directory = directoryOf(chainId);
    if (directory === undefined || digest === undefined || diffId === undefined) return [];
    const below = lower.flatMap((one) => directoryOf(one) ?? []);
    const blob = blobPath(paths, digest);
    return [{ owner, digest, diffId, blob, directory, lower: below }];
  });
}

/** Where images are kept packed, neither containerd nor its snapshotter knows of anything that is not. */
export async function checkNothingUnpacked(
  inspection: Inspection,
  content: StoredContent,
): Promise<{ readonly snapshots: 0; readonly layers: readonly [] }> {
  const { store, paths } = content;
  for (const key of store.snapshots.keys())
    inspection.find(`snapshot ${key} is unpacked, and images are to be packed`);
  for (const name of store.records.keys())
    inspection.find(`the snapshotter has ${name}, and images are to be packed`);
  for (const [digest, { labels }] of store.blobs)
    if (Object.keys(labels).some((label) => label.startsWith('containerd.io/gc.ref.snapshot.')))
      inspection.find(`blob ${digest} refers to a snapshot, and images are to be packed`);
  if (await inspection.exists(`/${paths.snapshots}`))
    for (const { name } of (await inspection.list(`/${paths.snapshots}`, 'the snapshots')) ?? [])
      inspection.find(`${paths.snapshots}/${name} is unpacked, and images are to be packed`);
  return { snapshots: 0, layers: [] };
}

async function readDiffIds(
  inspection: Inspection,
  content: StoredContent,
  pin: ImagePin,
  owner: string,
): Promise<Digest[] | undefined> {
  const config = await readJsonBlob(inspection, content, pin.config.digest, owner);
  // A missing or broken config is checkBlobs' finding.
  if (config === undefined) return undefined;
  const rootfs = isRecord(config) ? config['rootfs'] : undefined;
  const listed = isRecord(rootfs) ? rootfs['diff_ids'] : undefined;
  const diffIds = Array.isArray(listed) ? listed.map((diffId) => parseDigest(diffId)) : [undefined];
  if (!diffIds.every((diffId) => diffId !== undefined)) {
    inspection.find(`${owner}: config ${pin.config.digest} has no list of diff IDs`);
    return undefined;
  }
  if (diffIds.length !== pin.layers.length) {
    inspection.find(
      `${owner}: config ${pin.config.digest} has ${diffIds.length} diff IDs for ${pin.layers.length} layers`,
    );
    return undefined;
  }
  return diffIds;
}

/** Returns the id of the snapshot's directory. */
function checkSnapshot(
  inspection: Inspection,
  content: StoredContent,
  chainId: string,
  parent: string | undefined,
  owner: string,
): number | undefined {
  const { store } = content;
  const snapshot = store.snapshots.get(chainId);
  if (snapshot === undefined) {
    inspection.find(`${owner}: its layer with chain ID ${chainId} is not unpacked`);
    return undefined;
  }
  const what = `${owner}: snapshot ${chainId}`;
  if (snapshot.parent !== parent)
    inspection.find(
      `${what} has the parent ${snapshot.parent ?? 'none'} instead of ${parent ?? 'none'}`,
    );
  const record = store.records.get(snapshot.record);
  if (record === undefined) {
    inspection.find(`${what} is unknown to the snapshotter (${snapshot.record})`);
    return undefined;
  }
  if (record.kind !== 'committed')
    inspection.find(`${what} is ${record.kind} instead of committed`);
  const above = parent === undefined ? undefined : store.snapshots.get(parent)?.record;
  if (record.parent !== above)
    inspection.find(
      `${what} has the parent ${record.parent ?? 'none'} in the snapshotter instead of ${above ?? 'none'}`,
    );
  const parentId = above === undefined ? undefined : store.records.get(above)?.id;
  if (parentId !== undefined && !store.links.has(`${parentId}/${record.id}`))
    inspection.find(`${what} is not listed below its parent in the snapshotter`);
  return record.id;
}

async function checkDirectory(
  inspection: Inspection,
  directory: string,
  owner: string,
): Promise<void> {
  const entries = await inspection.list(`/${directory}`, owner);
  if (entries === undefined) return;
  if (!entries.some((entry) => entry.name === 'fs' && entry.type === 'directory'))
    inspection.find(`${owner}: ${directory}/fs is not there`);
}

function checkExtraSnapshots(
  inspection: Inspection,
  content: StoredContent,
  wanted: ReadonlyMap<string, unknown>,
  directories: ReadonlySet<string>,
): void {
  const { store, paths } = content;
  for (const key of store.snapshots.keys())
    if (!wanted.has(key)) inspection.findExtra(`snapshot ${key} belongs to no pinned image`);
  const records = new Set([...store.snapshots.values()].map((snapshot) => snapshot.record));
  const known = new Set<string>();
  for (const [name, record] of store.records) {
    known.add(`${record.id}`);
    if (!records.has(name))
      inspection.findExtra(`snapshot ${name} of the snapshotter is unknown to containerd`);
  }
  for (const directory of directories)
    if (!known.has(directory))
      inspection.findExtra(`${paths.snapshots}/${directory} belongs to no snapshot`);
}

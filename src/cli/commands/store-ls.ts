import { hexOf } from '../../model/digest.ts';
import type { Digest } from '../../model/digest.ts';
import { ok } from '../../model/result.ts';
import { formatBytes } from '../../report/describe-failure.ts';
import { formatTable } from '../../report/table.ts';
import { ownBytes } from '../../store/finished.ts';
import type { Inventory } from '../../store/inventory.ts';
import { blobsNeeded, takeInventory } from '../../store/inventory.ts';
import { openExistingStore } from '../../store/store.ts';
import { defineCommand } from '../command.ts';
import { storeOption } from '../options.ts';
import { countOf } from '../../report/count-of.ts';

export const storeLsCommand = defineCommand({
  name: 'ls',
  describe: 'list the images and files in a store, what they share, and when they were last used',
  options: { ...storeOption },
  async run(args) {
    const store = await openExistingStore(args.store);
    if (!store.ok) return store;
    const inventory = await takeInventory(store.value);
    if (!inventory.ok) return inventory;
    const needed = await blobsNeeded(store.value, inventory.value, inventory.value.images);
    const listing = listingOf(inventory.value, needed);
    const { images, files, finished, sums } = listing;
    const imageTable = images.map((image) => [
      image.problem === undefined ? image.name : `${image.name} (incomplete)`,
      shorten(image.digest),
      image.platform ?? '?',
      formatBytes(image.size),
      formatBytes(image.shared),
      formatDay(image.lastUse),
    ]);
    const fileTable = files.map((file) => [
      `files/sha256/${shorten(file.digest).slice('sha256:'.length)}…`,
      shorten(file.digest),
      '',
      formatBytes(file.size),
      '',
      formatDay(file.lastUse),
    ]);
    const finishedTable = finished.map((image) => [
      `${image.target}, ${countOf(image.images, 'image')}${image.changed ? ' (changed)' : ''}`,
      `built/${shorten(image.fingerprint).slice('sha256:'.length)}…`,
      '',
      formatBytes(image.size),
      formatBytes(image.shared),
      formatDay(image.lastUse),
    ]);
    const header = ['NAME', 'DIGEST', 'PLATFORM', 'SIZE', 'SHARED', 'LAST USE'];
    const unreferenced =
      sums.unreferencedBytes === 0
        ? ''
        : `, of which ${formatBytes(sums.unreferencedBytes)} belong to no image`;
    return ok({
      text: `${formatTable([header, ...imageTable, ...fileTable, ...finishedTable], [3, 4])}${countOf(sums.images, 'image')} and ${countOf(sums.files, 'file')}; ${countOf(sums.blobs, 'blob')}, ${formatBytes(sums.bytes)} in all${unreferenced}\n`,
      json: { store: args.store, ...listing },
    });
  },
});

function listingOf(inventory: Inventory, needed: ReadonlySet<Digest>) {
  const users = new Map<Digest, number>();
  // One image under two names shares all with itself.
  for (const image of inventory.images)
    for (const { digest } of image.blobs) users.set(digest, (users.get(digest) ?? 0) + 1);
  const sizeOf = (digest: Digest): number => inventory.blobs.get(digest)?.size ?? 0;
  const blobs = [...inventory.blobs.values()];
  const sum = (sizes: readonly { readonly size: number }[]): number =>
    sizes.reduce((total, { size }) => total + size, 0);
  const files = [...inventory.files.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return {
    images: inventory.images.map((image) => ({
      name: image.name,
      digest: image.manifest,
      ...(image.platform === undefined ? {} : { platform: image.platform }),
      size: image.size,
      shared: image.blobs
        .filter(({ digest }) => (users.get(digest) ?? 0) > 1)
        .reduce((total, { digest }) => total + sizeOf(digest), 0),
      lastUse: new Date(image.lastUse).toISOString(),
      ...(image.problem === undefined ? {} : { problem: image.problem }),
    })),
    files: files.map(({ digest, size, lastUse }) => ({
      digest,
      size,
      lastUse: new Date(lastUse).toISOString(),
    })),
    finished: inventory.finished.map((image) => ({
      fingerprint: image.fingerprint,
      target: image.record.target,
      images: image.record.images,
      size: Number(image.found.blocks) * 512,
      // With the output that it came from.
      shared: Number(image.found.blocks) * 512 - ownBytes(image),
      changed: image.state === 'changed',
      lastUse: new Date(image.lastUse).toISOString(),
    })),
    sums: {
      images: inventory.images.length,
      files: files.length,
      blobs: blobs.length,
      bytes: sum(blobs) + sum(files),
      unreferencedBytes: sum(blobs.filter(({ digest }) => !needed.has(digest))),
    },
  };
}

function shorten(digest: Digest): string {
  return `sha256:${hexOf(digest).slice(0, 12)}`;
}

function formatDay(time: string): string {
  return time.slice(0, 16).replace('T', ' ');
}

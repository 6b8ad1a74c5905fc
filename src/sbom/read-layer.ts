import { createHash } from 'node:crypto';
import type { Descriptor } from '../model/descriptor.ts';
import { digestFromHex } from '../model/digest.ts';
import type { BlobBad, Failure } from '../model/failure.ts';
import { fileBlobs } from '../inspect/file-blobs.ts';
import { isPackageDatabase, leadsToPackages } from '../packages/package-databases.ts';
import type { Store } from '../store/store.ts';
import { LayerRefused, unpackLayer } from '../trees/layer-tree.ts';
import { Stopped } from '../trees/stopped.ts';
import type { TreeNode } from '../trees/tree-node.ts';
import { isOsRelease, OS_RELEASE } from './distribution.ts';
import { keepOf } from './kept-tree.ts';

/**
 * What a layer has of package databases and of the distribution's own name, as a tree. It is read as it streams out of
 * the store, hashed on the way, and nothing is written anywhere. Throws a `Stopped` with `blob-bad` where it is not
 * what its name says, and with `layer-bad` where no engine would unpack it.
 */
export async function readLayer(
  store: Store,
  layer: Descriptor,
  options: { readonly image: string; readonly isBase: boolean },
  signal: AbortSignal,
): Promise<TreeNode> {
  const { digest } = layer;
  const bad = (problem: BlobBad['problem']): Failure => ({
    ...{ reason: 'blob-bad', problem, digest, owner: options.image },
    store: store.directory,
  });
  const blobs = fileBlobs((one) => store.blobPath(one), signal);
  const size = blobs.size(digest);
  if (size !== layer.size) throw new Stopped(bad(size === undefined ? 'missing' : 'wrong size'));
  const hash = createHash('sha256');
  const source = blobs.read(digest)[Symbol.asyncIterator]();
  // Nobody but us ends it: who stops early, as on damage, leaves the rest.
  const pieces: AsyncIterator<Uint8Array> = {
    next: async () => {
      const piece = await source.next();
      if (piece.done !== true) hash.update(piece.value);
      return piece;
    },
  };
  const blob: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => pieces };
  let whole: TreeNode | undefined;
  let refused = '';
  try {
    whole = await unpack(blob, options.isBase);
  } catch (error) {
    if (!(error instanceof LayerRefused)) throw inStore(error, bad('unreadable'));
    refused = error.message;
  }
  // What can't be unpacked may have been damaged here, or made so: its digest tells.
  while ((await pieces.next()).done !== true);
  if (digestFromHex(hash.digest('hex')) !== digest) throw new Stopped(bad('wrong digest'));
  if (whole !== undefined) return keepOf(whole, leadsTo);
  const { image } = options;
  throw new Stopped({ reason: 'layer-bad', image, layer: digest, detail: refused });
}

async function unpack(blob: AsyncIterable<Uint8Array>, isBase: boolean): Promise<TreeNode> {
  return (await unpackLayer(blob, { isBase, keep: isWanted, digests: false })).root;
}

/** What the file system refuses of a blob is the store's fault, whoever asks for it. */
function inStore(error: unknown, bad: Failure): unknown {
  const isFiles =
    error instanceof Stopped &&
    (error.failure.reason === 'access-denied' || error.failure.reason === 'file-system-failed');
  return isFiles ? new Stopped(bad) : error;
}

function isWanted(path: string): boolean {
  return isPackageDatabase(path) || isOsRelease(path);
}

function leadsTo(path: string): boolean {
  return leadsToPackages(path) || OS_RELEASE.some((wanted) => `${wanted}/`.startsWith(`${path}/`));
}

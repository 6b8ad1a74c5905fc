import type { Readable } from 'node:stream';
import type { BlobBad } from '../model/failure.ts';
import { BlobMismatch } from '../oci/hybrid-archive.ts';
import type { Store } from '../store/store.ts';

/**
 * The blob that broke an archive while it was read from the store; undefined where none did. Takes the archive
 * down: whoever asks is done with it. `owner` is whose blob it is, for the message.
 */
export function brokenBlob(archive: Readable, owner: string, store: Store): BlobBad | undefined {
  const error = archive.errored;
  archive.destroy();
  if (!(error instanceof BlobMismatch)) return undefined;
  const { problem, digest } = error;
  return { reason: 'blob-bad', problem, digest, owner, store: store.directory };
}

import { createHash } from 'node:crypto';
import { open, statfs } from 'node:fs/promises';
import { digestFromHex } from '../model/digest.ts';
import type { NoSpace } from '../model/failure.ts';
import type { ArchiveMember } from '../oci/read-archive.ts';
import type { Hashed } from './content.ts';
import type { Store } from './store.ts';

/** Writes an archive's member to `path`, or nowhere without it, and tells what it is. Rejects with the abort's reason. */
export async function stageMember(
  member: ArchiveMember,
  path: string | undefined,
  signal: AbortSignal,
): Promise<Hashed> {
  const handle = path === undefined ? undefined : await open(path, 'wx');
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of member.content) {
      signal.throwIfAborted();
      hash.update(chunk);
      size += chunk.length;
      await handle?.writeFile(chunk);
    }
    return { digest: digestFromHex(hash.digest('hex')), size };
  } finally {
    await handle?.close();
  }
}

/** The failure for a store without room for `needed` bytes more; undefined where there is room. */
export async function lackOfSpace(store: Store, needed: number): Promise<NoSpace | undefined> {
  const found = await statfs(store.directory).catch(() => undefined);
  if (found === undefined) return undefined;
  const available = found.bavail * found.bsize;
  return available < needed
    ? { reason: 'no-space', where: store.directory, needed, available }
    : undefined;
}

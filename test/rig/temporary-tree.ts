import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { mustAsRoot } from './process.ts';
import { atEnd, type Owner } from './owner.ts';
import { OUR_PATHS } from './run-tag.ts';

/**
 * A fresh directory that others may enter, removed at the end with everything that root left in it.
 * Directly in /tmp, since a socket's path has room for 107 bytes.
 */
export function temporaryTree(owner: Owner): string {
  const dir = mkdtempSync(OUR_PATHS);
  chmodSync(dir, 0o755);
  atEnd(owner, async () => {
    try {
      await rm(dir, { recursive: true, force: true });
    } catch {
      await mustAsRoot('rm', ['-rf', '--one-file-system', dir]);
    }
  });
  return dir;
}

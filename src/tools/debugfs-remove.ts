import { resolve } from 'node:path';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { complaints, nameImage, quote } from './debugfs.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/** Something in an image, by its absolute path there. */
export interface Removal {
  readonly path: string;
  readonly kind: 'directory' | 'other';
}

/**
 * Removes from an unmounted ext4 image, in the order given, without root, and takes the path where it was last
 * mounted from its superblock. Each must be there, and directories empty by their turn. The file system needs a
 * repairing e2fsck afterwards: debugfs leaves the counts of a directory's links to it.
 */
export async function removePaths(
  image: string,
  removals: readonly Removal[],
  signal?: AbortSignal,
): Promise<Result<void>> {
  const script = [
    ...removals.map(({ path, kind }) => `${kind === 'directory' ? 'rmdir' : 'rm'} ${quote(path)}`),
    'set_super_value last_mounted ""',
  ];
  const named = nameImage(resolve(image));
  if (!named.ok) return named;
  const run = await runCommand('debugfs', ['-w', '-f', '-', named.value.name], {
    cwd: named.value.cwd,
    input: `${script.join('\n')}\n`,
    signal,
  });
  if (!run.ok) return fail(commandFailure(run.failure, 'removing from the data image'));
  const said = complaints(run.value.stderr);
  if (said === '') return ok();
  return fail({
    reason: 'tool-failed',
    tool: 'debugfs',
    doing: 'removing from the data image',
    detail: lastLines(said, 5),
  });
}

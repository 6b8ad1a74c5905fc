import { resolve } from 'node:path';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { complaints, listDirectory, nameImage, quote } from './debugfs.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/**
 * Removes files and whole directories from an unmounted ext4 image, without root, and the path where it was
 * last mounted from its superblock. Paths are absolute within the image; each must be there. The file system
 * needs a repairing e2fsck afterwards: debugfs leaves the counts of a directory's links to it.
 */
export async function removeTrees(
  image: string,
  trees: readonly string[],
  signal?: AbortSignal,
): Promise<Result<void>> {
  const script: string[] = [];
  for (const tree of trees) {
    const planned = await planRemoval(image, tree, script, signal);
    if (!planned.ok) return planned;
  }
  script.push('set_super_value last_mounted ""');
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

/** Children first: debugfs removes empty directories only. */
async function planRemoval(
  image: string,
  directory: string,
  script: string[],
  signal: AbortSignal | undefined,
): Promise<Result<void>> {
  const listed = await listDirectory(image, directory, signal);
  if (!listed.ok) {
    if (listed.failure.reason !== 'not-in-image') return fail(listed.failure);
    if (listed.failure.problem === 'missing') throw new Error(`${directory} is not in ${image}`);
    script.push(`rm ${quote(directory)}`);
    return ok();
  }
  for (const entry of listed.value) {
    const path = `${directory}/${entry.name}`;
    if (entry.type === 'directory') {
      const planned = await planRemoval(image, path, script, signal);
      if (!planned.ok) return planned;
    } else script.push(`rm ${quote(path)}`);
  }
  script.push(`rmdir ${quote(directory)}`);
  return ok();
}

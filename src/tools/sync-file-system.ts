import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { commandFailure, runCommand } from './run-command.ts';

/**
 * Waits until the disk has all that was written to the file system of `path`: syncfs(2), which Node.js does not have.
 * For a tree it takes less than to wait for each of its files.
 */
export async function syncFileSystem(
  path: string,
  doing: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const synced = await runCommand('sync', ['--file-system', path], { signal, diesWithUs: true });
  return synced.ok ? ok() : fail(commandFailure(synced.failure, doing));
}

import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { commandFailure, runCommand } from './run-command.ts';

/** Has GNU tar unpack an archive with owners, devices and all extended attributes: as root. `to` is there. */
export async function unpackArchive(
  archive: string,
  to: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const options = ['--numeric-owner', '--same-owner', '--preserve-permissions'];
  const attributes = ['--xattrs', '--xattrs-include=*'];
  const args = ['--extract', '--file', archive, '--directory', to, ...options, ...attributes];
  const unpacked = await runCommand('tar', args, { signal });
  if (unpacked.ok) return ok();
  if (unpacked.failure.reason === 'command-failed' && /No space left/.test(unpacked.failure.stderr))
    return fail({ reason: 'no-space', where: to });
  return fail(commandFailure(unpacked.failure, 'unpacking the data root'));
}

import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode, fileFailure } from '../model/file-failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * A file that is to be written, at its real path: so the kernel knows it, and an input is known under whatever name it
 * is given. Fails with `invalid-option`, of `option`, where it can't be one.
 */
export async function readOutputFile(option: string, value: string): Promise<Result<string>> {
  const no = (expected: string): Result<never> =>
    fail({ reason: 'invalid-option', option, value, expected });
  const path = resolve(value);
  const directory = await realpath(dirname(path)).catch(() => undefined);
  if (directory === undefined) return no('a file in a directory that exists');
  const output = join(directory, basename(path));
  try {
    const there = await stat(output);
    if (!there.isFile()) return no('a file, and no directory or device');
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOTDIR') return no('a file in a directory');
    if (code !== 'ENOENT') return fail(fileFailure(error, value, 'looking at it'));
  }
  return ok(output);
}

import { basename, dirname, resolve } from 'node:path';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { notAnImage } from './ext4-superblock.ts';
import { commandFailure, lastLines, runCommand } from './run-command.ts';

/** Changes unmounted ext4 images by e2fsprogs' debugfs: no root, no mount. */

/** debugfs reads its script in pieces of stdio's BUFSIZ and takes a longer line for two. */
const LONGEST_LINE = 8000;

/**
 * Runs the commands of `script`, a line each. debugfs exits with 0 whatever happens; what it says on standard error
 * decides. Fails with `no-space` where that is what it says, and with `tool-failed` for the rest: the image is then
 * not to be used. What came of it is for the caller to read back.
 */
export async function editImage(
  image: string,
  script: readonly string[],
  doing: string,
  signal?: AbortSignal,
): Promise<Result<void>> {
  const long = script.find((line) => Buffer.byteLength(line) > LONGEST_LINE);
  // Never one line for two: libss takes what begins with an exclamation mark for a command of the shell.
  const several = script.find((line) => /[\n\r\0]|^\s*!/.test(line));
  if (several !== undefined)
    return wentWrong(doing, `debugfs takes no line break in a name: ${JSON.stringify(several)}`);
  if (long !== undefined) return wentWrong(doing, `too long for debugfs: ${long.slice(0, 80)}…`);
  // e2fsprogs takes what follows a `?` in a name for options.
  const path = resolve(image);
  if (basename(path).includes('?'))
    return notAnImage(image, 'e2fsprogs reads no file with a ? in its name');
  const run = await runCommand('debugfs', ['-w', '-f', '-', `./${basename(path)}`], {
    cwd: dirname(path),
    input: `${script.join('\n')}\n`,
    signal,
  });
  if (!run.ok) return fail(commandFailure(run.failure, doing));
  const said = complaints(run.value.stderr);
  if (said === '') return ok();
  if (/No space left|Could not allocate (block|inode)|No free (space|inodes)/i.test(said))
    return fail({ reason: 'no-space', where: image });
  return openFailure(image, said) ?? wentWrong(doing, lastLines(said, 5));
}

/**
 * One argument of a debugfs command (e2fsprogs, lib/ss/parse.c): in double quotes only a double quote means
 * something, and two of them are one. There is no way to say a line break.
 */
export function quote(argument: string): string {
  return `"${argument.replaceAll('"', '""')}"`;
}

/** What debugfs said on standard error but its banner: empty when all went well. */
function complaints(stderr: string): string {
  return stderr
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^debugfs \d[\w.]* \(.*\)$/.test(line))
    .join('\n');
}

/** A failure to open the image, or undefined where debugfs complains of something else. */
function openFailure(image: string, said: string): Result<never> | undefined {
  if (!/ while (trying to open|reading allocation bitmaps|opening filesystem)/.test(said))
    return undefined;
  if (/Permission denied/.test(said))
    return fail({
      reason: 'access-denied',
      path: image,
      doing: 'opening the data image',
      detail: lastLines(said, 1),
    });
  return notAnImage(
    image,
    /Bad magic number/.test(said) ? 'this is no ext4 file system' : lastLines(said, 1),
  );
}

function wentWrong(doing: string, detail: string): Result<never> {
  return fail({ reason: 'tool-failed', tool: 'debugfs', doing, detail });
}

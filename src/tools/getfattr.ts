import type { Failure } from '../model/failure.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';
import { commandFailure, streamCommand } from './run-command.ts';

/**
 * Extended attributes by getfattr(1), as Node has no call for them: one process for a whole tree.
 */

/** Attributes by their full names, of everything that has any, by its path below the directory: all in latin1. */
export type TreeXattrs = ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;

const FILE = '# file: ';

/** All that this process may see: `trusted.*` only root. The directory itself has the path ''. */
export async function readXattrs(
  directory: string,
  signal?: AbortSignal,
): Promise<Result<TreeXattrs>> {
  const found = new Map<string, ReadonlyMap<string, Uint8Array>>();
  // In the directory, so that no name of the user's is taken for an option; symbolic links have their own.
  const args = ['--recursive', '--no-dereference', '--dump', '--match=-', '--encoding=base64', '.'];
  const ran = await streamCommand('getfattr', args, { cwd: directory, signal }, async (stdout) => {
    let rest = '';
    let current: Map<string, Uint8Array> | undefined;
    // Names may be of any bytes: latin1 keeps each as a character.
    stdout.setEncoding('latin1');
    for await (const chunk of stdout as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line.startsWith(FILE)) {
          current = new Map();
          found.set(belowDot(unescapeOctal(line.slice(FILE.length))), current);
        } else if (line !== '') {
          const equals = line.indexOf('=0s');
          current?.set(
            unescapeOctal(line.slice(0, equals)),
            Buffer.from(line.slice(equals + 3), 'base64'),
          );
        }
      }
    }
  });
  return ran.ok ? ok(found) : fail(xattrFailure(ran.failure));
}

function xattrFailure(failure: Parameters<typeof commandFailure>[0]): Failure {
  if (failure.reason !== 'command-missing')
    return commandFailure(failure, 'reading extended attributes');
  return {
    reason: 'machine-lacks',
    what: 'getfattr, which reads the extended attributes of a directory',
    remedy: 'sudo apt-get install attr; or leave them out with --xattrs none',
  };
}

/** `./a/b` as `a/b`, and `.` as ''. */
function belowDot(path: string): string {
  return path === '.' ? '' : path.replace(/^\.\//, '');
}

/** getfattr writes what would break its lines as a backslash and three octal digits. */
function unescapeOctal(text: string): string {
  if (!text.includes('\\')) return text;
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

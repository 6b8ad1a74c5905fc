import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Who works in `directory` or has a file open below it, as phrases such as `pid 4711 (sleep)`: proc(5). Of others'
 * processes an ordinary user sees nothing, so an empty list means little.
 */
export async function usersBelow(directory: string, proc = '/proc'): Promise<string[]> {
  const users: string[] = [];
  for (const pid of await list(proc)) {
    if (!/^\d+$/.test(pid)) continue;
    const files = (await list(join(proc, pid, 'fd'))).map((fd) => join('fd', fd));
    for (const link of ['cwd', 'root', 'exe', ...files]) {
      const target = await readlink(join(proc, pid, link)).catch(() => '');
      if (target !== directory && !target.startsWith(`${directory}/`)) continue;
      const name = await readFile(join(proc, pid, 'comm'), 'utf8').catch(() => '?');
      users.push(`pid ${pid} (${name.trim()})`);
      break;
    }
  }
  return users;
}

async function list(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

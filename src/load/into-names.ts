import { containerdPaths } from '../data-root/containerd-store.ts';
import { listAt } from '../ext4/reader/at-path.ts';
import type { ReadFailure } from '../ext4/reader/at-path.ts';
import type { ImageReader } from '../ext4/reader/image-reader.ts';
import { printable } from '../model/printable.ts';
import type { Result } from '../model/result.ts';
import { fail, ok } from '../model/result.ts';

/**
 * Names in somebody else's image: any bytes but a slash and a zero. Those that are no UTF-8 can't be looked up as
 * text, nor told apart in it, and debugfs takes no control characters.
 */

export function isPlainName(name: Buffer): boolean {
  const text = name.toString('utf8');
  return Buffer.from(text).equals(name) && !/\p{Cc}/u.test(text);
}

/** For messages: on one line, whatever it holds. */
export function escapeName(name: Buffer | string): string {
  return printable(Buffer.from(name)).replace(
    /\p{Cc}/gu,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/**
 * The names of a data root that are not plain, as escaped paths: all that a scrub could have to remove. What images
 * consist of is not looked at: whatever is called as it likes there stays.
 */
export async function strangeNames(
  image: ImageReader,
  dataRoot: string,
): Promise<Result<string[], ReadFailure>> {
  const { blobs, snapshots } = containerdPaths(dataRoot, 'daemon');
  const found: string[] = [];
  const look = async (directory: string): Promise<Result<void, ReadFailure>> => {
    const listed = await listAt(image, `/${directory}`);
    if (!listed.ok) return listed;
    for (const { name, bytes, type } of listed.value) {
      const path = `${directory}/${name}`;
      if (!isPlainName(bytes)) found.push(`${directory}/${escapeName(bytes)}`);
      else if (type === 'directory' && path !== blobs && path !== snapshots) {
        const below = await look(path);
        if (!below.ok) return below;
      }
    }
    return ok();
  };
  const looked = await look(dataRoot);
  return looked.ok ? ok(found) : fail(looked.failure);
}

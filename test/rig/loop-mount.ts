import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { atEnd, type Owner } from './owner.ts';
import { mustAsRoot, waitFor } from './process.ts';

/**
 * Mounts a file system's image through a loop device, until the function that is returned is called or the owner ends.
 * That waits until the device has gone, too: a mount name space that another test has just made may still have the
 * mount, and the image would be in use for as long.
 */
export async function mountLoop(
  owner: Owner,
  image: string,
  point: string,
  options: readonly string[] = [],
): Promise<() => Promise<void>> {
  await mustAsRoot('mount', ['-t', 'ext4', '-o', ['loop', ...options].join(','), image, point]);
  let mounted = true;
  const unmount = async (): Promise<void> => {
    if (!mounted) return;
    mounted = false;
    await mustAsRoot('umount', [point]);
    const gone = (): true | undefined => (loopDevicesOf(image).length === 0 ? true : undefined);
    await waitFor(`the loop device of ${basename(image)} goes`, 30_000, gone);
  };
  atEnd(owner, unmount);
  return unmount;
}

function loopDevicesOf(image: string): string[] {
  return readdirSync('/sys/block').filter((name) => {
    try {
      const backing = readFileSync(join('/sys/block', name, 'loop', 'backing_file'), 'utf8');
      return backing.trim() === image;
    } catch {
      return false;
    }
  });
}

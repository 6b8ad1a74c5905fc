import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** `$1` is what is kept, `$2` what the others' mounts begin with; the rest is the program. */
const LEAVE = `keep=$1; others=$2; shift 2
while read -r id parent device root point rest; do
  case $point in
    "$keep" | "$keep"/*) ;;
    "$others"*) umount -l "$point" 2>/dev/null ;;
  esac
done </proc/self/mountinfo
exec "$@"`;

/**
 * A program in a mount name space of its own, as arguments of `unshare`. A copy of a mount keeps its loop device for as
 * long as it is there, so what other tests have mounted just now is left at once, and what lies in `keep` is not.
 */
export function inMountSpace(
  propagation: 'private' | 'slave',
  keep: string,
  command: readonly string[],
): string[] {
  const others = join(tmpdir(), 'stw-');
  return [
    ...['--mount', `--propagation=${propagation}`, 'sh', '-c', LEAVE, 'sh', keep, others],
    ...command,
  ];
}

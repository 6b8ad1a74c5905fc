import { join } from 'node:path';
import { mustAsRoot } from '../rig/process.ts';

/** A tree with one of everything, as only root can make it. */
export async function makeTree(dir: string): Promise<void> {
  await mustAsRoot('bash', ['-c', SCRIPT, 'bash', dir]);
}

const SCRIPT = String.raw`
set -euo pipefail
umask 022
mkdir "$1"; cd "$1"
mkdir -p empty deep/er/est 'with space' private
head -c 100000 /dev/zero | tr '\0' x > deep/file
head -c 3000000 /dev/urandom > deep/er/large
printf 'x' > deep/er/est/x
: > nothing
ln deep/file deep/er/linked
ln deep/file aaa-linked
ln -s deep/file short
ln -s "$(printf 't%.0s' {1..59})" fits-59
ln -s "$(printf 't%.0s' {1..60})" does-not-fit-60
ln -s "$(printf 't%.0s' {1..4000})" very-long
mknod null c 1 3; mknod whiteout c 0 0; mknod disk b 259 70000
mkfifo pipe
python3 - <<'END'
import socket; socket.socket(socket.AF_UNIX).bind('socket')
END
printf late > late; touch -d '2200-02-03 04:05:06.123456789 UTC' late
printf early > early; touch -d '1965-01-01 00:00:00.5 UTC' early
truncate -s 50M sparse; printf end >> sparse; printf middle | dd of=sparse seek=20000000 bs=1 conv=notrunc status=none
printf 1 > $'caf\xe9'; printf 2 > $'utf\xc3\xa9'; printf 3 > $'new\nline\\'; printf 4 > "$(printf 'n%.0s' {1..255})"
printf cap > capable; setcap cap_net_raw+ep capable
setfattr -n trusted.overlay.opaque -v y empty
setfattr -n user.short -v v nothing
setfattr -n user.binary -v 0x00ff0a nothing
setfattr -n user.empty nothing
setfattr -n user.long -v "$(head -c 3000 /dev/zero | tr '\0' l)" deep/file
setfattr -h -n trusted.on.link -v 1 short
setfacl -m u:12345:rw-,g:4000000000:r-- nothing
setfacl -d -m u:12345:rwx private
chown 4000000000:70000 private
chmod 4755 deep/file; chmod 2770 private; chmod 1777 'with space'
mkdir many; cd many; for i in $(seq 1 700); do : > "file-with-a-name-of-some-length-$i"; done
`;

/** A listing of every attribute of a tree, to be compared as text. Directories' sizes are their file system's own. */
export async function listTree(dir: string): Promise<string> {
  return mustAsRoot('bash', ['-c', LISTING, 'bash', dir], {
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
  });
}

const LISTING = String.raw`
set -euo pipefail
cd "$1"
list() { find . -path ./lost+found -prune -o "$@"; }
list -exec stat -c '%n %F %a %u:%g %t,%T %y %N' {} + | sort
list ! -type d -exec stat -c '%n %s %h' {} + | sort
list -type f -exec sha256sum {} + | sort
getfattr -R -h -d -m - -e base64 . | awk -v RS= '{ print $0 "\n" }' | sort
list -type f -links +1 -printf '%i %p\n' | sort | awk '{ if ($1 != last) group++; last = $1; sub(/^[0-9]+ /, ""); print group ":" $0 }' | sort -t: -k2 | awk -F: '{ if (!($1 in n)) n[$1] = ++c; print n[$1] " " $2 }'
`;

/** Lists what the kernel sees in an image. */
export async function listImage(image: string, scratch: string): Promise<string> {
  const point = join(scratch, 'mnt');
  await mustAsRoot('mkdir', ['-p', point]);
  await mustAsRoot('mount', ['-t', 'ext4', '-o', 'loop,ro', image, point]);
  try {
    return await listTree(point);
  } finally {
    await mustAsRoot('umount', [point]);
  }
}

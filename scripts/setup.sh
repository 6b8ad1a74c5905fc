#!/usr/bin/env bash
# Puts on this machine what the tests or the demo need, and says first what and why.
# Does nothing, quickly, where all is there. Usage: scripts/setup.sh test|demo|build
set -euo pipefail
PATH="$PATH:/usr/sbin:/sbin"

say() { printf '%s\n' "$*" >&2; }
die() {
  say "setup: $*"
  exit 6
}

# program, Debian's package, what for
build_needs=''
demo_needs='
skopeo          skopeo           copies images between registries and the store
docker          docker.io        the engine that loads images into the data partition
dockerd         docker.io        the engine that loads images into the data partition
docker-registry docker-registry  the registry on loopback
mmdebstrap      mmdebstrap       makes the image of the Docker 28 engine from packages
pigz            pigz             compresses that image
mke2fs          e2fsprogs        makes and checks the data partition
resize2fs       e2fsprogs        makes and checks the data partition
debugfs         e2fsprogs        makes and checks the data partition
losetup         mount            mounts the data partition
mount           mount            mounts the data partition
mountpoint      util-linux       mounts the data partition
setpriv         util-linux       ends daemons with their parent
'
test_needs="$demo_needs"'
sudo            sudo             tests of a user who may do little
useradd         passwd           tests of a user who may do little
openssl         openssl          certificates of the registry with TLS
htpasswd        apache2-utils    passwords of the registry with log-in
getfattr        attr             extended attributes of trees and images
setfacl         acl              access control lists of trees and images
sfdisk          fdisk            disk images with partitions
setcap          libcap2-bin      capabilities of files in trees and images
podman          podman           builds with the other engine
bsdtar          libarchive-tools archives of another make than GNU tar
zstd            zstd             compressed archives
python3         python3          archives of a third make
curl            curl             asks the registry and the fault proxy
kconfig-conf    kconfig-frontends  reads the Config.in files
make            make             runs the Buildroot make files
git             git              tests of what is tracked
rsync           rsync            real Buildroot, and the jobs of the template for GitLab
genimage        genimage         puts a data image on a disk
systemd-analyze systemd          checks the units of the example board
strace          strace           shows what the direct loader asks the system for
shellcheck      shellcheck       checks the shell scripts
go              golang-go        judges databases by what wrote the format first
'
# Files of libraries and of what is a package of its own in some releases, where this machine's packages have them.
test_libraries='
/usr/bin/systemd-repart  systemd-repart  grows a partition as a device does
/usr/share/gocode/src/go.etcd.io/bbolt/db.go  golang-github-coreos-bbolt-dev  judges databases by what wrote the format first
'

purpose="${1:-test}"
case "$purpose" in
  build) needs="$build_needs" ;;
  demo) needs="$demo_needs" ;;
  test) needs="$test_needs" ;;
  *) die "unknown purpose $purpose: test, demo or build" ;;
esac
# Where the kernel confines by AppArmor, the engine starts no container without its parser.
if [ "$purpose" != build ] && grep -qs Y /sys/module/apparmor/parameters/enabled; then
  needs="$needs
apparmor_parser apparmor         the engine confines its containers by it
"
fi

node_is_new_enough() {
  command -v node >/dev/null && command -v npm >/dev/null &&
    node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

packages=''
reasons=''
add() {
  case " $packages " in *" $1 "*) return ;; esac
  packages="${packages:+$packages }$1"
  reasons="$reasons$(printf '  %-18s %s' "$1" "$2")"$'\n'
}
while read -r program package reason; do
  [ -n "$program" ] || continue
  command -v "$program" >/dev/null || add "$package" "$reason"
done <<<"$needs"
if [ "$purpose" = test ]; then
  while read -r file package reason; do
    [ -z "$file" ] || [ -e "$file" ] || [ -z "$(apt-cache madison "$package" 2>/dev/null)" ] || add "$package" "$reason"
  done <<<"$test_libraries"
fi

wants_node=''
node_is_new_enough || wants_node=yes
[ -n "$packages$wants_node" ] || exit 0

command -v apt-get >/dev/null ||
  die "this machine has no apt-get; install the likes of: $packages${wants_node:+ and Node.js 20.19 or newer}"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || die "needs root or sudo to install: $packages${wants_node:+ nodejs npm}"
  as_root=(sudo)
  # With nobody there to type a password, fail and say so.
  [ -t 0 ] || as_root=(sudo -n)
fi
root() { "${as_root[@]}" "$@"; }

say "This machine lacks packages; apt-get ${as_root[*]:+with sudo }installs them now:"
[ -z "$reasons" ] || printf '%s' "$reasons" >&2
[ -z "$wants_node" ] || say '  Node.js            20.19 or newer runs stowage'
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
quietly() {
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    return 1
  fi
}
# A third party's source that does not answer need not matter; the installation tells.
quietly root apt-get update || say 'setup: apt-get update failed; trying with what is known'

if [ -n "$wants_node" ]; then
  offered="$(apt-cache policy nodejs 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9]*\.[0-9]*\).*/\1/p')"
  if [ -n "$offered" ] && dpkg --compare-versions "$offered" ge 20.19; then
    add nodejs 'runs stowage'
    # Other packagings of nodejs bring npm along, and know no package of that name.
    if [ -n "$(apt-cache madison npm 2>/dev/null)" ] && ! apt-cache show nodejs 2>/dev/null | grep -q '^Conflicts:.*npm'; then
      add npm 'installs what stowage is built with'
    fi
  else
    die 'Node.js 20.19 or newer is missing, and no package source of this machine has it. Get it from https://nodejs.org/en/download and run this again.'
  fi
fi

had_registry=''
command -v docker-registry >/dev/null && had_registry=yes
# shellcheck disable=SC2086 # a list of names
quietly root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages ||
  die "could not install: $packages"
# The package would go on serving port 5000 for good, which nobody asked for.
if [ -z "$had_registry" ] && [ -d /run/systemd/system ] && command -v docker-registry >/dev/null; then
  quietly root systemctl disable --now docker-registry || :
fi
node_is_new_enough || die 'Node.js is still older than 20.19. Get it from https://nodejs.org/en/download and run this again.'
say 'Done.'

#!/bin/sh
# The fastest that we know of by hand, with all that stowage knows and without all that it proves: no check, no file,
# no scrubbing, no shrinking. Usage: by-hand.sh ARCHIVES OUTPUT DIND-IMAGE AT-ONCE [apart]
# `apart` starts containerd beside dockerd: stopping then takes a second less.
set -eu
archives=$1
output=$2
dind=$3
at_once=$4
daemons=${5:-together}

work=$(mktemp -d "$output.XXXXXX")
mkdir "$work/mnt" "$work/run"
container=''
finish() {
  [ -z "$container" ] || docker rm -fv "$container" >/dev/null 2>&1 || :
  ! mountpoint -q "$work/mnt" || umount "$work/mnt"
  rm -rf "$work"
}
trap finish EXIT

rm -f "$output"
truncate -s 1280M "$output"
mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=1 "$output"
mount -o loop,nobarrier "$output" "$work/mnt"
cat >"$work/run/containerd.toml" <<'TOML'
version = 2
root = "/mnt/data/docker/containerd/daemon"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd.sock"
TOML
if [ "$daemons" = apart ]; then
  # shellcheck disable=SC2016 # The container's shell is who expands them.
  start='containerd --config /stowage/containerd.toml --log-level warn & containerd=$!
    until [ -S /run/containerd.sock ]; do sleep 0.01; done
    dockerd --containerd /run/containerd.sock --data-root /var/lib/docker "$@" & dockerd=$!
    trap "kill $dockerd" TERM
    wait $dockerd; wait $dockerd; kill $containerd; wait $containerd'
else
  start='exec dockerd --data-root /mnt/data/docker "$@"'
fi
container=$(docker run -d --network none \
  --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
  --security-opt systempaths=unconfined -v "$work/mnt:/mnt/data" -v "$work/run:/stowage" \
  --tmpfs /var/lib/docker --tmpfs /run --env CONTAINERD_DISABLE_PIGZ=1 --env GOGC=400 \
  --entrypoint sh "$dind" -c "$start" sh --host unix:///stowage/docker.sock \
  --feature containerd-snapshotter --bridge none --iptables=false --ip6tables=false)
until curl -sf --unix-socket "$work/run/docker.sock" http://docker/_ping >/dev/null; do sleep 0.02; done
# shellcheck disable=SC2012 # We know the names, and want them largest first.
ls -S "$archives" | sed "s|^|$archives/|" | xargs -P "$at_once" -n 1 \
  docker -H "unix://$work/run/docker.sock" load -q --input >/dev/null
docker stop -t 60 "$container" >/dev/null
docker rm -v "$container" >/dev/null
container=''
umount "$work/mnt"

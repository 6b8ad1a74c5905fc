#!/bin/sh
# What HAOS's package does for a data partition, told in its own few steps: look, download into a temporary archive,
# copy that into place, one image after the other; then make and mount the partition, start Docker-in-Docker on it,
# load one archive after the other, largest first, and remove the container by force.
# Usage: haos-way.sh DOWNLOADS OUTPUT DIND-IMAGE REGISTRY NAME…
# Rights are those that stowage gives its container: HAOS has --privileged, which some machines can't grant.
set -eu
downloads=$1
output=$2
dind=$3
registry=$4
shift 4

work=$(mktemp -d "$output.XXXXXX")
mkdir "$work/mnt" "$work/images"
container=''
finish() {
  [ -z "$container" ] || docker rm -fv "$container" >/dev/null 2>&1 || :
  ! mountpoint -q "$work/mnt" || umount "$work/mnt"
  rm -rf "$work"
}
trap finish EXIT

for name in "$@"; do
  digest=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$registry/$name:1")
  archive="$downloads/$(echo "$name" | tr /: __)@$(echo "$digest" | tr : _).tar"
  if [ ! -e "$archive" ]; then
    skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$registry/$name@$digest" \
      "oci-archive:$work/download.tar:$registry/$name:1"
    cp "$work/download.tar" "$archive"
    rm "$work/download.tar"
  fi
  cp "$archive" "$work/images/"
done

rm -f "$output"
truncate -s 1280M "$output"
mkfs.ext4 -q -L hassos-data -E lazy_itable_init=0,lazy_journal_init=0 "$output"
mount -o loop "$output" "$work/mnt"
container=$(docker run -d --network none \
  --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
  --security-opt systempaths=unconfined -v "$work/mnt:/mnt/data" -v "$work/images:/images:ro" \
  --entrypoint dockerd "$dind" --host unix:///var/run/docker.sock --data-root /mnt/data/docker \
  --feature containerd-snapshotter --bridge none --iptables=false --ip6tables=false)
until docker exec "$container" docker version >/dev/null 2>&1; do sleep 1; done
# shellcheck disable=SC2045 # We know the names, and want them largest first.
for archive in $(ls -S "$work/images"); do
  docker exec -i "$container" docker load -q --input "/images/$archive" >/dev/null
done
docker rm -fv "$container" >/dev/null
container=''
umount "$work/mnt"

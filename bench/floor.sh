#!/bin/sh
# The least that any way of writing these images has to do: every layer unpacked once, two at a time, while the blobs
# are hashed and copied; then all of it on the disk.
# Usage: floor.sh BLOBS OUTPUT HEX… (the layers' names in BLOBS)
set -eu
blobs=$1
output=$2
shift 2

mkdir -p "$output/blobs"
(
  for hex in "$@"; do
    [ "$(sha256sum "$blobs/$hex")" = "$hex  $blobs/$hex" ]
    cp "$blobs/$hex" "$output/blobs/"
  done
) &
copying=$!
# shellcheck disable=SC2016 # The inner shell is who expands them.
printf '%s\n' "$@" | xargs -P 2 -I HEX sh -c 'mkdir "$2/HEX" && pigz -dc "$1/HEX" | tar -xf - -C "$2/HEX"' sh "$blobs" "$output"
wait $copying
sync -f "$output"

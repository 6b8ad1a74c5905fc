# SPDX-License-Identifier: Apache-2.0
SUMMARY = "An example of a data partition with container images"
DESCRIPTION = "Copy this recipe and its bundle into a layer of your own. Pins are made by `bitbake -c stowage_pin`."
# Of this recipe. The images have licences of their own: they are in the SPDX document and in the list of images.
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

inherit stowage-data

STOWAGE_BUNDLES = "stowage-example.yaml"
STOWAGE_PINS = "stowage-example-pins.json"
# Beside a product's own, which is called data.
STOWAGE_DATA_NAME = "example-data"

# It has no pins before somebody makes them.
EXCLUDE_FROM_WORLD = "1"

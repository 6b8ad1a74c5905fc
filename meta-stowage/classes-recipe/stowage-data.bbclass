# SPDX-License-Identifier: Apache-2.0
#
# A data partition image with container images already loaded: docs/yocto.md.
#
#   inherit stowage-data
#   STOWAGE_BUNDLES = "product.yaml"
#   STOWAGE_PINS = "pins.json"
#
# do_fetch downloads what is pinned into a store in DL_DIR, and is the only task on the way to do_build that may use
# the network. do_compile makes the image with stowage's direct loader, which needs neither root nor pseudo: owners,
# modes and devices are written into the file system's own structures, none of them is the build host's.

# bitbake's SPDX documents tell of sources and packages, and there are none: stowage writes its own, of the images.
inherit deploy nopackages nospdx

STOWAGE_BUNDLES ?= ""
STOWAGE_BUNDLES[doc] = "Bundles of the data image: names that are looked up as file:// in SRC_URI is, or absolute paths."
STOWAGE_PINS ?= "pins.json"
STOWAGE_PINS[doc] = "The pins file, looked up likewise. do_stowage_pin writes a missing one beside the first bundle."
STOWAGE_PLATFORM ?= "${@stowage.target.platform(d)}"
STOWAGE_PLATFORM[doc] = "The device's platform in Go's words, such as linux/arm/v7. Default: from TARGET_ARCH and TUNE_FEATURES."
STOWAGE_MACHINE ?= "${MACHINE}"
STOWAGE_MACHINE[doc] = "What {machine} means in the bundles. Default: MACHINE."
STOWAGE_SET ?= ""
STOWAGE_SET[doc] = "Variables of the bundles that are not to have their default: NAME=VALUE, separated by spaces."

STOWAGE_DATA_NAME ?= "data"
STOWAGE_DATA_NAME[doc] = "Name of what is deployed: NAME.ext4, NAME.json, NAME.spdx.json and NAME-images.csv. Another one in each recipe."
# Two recipes that would deploy the same files are an error before the first task, which shows this word and their names.
PROVIDES:append = " STOWAGE_DATA_NAME=${STOWAGE_DATA_NAME}"
STOWAGE_SIZE ?= ""
STOWAGE_SIZE[doc] = "Size of the partition, such as 1280M, or auto. Default: the bundles'."
STOWAGE_HEADROOM ?= ""
STOWAGE_HEADROOM[doc] = "Room that is left free where the size is auto, such as 10% or 200M. Default: the bundles'."
STOWAGE_LABEL ?= ""
STOWAGE_LABEL[doc] = "Label of the file system. Default: the bundles'."
STOWAGE_UUID ?= ""
STOWAGE_UUID[doc] = "UUID of the file system. Default: the bundles', else one that follows from the pins."
STOWAGE_FEATURES ?= ""
STOWAGE_FEATURES[doc] = "ext4 features: 5.15, 6.1 or 6.12 for the oldest Linux, and names after commas. Default: the bundles'."
STOWAGE_ENGINE_VERSION ?= ""
STOWAGE_ENGINE_VERSION[doc] = "Version of the device's engine. Default: the bundles'."
STOWAGE_ENGINE_STORE ?= ""
STOWAGE_ENGINE_STORE[doc] = "Where the device's engine keeps images: containerd or overlay2. Default: the bundles'."
STOWAGE_UNPACK ?= ""
STOWAGE_UNPACK[doc] = "1 or 0: whether images are unpacked, so that the first boot need not. Default: the bundles'."
STOWAGE_SOURCE_DATE_EPOCH ?= ""
STOWAGE_SOURCE_DATE_EPOCH[doc] = "Seconds since 1970 that files without a time of their own get. Default: when the newest pinned image was created."
STOWAGE_SBOM ?= "1"
STOWAGE_SBOM[doc] = "1 or 0: whether an SPDX document and a list of the images are deployed too."

STOWAGE_STORE ?= "${DL_DIR}/stowage-store"
STOWAGE_STORE[doc] = "stowage's directory of downloads. It may be shared, as DL_DIR may."
STOWAGE_MIRRORS ?= ""
STOWAGE_MIRRORS[doc] = "Registries, HOST[/PATH], that are asked before an image's own, and directories of downloads, file:///DIR. docker:// entries of PREMIRRORS come after them."
STOWAGE_AUTHFILE ?= ""
STOWAGE_AUTHFILE[doc] = "Credentials, as skopeo login and docker login write them. Default: where skopeo looks in HOME."
STOWAGE_CERT_DIR ?= ""
STOWAGE_CERT_DIR[doc] = "Certificates of registries and servers, as in /etc/containers/certs.d."
STOWAGE_POLICY ?= ""
STOWAGE_POLICY[doc] = "A policy.json that says whose signatures images must have. Default: the user's or the machine's."
STOWAGE_REGISTRIES_DIR ?= ""
STOWAGE_REGISTRIES_DIR[doc] = "Where signatures are, as in /etc/containers/registries.d."
STOWAGE_INSECURE ?= ""
STOWAGE_INSECURE[doc] = "Hosts that may speak plain http or show an unknown certificate: HOST[:PORT]."
STOWAGE_JOBS ?= ""
STOWAGE_JOBS[doc] = "Downloads at a time. Default: 4."
STOWAGE_SKOPEO ?= "${@bb.utils.contains('BBFILE_COLLECTIONS', 'virtualization-layer', 'skopeo-native', 'host', d)}"
STOWAGE_SKOPEO[doc] = "Where skopeo comes from: a recipe, or host, which needs HOSTTOOLS += \"skopeo\". Default: skopeo-native where meta-virtualization is there."

# Set when the recipe is parsed, from the files themselves.
STOWAGE_BUNDLE_FILES = ""
STOWAGE_PINS_FILE = ""
STOWAGE_PINNED = ""
STOWAGE_PINNED[doc] = "A digest of what is pinned for this platform and machine. It is in the signatures; where the pins are and how they are written is not."

# Where things are, and through whom they came, does not change what is made of them.
STOWAGE_BUNDLE_FILES[vardepvalue] = ""
STOWAGE_PINS_FILE[vardepvalue] = ""
STOWAGE_STORE[vardepvalue] = ""
STOWAGE_MIRRORS[vardepvalue] = ""
STOWAGE_AUTHFILE[vardepvalue] = ""
STOWAGE_CERT_DIR[vardepvalue] = ""
STOWAGE_POLICY[vardepvalue] = ""
STOWAGE_REGISTRIES_DIR[vardepvalue] = ""
STOWAGE_INSECURE[vardepvalue] = ""
STOWAGE_JOBS[vardepvalue] = ""

STOWAGE_WHAT = "STOWAGE_PINNED STOWAGE_PLATFORM STOWAGE_MACHINE STOWAGE_SET STOWAGE_ENGINE_VERSION"

B = "${WORKDIR}/build"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
SRC_URI ?= ""
# scarthgap has no UNPACKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"

python () {
    stowage.inputs.note(d)
    skopeo = d.getVar("STOWAGE_SKOPEO")
    if skopeo != "host":
        for task in ("do_fetch", "do_stowage_pin"):
            d.appendVarFlag(task, "depends", " %s:do_populate_sysroot" % skopeo)
}

do_fetch[depends] += "stowage-native:do_populate_sysroot"
do_fetch[file-checksums] += "${@stowage.inputs.checksums(d)}"
do_fetch[postfuncs] += "stowage_fetch"

python stowage_fetch() {
    stowage.fetching.fetch(d)
}
stowage_fetch[vardeps] += "${STOWAGE_WHAT}"
# What is fetched is in the digests; through whom, with which mirrors and rights, is not.
stowage_fetch[vardepsexclude] += "stowage.fetching.fetch"

# Not on the way to do_build: for a human, who commits what it wrote.
addtask stowage_pin
do_stowage_pin[doc] = "Writes the pins file anew: the digests that the bundles' tags have now"
do_stowage_pin[depends] += "stowage-native:do_populate_sysroot"
do_stowage_pin[network] = "1"
do_stowage_pin[nostamp] = "1"
python do_stowage_pin() {
    stowage.fetching.pin(d)
}

# Nothing is unpacked, patched, installed or packaged: the inputs are read where they are.
deltask do_patch
deltask do_configure
deltask do_install
deltask do_populate_sysroot
deltask do_populate_sysroot_setscene
deltask do_deploy_source_date_epoch
deltask do_deploy_source_date_epoch_setscene

do_compile[depends] += "stowage-native:do_populate_sysroot"
do_compile[cleandirs] = "${B}"
do_compile[vardeps] += "${STOWAGE_WHAT} STOWAGE_ENGINE_STORE STOWAGE_SIZE STOWAGE_HEADROOM STOWAGE_LABEL STOWAGE_UUID STOWAGE_FEATURES STOWAGE_UNPACK STOWAGE_SOURCE_DATE_EPOCH STOWAGE_SBOM"
# The command lines are in the signature; how the program is called and how its failures are told is not.
do_compile[vardepsexclude] += "stowage.program.build stowage.target.warn"
python do_compile() {
    stowage.target.warn(d)
    made = d.getVar("B") + "/data"
    given = stowage.options.inputs(d) + stowage.options.target(d) + stowage.options.engine(d)
    # sstate is what is shared here, and DL_DIR is do_fetch's alone to write to.
    build = stowage.options.build(d) + ["--loader=direct", "--no-share", "-o", made + ".ext4"]
    stowage.program.build(d, ["build"] + given + build)
    if bb.utils.to_boolean(d.getVar("STOWAGE_SBOM")):
        stowage.program.build(d, ["sbom"] + given + ["-o", made + ".spdx.json", "--manifest", made + "-images.csv"])
}

do_deploy() {
	for file in .ext4 .json .spdx.json -images.csv; do
		if [ -e ${B}/data$file ]; then
			cp --sparse=always ${B}/data$file ${DEPLOYDIR}/${STOWAGE_DATA_NAME}$file
			chmod 0644 ${DEPLOYDIR}/${STOWAGE_DATA_NAME}$file
		fi
	done
}

addtask compile after do_fetch
addtask deploy after do_compile before do_build

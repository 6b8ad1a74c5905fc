# SPDX-License-Identifier: Apache-2.0
SUMMARY = "Puts container images into firmware"
DESCRIPTION = "Fetches pinned container images once, and writes data partitions in whose container store they are already loaded."
SECTION = "devel"

# stowage's own, and those of the libraries that are compiled into it. What joins them is SPDX's word since blacksail.
LICENSE = "Apache-2.0 ${AND} BSD-3-Clause ${AND} BlueOak-1.0.0 ${AND} CC-BY-3.0 ${AND} CC0-1.0 ${AND} ISC ${AND} MIT"
AND = "${@bb.utils.contains_any('LAYERSERIES_COMPAT_core', 'scarthgap styhead walnascar whinlatter wrynose', '&', 'AND', d)}"
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"

# Compiled beforehand, since a build must never run npm: it is beside this layer in a release archive, and in a
# checkout after `make build`.
STOWAGE_COMPILED_DIR ?= "${THISDIR}/../../../dist"
STOWAGE_COMPILED_DIR[doc] = "The directory with the compiled stowage.mjs. Default: dist/ beside the layer."
FILESEXTRAPATHS:prepend := "${STOWAGE_COMPILED_DIR}:"
SRC_URI = "file://stowage.mjs"
# scarthgap has no UNPACKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}"

STOWAGE_NODE ?= "${@bb.utils.contains('BBFILE_COLLECTIONS', 'openembedded-layer', 'nodejs-native', 'host', d)}"
STOWAGE_NODE[doc] = "Where Node.js comes from: a recipe, or host, which needs HOSTTOOLS += \"node\". Default: nodejs-native where meta-oe is there."
DEPENDS += "${@'' if d.getVar('STOWAGE_NODE') == 'host' else d.getVar('STOWAGE_NODE')}"

inherit native

# Without it the recipe is skipped: the layer has to parse in a fresh checkout too.
python () {
    found, places = bb.utils.which(d.getVar("FILESPATH"), "stowage.mjs", history=True)
    for place in places:
        bb.parse.mark_dependency(d, place)
    if not found:
        compiled = os.path.normpath(os.path.join(d.getVar("STOWAGE_COMPILED_DIR"), "stowage.mjs"))
        raise bb.parse.SkipRecipe("%s is missing: run `make build` in stowage's own directory, or take a release archive" % compiled)
}

# There is nothing to patch, and so no need for the program that does it.
PATCHDEPENDENCY = ""

# do_fetch of a data image would be the next to stop, without skopeo.
do_configure() {
	if ! command -v node >/dev/null && ! command -v skopeo >/dev/null; then
		bbfatal "There is neither node nor skopeo: add HOSTTOOLS += \"node skopeo\" to conf/local.conf for those of this machine, or set STOWAGE_NODE = \"nodejs-native\" with meta-oe and STOWAGE_SKOPEO = \"skopeo-native\" with meta-virtualization"
	fi
	if ! command -v node >/dev/null; then
		bbfatal "There is no node: add HOSTTOOLS += \"node\" to conf/local.conf for the one of this machine, or set STOWAGE_NODE = \"nodejs-native\" with meta-oe"
	fi
	node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)' ||
		bbfatal "Node.js 20.19 or newer is needed, and this is $(node --version)"
}

# The file keeps its name, and the command is a link to it: Node takes it for an ES module by the .mjs.
do_install() {
	install -D -m 0755 ${S}/stowage.mjs ${D}${libdir}/stowage/stowage.mjs
	install -d ${D}${bindir}
	ln -s ../lib/stowage/stowage.mjs ${D}${bindir}/stowage
}

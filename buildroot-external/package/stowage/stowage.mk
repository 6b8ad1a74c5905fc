################################################################################
#
# stowage
#
################################################################################

# Nothing is downloaded: the program is compiled in this tree beforehand, so
# that no package manager reaches for the network in the middle of a build.
HOST_STOWAGE_VERSION = 0.1.0
HOST_STOWAGE_SOURCE =
HOST_STOWAGE_LICENSE = Apache-2.0, MIT, ISC, BSD-3-Clause, BlueOak-1.0.0, CC-BY-3.0, CC0-1.0
HOST_STOWAGE_ADD_CCACHE_DEPENDENCY = NO

ifeq ($(BR2_PACKAGE_HOST_STOWAGE_NODEJS),y)
HOST_STOWAGE_DEPENDENCIES += host-nodejs
endif

ifeq ($(BR2_PACKAGE_HOST_STOWAGE_SKOPEO),y)
HOST_STOWAGE_DEPENDENCIES += host-skopeo
endif

HOST_STOWAGE_COMPILED = $(BR2_EXTERNAL_STOWAGE_PATH)/dist/stowage.mjs

# Looked at in the first step that runs, so that a builder that cannot run
# stowage is told so before anything is fetched.
define HOST_STOWAGE_CONFIGURE_CMDS
	$(Q)test -f $(HOST_STOWAGE_COMPILED) || { \
		echo "host-stowage: $(HOST_STOWAGE_COMPILED) is missing." >&2; \
		echo "Compile it first: make -C $(BR2_EXTERNAL_STOWAGE_PATH) build" >&2; \
		exit 1; \
	}
	$(Q)PATH=$(BR_PATH) node -e \
		'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
		2>/dev/null || { \
		echo "host-stowage: needs Node.js 20.19 or newer, and found $$(PATH=$(BR_PATH) node --version 2>/dev/null || echo none)." >&2; \
		echo "Install it, or enable BR2_PACKAGE_HOST_STOWAGE_NODEJS." >&2; \
		exit 1; \
	}
endef

# The file keeps its name, and bin/ has a link to it: Node takes a file for an
# ES module by the .mjs, whatever package.json lies above the output directory.
define HOST_STOWAGE_INSTALL_CMDS
	$(INSTALL) -D -m 0755 $(HOST_STOWAGE_COMPILED) $(HOST_DIR)/lib/stowage/stowage.mjs
	mkdir -p $(HOST_DIR)/bin
	ln -sf ../lib/stowage/stowage.mjs $(HOST_DIR)/bin/stowage
endef

# Packages without a source get no row and no licence of their own.
define HOST_STOWAGE_SAVE_LEGAL_INFO
	$(Q)$(INSTALL) -D -m 0644 $(BR2_EXTERNAL_STOWAGE_PATH)/LICENSE $(LICENSE_FILES_DIR_HOST)/stowage-$(HOST_STOWAGE_VERSION)/LICENSE
	$(Q)$(call legal-manifest,HOST,stowage,$(HOST_STOWAGE_VERSION),$(HOST_STOWAGE_LICENSE),LICENSE,not saved,not saved,)
endef
HOST_STOWAGE_POST_LEGAL_INFO_HOOKS += HOST_STOWAGE_SAVE_LEGAL_INFO

$(eval $(host-generic-package))

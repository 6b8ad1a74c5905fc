################################################################################
#
# stowage-data
#
################################################################################

# No source of its own. (A local site would be tempting for the bundles, but it
# turns the download hooks off, and "make source" would miss the images.)
STOWAGE_DATA_SOURCE =
STOWAGE_DATA_LICENSE = Apache-2.0
STOWAGE_DATA_INSTALL_IMAGES = YES
STOWAGE_DATA_INSTALL_TARGET = NO

# Nothing is compiled and nothing goes to the target.
STOWAGE_DATA_ADD_TOOLCHAIN_DEPENDENCY = NO
STOWAGE_DATA_ADD_SKELETON_DEPENDENCY = NO
STOWAGE_DATA_ADD_CCACHE_DEPENDENCY = NO

STOWAGE_DATA_DOWNLOAD_DEPENDENCIES = host-stowage
STOWAGE_DATA_DEPENDENCIES = host-stowage

# $(1): a value, made one word for the shell
STOWAGE_DATA_WORD = '$(subst ','\'',$(1))'

# $(1): a path; where it is not absolute it starts at Buildroot's top directory
STOWAGE_DATA_PATH = $(if $(1),$(if $(filter /%,$(1)),$(1),$(TOPDIR)/$(1)))

# $(1): an option, $(2): its value; nothing where there is no value
STOWAGE_DATA_OPTION = $(if $(2),$(1) $(call STOWAGE_DATA_WORD,$(2)))

STOWAGE_DATA_BUNDLES = \
	$(foreach bundle,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_BUNDLES)),$(call STOWAGE_DATA_PATH,$(bundle)))
STOWAGE_DATA_PLATFORM = $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PLATFORM))
STOWAGE_DATA_JOBS = $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_JOBS))

# Where the user names no pins file: outside of the build directory, which
# dirclean empties, and by the bundles' names and where they are, since projects
# that share a download directory may all call theirs bundle.yaml.
STOWAGE_DATA_BUNDLES_HASH = $(firstword $(shell printf '%s\n' $(foreach bundle,$(STOWAGE_DATA_BUNDLES),$(call STOWAGE_DATA_WORD,$(bundle))) | sha256sum | cut -c1-8))
STOWAGE_DATA_PINS = $(call STOWAGE_DATA_PATH,$(or \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PINS)),\
	$(STOWAGE_DATA_DL_DIR)/$(subst $(space),+,$(strip $(basename $(notdir $(STOWAGE_DATA_BUNDLES)))))-$(STOWAGE_DATA_BUNDLES_HASH).pins.json))

STOWAGE_DATA_STORE = $(call STOWAGE_DATA_PATH,$(or \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_STORE)),\
	$(DL_DIR)/stowage-store))

ifeq ($(BR2_PACKAGE_STOWAGE_DATA_LOADER_DIND),y)
STOWAGE_DATA_LOADER = dind
endif
ifeq ($(BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT),y)
STOWAGE_DATA_LOADER = direct
endif

# What is built, and for what: fetch and build must be told the same
STOWAGE_DATA_OPTS = \
	$(foreach bundle,$(STOWAGE_DATA_BUNDLES),-b $(call STOWAGE_DATA_WORD,$(bundle))) \
	-p $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) \
	-s $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_STORE)) \
	--platform $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PLATFORM)) \
	$(call STOWAGE_DATA_OPTION,--machine,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MACHINE))) \
	$(call STOWAGE_DATA_OPTION,--set,$(addprefix channel=,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_CHANNEL)))) \
	$(foreach variable,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SET)),--set $(call STOWAGE_DATA_WORD,$(variable))) \
	--loader $(STOWAGE_DATA_LOADER) \
	$(call STOWAGE_DATA_OPTION,--engine-version,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_ENGINE_VERSION))) \
	$(call STOWAGE_DATA_OPTION,--dind,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_DIND_IMAGE))) \
	--log plain

STOWAGE_DATA_MIRRORS = $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MIRRORS))

STOWAGE_DATA_FETCH_OPTS = \
	$(foreach mirror,$(STOWAGE_DATA_MIRRORS),--mirror $(call STOWAGE_DATA_WORD,$(mirror))) \
	$(call STOWAGE_DATA_OPTION,--authfile,$(call STOWAGE_DATA_PATH,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_AUTHFILE)))) \
	$(call STOWAGE_DATA_OPTION,--jobs,$(filter-out 0,$(STOWAGE_DATA_JOBS))) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_FROZEN),--frozen)

# The mirrors are our primary sites. Without any, the promise to contact no
# other site is kept by contacting none: everything must be in the store.
ifeq ($(BR2_PRIMARY_SITE_ONLY),y)
ifeq ($(STOWAGE_DATA_MIRRORS),)
STOWAGE_DATA_FETCH_OPTS += --offline
STOWAGE_DATA_ONLY = only images that are already in the store are used
else
STOWAGE_DATA_FETCH_OPTS += --mirror-only
STOWAGE_DATA_ONLY = only the mirrors are asked
endif
endif

STOWAGE_DATA_BUILD_OPTS = \
	$(call STOWAGE_DATA_OPTION,--size,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SIZE))) \
	$(call STOWAGE_DATA_OPTION,--label,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_LABEL)))

define STOWAGE_DATA_FETCH
	@$(call MESSAGE,"Fetching container images")
	$(Q)$(DOWNLOAD_SET_UMASK) mkdir -p $(STOWAGE_DATA_DL_DIR)
	$(Q)$(DOWNLOAD_SET_UMASK) $(EXTRA_ENV) $(HOST_DIR)/bin/stowage fetch \
		$(STOWAGE_DATA_OPTS) $(STOWAGE_DATA_FETCH_OPTS) \
		$(if $(BR2_PRIMARY_SITE_ONLY),|| { code=$$?; \
			echo "stowage-data: BR2_PRIMARY_SITE_ONLY is set: $(STOWAGE_DATA_ONLY)." >&2; \
			exit $$code; })
endef
STOWAGE_DATA_POST_DOWNLOAD_HOOKS += STOWAGE_DATA_FETCH

# Buildroot itself needs no root: say so before the one step that does.
ifeq ($(STOWAGE_DATA_LOADER),dind)
define STOWAGE_DATA_SAY_ROOT
	@$(call MESSAGE,"The dind loader mounts the image: it needs Docker and root (by sudo unless you are root)")
endef
STOWAGE_DATA_PRE_BUILD_HOOKS += STOWAGE_DATA_SAY_ROOT
endif

# Usage and verification errors mean that pins or store do not have what the
# configuration asks for now; only a new download step can mend that.
define STOWAGE_DATA_BUILD_CMDS
	$(EXTRA_ENV) $(HOST_DIR)/bin/stowage build \
		$(STOWAGE_DATA_OPTS) $(STOWAGE_DATA_BUILD_OPTS) -o $(@D)/data.ext4 \
		|| { code=$$?; case $$code in 2|3) \
			echo "stowage-data: to fetch what is missing: make stowage-data-dirclean stowage-data-source" >&2;; \
		esac; exit $$code; }
endef

# Copied beside, then renamed: whoever reads the images directory never sees
# half an image. The data image is mostly holes.
define STOWAGE_DATA_INSTALL_IMAGES_CMDS
	cp --sparse=always $(@D)/data.ext4 $(BINARIES_DIR)/.data.ext4.new
	cp $(@D)/data.json $(BINARIES_DIR)/.data.json.new
	mv $(BINARIES_DIR)/.data.ext4.new $(BINARIES_DIR)/data.ext4
	mv $(BINARIES_DIR)/.data.json.new $(BINARIES_DIR)/data.json
endef

ifeq ($(BR2_PACKAGE_STOWAGE_DATA)$(BR_BUILDING),yy)
ifeq ($(STOWAGE_DATA_BUNDLES),)
$(error BR2_PACKAGE_STOWAGE_DATA_BUNDLES is empty: name at least one bundle)
endif
ifeq ($(STOWAGE_DATA_PLATFORM),)
$(error BR2_PACKAGE_STOWAGE_DATA_PLATFORM is empty: name one, such as linux/arm64)
endif
endif

$(eval $(generic-package))

# The pins are written one reference a line, name:tag@sha256:..., for readers
# like this one. Every target that the file pins is listed.
.PHONY: stowage-data-pinned-images
stowage-data-pinned-images:
	@if test -f $(STOWAGE_DATA_PINS); then \
		sed -n 's/^ *"reference": "\(.*@sha256:[0-9a-f]*\)",*$$/\1/p' $(STOWAGE_DATA_PINS); \
	fi

stowage-data-external-deps: stowage-data-pinned-images

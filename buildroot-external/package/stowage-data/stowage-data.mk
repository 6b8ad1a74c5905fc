################################################################################
#
# stowage-data
#
################################################################################

# No source of its own. (A local site would be tempting for the bundles, but it
# turns the download step off, and "make source" would miss the images.)
STOWAGE_DATA_SOURCE =
STOWAGE_DATA_LICENSE = as the images: see stowage-data/images.csv
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

# $(1): an option, $(2): its values
STOWAGE_DATA_EACH = $(foreach value,$(2),$(1) $(call STOWAGE_DATA_WORD,$(value)))

# $(1): an option, $(2): a path, in quotes as it may be
STOWAGE_DATA_FILE = $(call STOWAGE_DATA_OPTION,$(1),$(call STOWAGE_DATA_PATH,$(call qstrip,$(2))))

STOWAGE_DATA_BUNDLES = \
	$(foreach bundle,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_BUNDLES)),$(call STOWAGE_DATA_PATH,$(bundle)))

# Where the user names no pins file: outside of the build directory, which
# dirclean empties, and by the bundles' names and where they are, since projects
# that share a download directory may all call theirs bundle.yaml.
ifeq ($(BR2_PACKAGE_STOWAGE_DATA),y)
STOWAGE_DATA_BUNDLES_HASH := $(firstword $(shell printf '%s\n' $(foreach bundle,$(STOWAGE_DATA_BUNDLES),$(call STOWAGE_DATA_WORD,$(bundle))) | sha256sum | cut -c1-8))
endif
STOWAGE_DATA_PINS = $(call STOWAGE_DATA_PATH,$(or \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PINS)),\
	$(STOWAGE_DATA_DL_DIR)/$(subst $(space),+,$(strip $(basename $(notdir $(STOWAGE_DATA_BUNDLES)))))-$(STOWAGE_DATA_BUNDLES_HASH).pins.json))

STOWAGE_DATA_STORE = $(call STOWAGE_DATA_PATH,$(or \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_STORE)),\
	$(DL_DIR)/stowage-store))

# The device's engine is the one that is built for it. That package is parsed
# before an external tree's.
STOWAGE_DATA_ENGINE_VERSION = $(or \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_ENGINE_VERSION)),\
	$(if $(BR2_PACKAGE_DOCKER_ENGINE),$(DOCKER_ENGINE_VERSION)))

STOWAGE_DATA_LOADER = $(if $(BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT),direct,dind)

STOWAGE_DATA_DIND_ENGINE = \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_DIND_ENGINE_DOCKER),docker) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_DIND_ENGINE_PODMAN),podman)

STOWAGE_DATA_ENGINE_STORE = \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_CONTAINERD),containerd) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_OVERLAY2),overlay2)

STOWAGE_DATA_CONTAINERD = \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_CONTAINERD_DAEMON),daemon) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_CONTAINERD_OWN),own)

# What is meant, of all that the pins file has
STOWAGE_DATA_TARGET_OPTS = \
	--platform $(call STOWAGE_DATA_WORD,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PLATFORM))) \
	$(call STOWAGE_DATA_OPTION,--machine,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MACHINE))) \
	$(call STOWAGE_DATA_OPTION,--set,$(addprefix channel=,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_CHANNEL)))) \
	$(call STOWAGE_DATA_EACH,--set,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SET)))

STOWAGE_DATA_BUNDLE_OPTS = \
	$(call STOWAGE_DATA_EACH,-b,$(STOWAGE_DATA_BUNDLES)) \
	-p $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) \
	$(STOWAGE_DATA_TARGET_OPTS)

STOWAGE_DATA_ENGINE_VERSION_OPTS = $(call STOWAGE_DATA_OPTION,--engine-version,$(STOWAGE_DATA_ENGINE_VERSION))

# What is pinned, fetched and built: all of them must be told the same
STOWAGE_DATA_PIN_OPTS = \
	$(STOWAGE_DATA_BUNDLE_OPTS) \
	--loader $(STOWAGE_DATA_LOADER) \
	$(STOWAGE_DATA_ENGINE_VERSION_OPTS) \
	$(call STOWAGE_DATA_OPTION,--dind,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_DIND_IMAGE))) \
	--log plain

STOWAGE_DATA_STORE_OPTS = -s $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_STORE))

STOWAGE_DATA_NETWORK_OPTS = \
	$(call STOWAGE_DATA_EACH,--mirror,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MIRRORS))) \
	$(call STOWAGE_DATA_FILE,--authfile,$(BR2_PACKAGE_STOWAGE_DATA_AUTHFILE)) \
	$(call STOWAGE_DATA_FILE,--cert-dir,$(BR2_PACKAGE_STOWAGE_DATA_CERT_DIR)) \
	$(call STOWAGE_DATA_EACH,--insecure,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_INSECURE))) \
	$(call STOWAGE_DATA_FILE,--policy,$(BR2_PACKAGE_STOWAGE_DATA_POLICY)) \
	$(call STOWAGE_DATA_FILE,--registries-dir,$(BR2_PACKAGE_STOWAGE_DATA_REGISTRIES_DIR)) \
	$(call STOWAGE_DATA_OPTION,--jobs,$(filter-out 0,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_JOBS))))

STOWAGE_DATA_FETCH_OPTS = \
	$(STOWAGE_DATA_STORE_OPTS) \
	$(STOWAGE_DATA_NETWORK_OPTS) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_FROZEN),--frozen)

STOWAGE_DATA_DIND_ENGINE_OPTS = $(call STOWAGE_DATA_OPTION,--engine,$(strip $(STOWAGE_DATA_DIND_ENGINE)))

STOWAGE_DATA_BUILD_OPTS = \
	$(STOWAGE_DATA_STORE_OPTS) \
	$(STOWAGE_DATA_DIND_ENGINE_OPTS) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_DIND_PRIVILEGED),--privileged) \
	$(STOWAGE_DATA_PARTITION_OPTS)

# What decides about the partition beside the pins
STOWAGE_DATA_PARTITION_OPTS = \
	$(call STOWAGE_DATA_OPTION,--engine-store,$(strip $(STOWAGE_DATA_ENGINE_STORE))) \
	$(call STOWAGE_DATA_OPTION,--containerd,$(strip $(STOWAGE_DATA_CONTAINERD))) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_UNPACK_BUILDER),--unpack) \
	$(if $(BR2_PACKAGE_STOWAGE_DATA_UNPACK_DEVICE),--no-unpack) \
	$(call STOWAGE_DATA_OPTION,--label,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_LABEL))) \
	$(call STOWAGE_DATA_OPTION,--size,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SIZE))) \
	$(call STOWAGE_DATA_OPTION,--headroom,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_HEADROOM))) \
	$(if $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_FEATURES)),--features=$(call STOWAGE_DATA_WORD,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_FEATURES)))) \
	$(call STOWAGE_DATA_OPTION,--uuid,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_UUID))) \
	$(call STOWAGE_DATA_OPTION,--data-root,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_DATA_ROOT)))

# The mirrors are our primary sites, and so is the store beside the downloads
# of a primary site that is a directory. Without any, the promise to contact no
# other site is kept by contacting none: everything must be in the store.
STOWAGE_DATA_PRIMARY_STORE = $(wildcard $(patsubst file://%,%/stowage-store,$(filter file:///%,$(call qstrip,$(BR2_PRIMARY_SITE)))))

ifeq ($(BR2_PRIMARY_SITE_ONLY),y)
ifeq ($(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MIRRORS)),)
STOWAGE_DATA_FETCH_OPTS += --offline
STOWAGE_DATA_ONLY = without BR2_PACKAGE_STOWAGE_DATA_MIRRORS only images that are already in the store are used
STOWAGE_DATA_NO_REGISTRY = yes
else
STOWAGE_DATA_NETWORK_OPTS += --mirror-only
STOWAGE_DATA_ONLY = only the mirrors are asked
endif
endif

# What a primary site's store has of the pinned images is taken from there, as
# export and import hand it over: nothing gets its name before it was verified.
# Where it lacks something, the registries are asked for all that is missing.
ifneq ($(STOWAGE_DATA_PRIMARY_STORE),)
define STOWAGE_DATA_TAKE_FROM_PRIMARY_SITE
	$(Q)$(DOWNLOAD_SET_UMASK) if test -f $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) && \
		! $(STOWAGE_DATA_STOWAGE) fetch $(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_STORE_OPTS) \
			--offline >/dev/null 2>&1; then \
		$(call MESSAGE,"Looking in $(STOWAGE_DATA_PRIMARY_STORE)"); \
		carried=$$(mktemp -p $(STOWAGE_DATA_DL_DIR) .carried-XXXXXX) || exit 1; \
		trap 'rm -f "$$carried"' EXIT; \
		$(STOWAGE_DATA_STOWAGE) store export -s $(STOWAGE_DATA_PRIMARY_STORE) \
			-p $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) \
			$(STOWAGE_DATA_TARGET_OPTS) -o "$$carried" --log plain && \
		$(STOWAGE_DATA_STOWAGE) store import "$$carried" $(STOWAGE_DATA_STORE_OPTS) --log plain || \
			echo "stowage-data: the store of BR2_PRIMARY_SITE does not have it all" >&2; \
	fi
endef
endif

STOWAGE_DATA_STOWAGE = $(EXTRA_ENV) $(HOST_DIR)/bin/stowage

# stowage speaks of its command line. Where a call of it fails, one line says what
# that means for a configuration, by the exit code.
# $(1): exit codes, as case has them, $(2): what to do then
STOWAGE_DATA_HINT = $(1)) echo "stowage-data: $(2)" >&2;;

# $(1): the hints
STOWAGE_DATA_SAY_WHAT_TO_DO = { code=$$?; case $$code in $(1) esac; exit $$code; }

STOWAGE_DATA_HOW_TO_MOVE = BR2_PACKAGE_STOWAGE_DATA_FROZEN is set: make stowage-pin pins this configuration anew; \
	what is pinned for it already can be moved alone$(comma) with UPDATE=<name>
STOWAGE_DATA_HOW_TO_UPDATE = UPDATE moves images of the bundles that are pinned for this configuration already; \
	make stowage-pin without it pins all of them
STOWAGE_DATA_WHOSE_OPTIONS = if it names an option of the command line: docs/buildroot.md says which of BR2_PACKAGE_STOWAGE_DATA_... that is
STOWAGE_DATA_WHOSE_NETWORK = BR2_PACKAGE_STOWAGE_DATA_MIRRORS names registries to try first$(comma) \
	$(or $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MIRRORS)),none) now; a catalog that is not \
	there has its address in BR2_PACKAGE_STOWAGE_DATA_SET$(comma) as in versions=https://...
STOWAGE_DATA_WHOSE_REFUSAL = where its name is right: BR2_PACKAGE_STOWAGE_DATA_PLATFORM says what it must be for$(comma) \
	$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PLATFORM)) now$(comma) \
	_AUTHFILE has the credentials$(comma) _MIRRORS who else may have it; make stowage-pin pins what is there now

# The first that fits. Where BR2_PRIMARY_SITE_ONLY is set, that is why something was not found.
STOWAGE_DATA_FETCH_HINTS = $(if $(BR2_PACKAGE_STOWAGE_DATA_FROZEN),$(call STOWAGE_DATA_HINT,2,$(STOWAGE_DATA_HOW_TO_MOVE))) $(STOWAGE_DATA_PIN_HINTS)
STOWAGE_DATA_PIN_HINTS = \
	$(call STOWAGE_DATA_HINT,2,$(STOWAGE_DATA_WHOSE_OPTIONS)) \
	$(if $(BR2_PRIMARY_SITE_ONLY),$(call STOWAGE_DATA_HINT,3|4|5,BR2_PRIMARY_SITE_ONLY is set: $(STOWAGE_DATA_ONLY))) \
	$(call STOWAGE_DATA_HINT,4,$(STOWAGE_DATA_WHOSE_NETWORK)) \
	$(call STOWAGE_DATA_HINT,5,$(STOWAGE_DATA_WHOSE_REFUSAL)) \
	$(call STOWAGE_DATA_HINT,6,make stowage-doctor tells what this machine lacks; BR2_PACKAGE_HOST_STOWAGE_SKOPEO builds a skopeo) \
	$(call STOWAGE_DATA_HINT,7,downloads go to BR2_PACKAGE_STOWAGE_DATA_STORE)

# Usage and verification errors mean that pins or store do not have what the
# configuration asks for now; only a new download step can mend that.
STOWAGE_DATA_BUILD_HINTS = \
	$(call STOWAGE_DATA_HINT,2|3,to fetch what is missing: make stowage-data-dirclean stowage-data-source$(if \
		$(BR2_PACKAGE_STOWAGE_DATA_FROZEN),; $(STOWAGE_DATA_HOW_TO_MOVE))) \
	$(call STOWAGE_DATA_HINT,6,make stowage-doctor tells what this machine lacks$(STOWAGE_DATA_OTHER_LOADER)) \
	$(call STOWAGE_DATA_HINT,7,$(if $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SIZE)),--size is \
		BR2_PACKAGE_STOWAGE_DATA_SIZE here; it is $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SIZE)) now,the partition's \
		size is left to the bundles; BR2_PACKAGE_STOWAGE_DATA_SIZE overrules them))

define STOWAGE_DATA_FETCH
	@$(call MESSAGE,"Fetching container images")
	$(Q)$(DOWNLOAD_SET_UMASK) mkdir -p $(STOWAGE_DATA_DL_DIR)
	$(STOWAGE_DATA_TAKE_FROM_PRIMARY_SITE)
	$(Q)$(DOWNLOAD_SET_UMASK) $(STOWAGE_DATA_STOWAGE) fetch \
		$(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_FETCH_OPTS) \
		|| $(call STOWAGE_DATA_SAY_WHAT_TO_DO,$(STOWAGE_DATA_FETCH_HINTS))
endef

# Buildroot itself needs no root: say so before the one step that does.
ifeq ($(STOWAGE_DATA_LOADER),dind)
define STOWAGE_DATA_SAY_ROOT
	@$(call MESSAGE,"The dind loader mounts the image: it needs Docker and root (by sudo unless you are root)")
endef
STOWAGE_DATA_PRE_BUILD_HOOKS += STOWAGE_DATA_SAY_ROOT
STOWAGE_DATA_OTHER_LOADER = ; BR2_PACKAGE_STOWAGE_DATA_LOADER_DIRECT needs neither Docker nor root
endif

define STOWAGE_DATA_BUILD_CMDS
	@$(call MESSAGE,"Filling data.ext4 for $(BR2_PACKAGE_STOWAGE_DATA_PLATFORM) with the $(STOWAGE_DATA_LOADER) loader")
	$(Q)$(STOWAGE_DATA_STOWAGE) build \
		$(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_BUILD_OPTS) -o $(@D)/data.ext4 \
		|| $(call STOWAGE_DATA_SAY_WHAT_TO_DO,$(STOWAGE_DATA_BUILD_HINTS))
endef

# Buildroot compares the files before its configure step with those after the last
# one, and drops the former; a step that runs again has none to compare with.
define STOWAGE_DATA_LIST_FILES
	@test -e $(@D)/.files-list.before || { $(call pkg_size_before,$(TARGET_DIR)); }
	@test -e $(@D)/.files-list-staging.before || { $(call pkg_size_before,$(STAGING_DIR),-staging); }
	@test -e $(@D)/.files-list-images.before || { $(call pkg_size_before,$(BINARIES_DIR),-images); }
	@test -e $(@D)/.files-list-host.before || { $(call pkg_size_before,$(HOST_DIR),-host); }
endef
ifneq ($(value pkg_size_before),)
STOWAGE_DATA_PRE_INSTALL_IMAGES_HOOKS += STOWAGE_DATA_LIST_FILES
endif

# Copied beside, then renamed: whoever reads the images directory never sees
# half an image. The data image is mostly holes.
define STOWAGE_DATA_INSTALL_IMAGES_CMDS
	cp --sparse=always $(@D)/data.ext4 $(BINARIES_DIR)/.data.ext4.new
	cp $(@D)/data.json $(BINARIES_DIR)/.data.json.new
	mv $(BINARIES_DIR)/.data.ext4.new $(BINARIES_DIR)/data.ext4
	mv $(BINARIES_DIR)/.data.json.new $(BINARIES_DIR)/data.json
endef

# What the data partition has, for those who have to know its licences. Nothing
# but the pins and the store is read.
STOWAGE_DATA_LEGAL_INFO_DIR = $(LEGAL_INFO_DIR)/stowage-data

define STOWAGE_DATA_SAVE_LEGAL_INFO
	$(Q)mkdir -p $(STOWAGE_DATA_LEGAL_INFO_DIR)
	$(Q)$(INSTALL) -m 0644 $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) $(STOWAGE_DATA_LEGAL_INFO_DIR)/pins.json
	$(Q)$(STOWAGE_DATA_STOWAGE) sbom $(STOWAGE_DATA_BUNDLE_OPTS) $(STOWAGE_DATA_STORE_OPTS) \
		$(STOWAGE_DATA_ENGINE_VERSION_OPTS) --log plain \
		-o $(STOWAGE_DATA_LEGAL_INFO_DIR)/sbom.spdx.json \
		--manifest $(STOWAGE_DATA_LEGAL_INFO_DIR)/images.csv
	$(Q)$(call legal-manifest,TARGET,stowage-data,,see stowage-data/images.csv,,not saved,see stowage-data/images.csv,)
	$(Q)$(call legal-warning-pkg,stowage-data,container images and their sources not saved; stowage-data/ lists them)
endef
STOWAGE_DATA_POST_LEGAL_INFO_HOOKS += STOWAGE_DATA_SAVE_LEGAL_INFO

define STOWAGE_DATA_HELP_CMDS
	@echo '  stowage-pin            - Fix every tag of the bundles to digests; UPDATE="NAME ..."'
	@echo '                           moves these images alone'
	@echo '  stowage-pin-check      - List what is newer than pinned; ends with error 8 if'
	@echo '                           anything is'
	@echo '  stowage-verify         - Compare images/data.ext4 with the pins'
	@echo '  stowage-inspect        - List what is in images/data.ext4, or else in the pins'
	@echo '  stowage-diff OLD=FILE  - Compare a data image or pins with images/data.ext4, or'
	@echo '                           else with the pins; ends with error 8 if they differ'
	@echo '  stowage-doctor         - Tell what this machine lacks, and the command that mends it'
endef

$(eval $(generic-package))

# The images are fetched behind the download step, which is as good as empty: so
# they are again when a bundle, the pins or what decides about them have changed
# since, and the next steps leave the last result as it is, of which a build takes
# what has not changed.
STOWAGE_DATA_TARGET_FETCH = $(STOWAGE_DATA_DIR)/.stamp_fetched
STOWAGE_DATA_FETCH_OPTIONS = $(STOWAGE_DATA_DIR)/.options-fetch
STOWAGE_DATA_BUILD_OPTIONS = $(STOWAGE_DATA_DIR)/.options-build

stowage-data-source: $(STOWAGE_DATA_TARGET_FETCH)
$(STOWAGE_DATA_TARGET_EXTRACT): | $(STOWAGE_DATA_TARGET_FETCH) $(STOWAGE_DATA_BUILD_OPTIONS)
$(STOWAGE_DATA_TARGET_BUILD): $(STOWAGE_DATA_TARGET_FETCH) $(STOWAGE_DATA_BUILD_OPTIONS)

$(STOWAGE_DATA_TARGET_FETCH): PKG=STOWAGE_DATA
$(STOWAGE_DATA_TARGET_FETCH): $(wildcard $(STOWAGE_DATA_BUNDLES) $(STOWAGE_DATA_PINS)) $(STOWAGE_DATA_FETCH_OPTIONS) | $(STOWAGE_DATA_TARGET_SOURCE)
	$(STOWAGE_DATA_FETCH)
	$(Q)touch $@

# $(1): options. Looked at every time, and written where they are others: then the
# file is newer than the step that they are for.
define STOWAGE_DATA_NOTE_OPTIONS
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' $(1) >$@.new
	$(Q)if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
endef

# Where images come from changes nothing about what they are.
$(STOWAGE_DATA_FETCH_OPTIONS): stowage-data-look-at-options
	$(call STOWAGE_DATA_NOTE_OPTIONS,$(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_STORE_OPTS) \
		$(if $(BR2_PACKAGE_STOWAGE_DATA_FROZEN),--frozen))

# Nor does what runs the dind image.
$(STOWAGE_DATA_BUILD_OPTIONS): stowage-data-look-at-options | $(STOWAGE_DATA_TARGET_SOURCE)
	$(call STOWAGE_DATA_NOTE_OPTIONS,$(STOWAGE_DATA_PARTITION_OPTS))

.PHONY: stowage-data-look-at-options stowage-data-pinned-images
stowage-data-pinned-images:
	@if test -f $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)); then \
		awk -v platform=$(call STOWAGE_DATA_WORD,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PLATFORM))) \
			-v machine=$(call STOWAGE_DATA_WORD,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MACHINE))) \
			-v set=$(call STOWAGE_DATA_WORD,$(addprefix channel=,$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_CHANNEL))) $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_SET))) \
			-v loader=$(STOWAGE_DATA_LOADER) \
			-f $(STOWAGE_DATA_PKGDIR)/pinned-images.awk $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)); \
	fi

stowage-data-external-deps: stowage-data-pinned-images

# What release engineers call. stowage's exit code is the recipe's.
ifeq ($(BR2_PACKAGE_STOWAGE_DATA),y)
STOWAGE_DATA_PHONY = \
	stowage-diff \
	stowage-doctor \
	stowage-inspect \
	stowage-pin \
	stowage-pin-check \
	stowage-verify

STOWAGE_DATA_IMAGE = $(BINARIES_DIR)/data.ext4
STOWAGE_DATA_IMAGE_OR_PINS = $(or $(wildcard $(STOWAGE_DATA_IMAGE)),$(STOWAGE_DATA_PINS))

# Installing a package may first download a tar. Where nothing of Buildroot's is
# wanted to run it, the compiled program is called where it is.
STOWAGE_DATA_RUN_WITH = $(BR2_PACKAGE_HOST_STOWAGE_NODEJS)$(BR2_PACKAGE_HOST_STOWAGE_SKOPEO)
STOWAGE_DATA_CALL = $(if $(STOWAGE_DATA_RUN_WITH),$(STOWAGE_DATA_STOWAGE),$(EXTRA_ENV) node $(HOST_STOWAGE_COMPILED))

.PHONY: $(STOWAGE_DATA_PHONY) stowage-data-can-run
$(STOWAGE_DATA_PHONY): PKG=HOST_STOWAGE
$(STOWAGE_DATA_PHONY): $(if $(STOWAGE_DATA_RUN_WITH),host-stowage,stowage-data-can-run)
stowage-data-can-run:
	$(HOST_STOWAGE_CONFIGURE_CMDS)

# Pinning asks a registry for every tag.
define STOWAGE_DATA_REQUIRE_REGISTRY
	$(if $(STOWAGE_DATA_NO_REGISTRY),$(Q)echo "$@: BR2_PRIMARY_SITE_ONLY is set: name a registry in BR2_PACKAGE_STOWAGE_DATA_MIRRORS" >&2; exit 2)
endef

stowage-pin:
	$(STOWAGE_DATA_REQUIRE_REGISTRY)
	$(Q)$(DOWNLOAD_SET_UMASK) mkdir -p $(STOWAGE_DATA_DL_DIR)
	$(Q)$(DOWNLOAD_SET_UMASK) $(STOWAGE_DATA_CALL) pin $(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_NETWORK_OPTS) \
		$(call STOWAGE_DATA_EACH,--update,$(UPDATE)) \
		|| $(call STOWAGE_DATA_SAY_WHAT_TO_DO,$(if $(UPDATE),$(call \
			STOWAGE_DATA_HINT,2,$(STOWAGE_DATA_HOW_TO_UPDATE))) $(STOWAGE_DATA_PIN_HINTS))

stowage-pin-check:
	$(STOWAGE_DATA_REQUIRE_REGISTRY)
	$(Q)$(STOWAGE_DATA_CALL) pin $(STOWAGE_DATA_PIN_OPTS) $(STOWAGE_DATA_NETWORK_OPTS) --check \
		|| $(call STOWAGE_DATA_SAY_WHAT_TO_DO,$(STOWAGE_DATA_PIN_HINTS))

stowage-verify:
	$(Q)test -f $(STOWAGE_DATA_IMAGE) || { \
		echo "stowage-verify: $(STOWAGE_DATA_IMAGE) is missing: make stowage-data" >&2; \
		exit 2; \
	}
	$(Q)$(STOWAGE_DATA_CALL) verify $(STOWAGE_DATA_IMAGE) \
		-p $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) $(STOWAGE_DATA_TARGET_OPTS) --log plain \
		|| $(call STOWAGE_DATA_SAY_WHAT_TO_DO,$(call STOWAGE_DATA_HINT,3,make stowage-data-rebuild makes it as it is pinned))

stowage-inspect:
	$(Q)$(STOWAGE_DATA_CALL) inspect $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_IMAGE_OR_PINS)) --log plain

stowage-diff:
	$(Q)test -n $(call STOWAGE_DATA_WORD,$(OLD)) || { \
		echo "stowage-diff: OLD is not given: make stowage-diff OLD=/path/to/released.ext4" >&2; \
		exit 2; \
	}
	$(Q)$(STOWAGE_DATA_CALL) diff $(call STOWAGE_DATA_WORD,$(call STOWAGE_DATA_PATH,$(OLD))) \
		$(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_IMAGE_OR_PINS)) --log plain

stowage-doctor:
	$(Q)$(STOWAGE_DATA_CALL) doctor --loader $(STOWAGE_DATA_LOADER) $(STOWAGE_DATA_DIND_ENGINE_OPTS) \
		$(STOWAGE_DATA_STORE_OPTS) -o $(STOWAGE_DATA_DIR)/data.ext4 --log plain
endif

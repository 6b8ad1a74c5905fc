################################################################################
#
# stowage-data-check
#
################################################################################

# What Kconfig cannot keep out of a text stops before the first step, whether it
# is to build or to fetch. The forms are stowage's own.
STOWAGE_DATA_CHECK_NUMBER_FORM = [0-9]+(\.[0-9]+)?
STOWAGE_DATA_CHECK_HOST_FORM = (localhost|\[[0-9a-fA-F:]+\](:[0-9]+)?|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+(:[0-9]+)?|[A-Za-z0-9_-]+:[0-9]+)
STOWAGE_DATA_CHECK_FEATURE_FORM = (default|5\.15|6\.1|6\.12|-?(64bit|dir_index|dir_nlink|ea_inode|ext_attr|extent|extra_isize|filetype|flex_bg|has_journal|huge_file|large_dir|large_file|metadata_csum|metadata_csum_seed|orphan_file|resize_inode|sparse_super|uninit_bg|verity))
STOWAGE_DATA_CHECK_NAME_FORM = (\.?[^./][^/]*|\.\.[^/]+)

STOWAGE_DATA_CHECK_ARM_FORM = arm(/v?[5-8])?|(armhf|armv7(a|l|hf|ve)?)(/v7)?|armv6(l|hf)?(/v6)?|(armel|armv5(e|te|tel|tejl)?)(/v5)?
STOWAGE_DATA_CHECK_ARM64_FORM = (arm64|aarch64|armv8a?)(/(v?8(\.0)?|v[89](\.[0-9])?))?
STOWAGE_DATA_CHECK_X86_FORM = 386|i[3-6]86|x86|(amd64|x86[_-]64)(/v[1-4])?
STOWAGE_DATA_CHECK_OTHER_ARCH_FORM = loong(arch)?64|mips(64)?(le|el)?|(ppc|powerpc)64(le)?|ppc64el|riscv64|s390x
STOWAGE_DATA_CHECK_PLATFORM_FORM = (linux/)?($(STOWAGE_DATA_CHECK_ARM_FORM)|$(STOWAGE_DATA_CHECK_ARM64_FORM)|$(STOWAGE_DATA_CHECK_X86_FORM)|$(STOWAGE_DATA_CHECK_OTHER_ARCH_FORM))
STOWAGE_DATA_CHECK_SET_FORM = [^=]+=.*
STOWAGE_DATA_CHECK_MIRRORS_FORM = (https?://)?$(STOWAGE_DATA_CHECK_HOST_FORM)(/[a-z0-9._-]+)*/?
STOWAGE_DATA_CHECK_INSECURE_FORM = $(STOWAGE_DATA_CHECK_HOST_FORM)
STOWAGE_DATA_CHECK_ENGINE_VERSION_FORM = [0-9]+(\.[0-9]+)+.*
STOWAGE_DATA_CHECK_DIND_IMAGE_FORM = (docker://|containers-storage:|docker-daemon:|oci:|oci-archive:|docker-archive:|dir:).+
STOWAGE_DATA_CHECK_LABEL_FORM = [^{}/[:space:][:cntrl:]]{1,16}
STOWAGE_DATA_CHECK_SIZE_FORM = auto|$(STOWAGE_DATA_CHECK_NUMBER_FORM)[KMGT](iB)?|[0-9]{7,}
STOWAGE_DATA_CHECK_HEADROOM_FORM = $(STOWAGE_DATA_CHECK_NUMBER_FORM)(%|[MGT](iB)?)|([4-9]|[0-9]{2,})(\.[0-9]+)?K(iB)?|0|409[6-9]|4[1-9][0-9]{2}|[5-9][0-9]{3}|[0-9]{5,}
STOWAGE_DATA_CHECK_FEATURES_FORM = $(STOWAGE_DATA_CHECK_FEATURE_FORM)(,$(STOWAGE_DATA_CHECK_FEATURE_FORM))*
STOWAGE_DATA_CHECK_UUID_FORM = [0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}
STOWAGE_DATA_CHECK_DATA_ROOT_FORM = $(STOWAGE_DATA_CHECK_NAME_FORM)(/$(STOWAGE_DATA_CHECK_NAME_FORM))*

# $(1): end of a symbol's name; its value without quotes
STOWAGE_DATA_CHECK_VALUE = $(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_$(1)))

# $(1): end of the name of a symbol that has a platform; such as arm, whichever way it is written
STOWAGE_DATA_CHECK_ARCH = $(shell printf '%s' $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_CHECK_VALUE)) | LC_ALL=C sed -E \
	-e 's@^linux/@@' -e 's@^($(STOWAGE_DATA_CHECK_ARM64_FORM))$$@arm64@' -e 's@^($(STOWAGE_DATA_CHECK_ARM_FORM))$$@arm@' \
	-e 's@^(amd64|x86[_-]64)(/v[1-4])?$$@amd64@' -e 's@^(i[3-6]86|x86)$$@386@' -e 's@^loongarch64$$@loong64@' \
	-e 's@^mips64el$$@mips64le@' -e 's@^(ppc64el|powerpc64le)$$@ppc64le@')

# $(1): end of a symbol's name, $(2): one of its values, $(3): what it must be
STOWAGE_DATA_CHECK_FORM = $(if $(2),$(if $(shell \
	printf '%s' $(call STOWAGE_DATA_WORD,$(2)) | LC_ALL=C grep -Ex -- $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_CHECK_$(1)_FORM))),,\
	$(error BR2_PACKAGE_STOWAGE_DATA_$(1) has "$(2)", which is not $(3))))

# $(1): end of the name of a symbol with one value, $(2): what it must be
STOWAGE_DATA_CHECK_ONE = $(call STOWAGE_DATA_CHECK_FORM,$(1),$(call STOWAGE_DATA_CHECK_VALUE,$(1)),$(2))

# $(1): end of the name of a symbol with several values, $(2): what each must be
STOWAGE_DATA_CHECK_EACH = $(foreach value,$(call STOWAGE_DATA_CHECK_VALUE,$(1)),$(call STOWAGE_DATA_CHECK_FORM,$(1),$(value),$(2)))

# $(1): end of a symbol's name, $(2): what test calls it, $(3): a path, $(4): what it must be
STOWAGE_DATA_CHECK_THERE = $(if $(3),$(if $(shell test -$(2) $(call STOWAGE_DATA_WORD,$(3)) && echo y),,\
	$(error BR2_PACKAGE_STOWAGE_DATA_$(1): $(3) is not $(4))))

# $(1): end of the name of a symbol that has a path, $(2) and $(3): as $(2) and $(4) above
STOWAGE_DATA_CHECK_PATH = $(call STOWAGE_DATA_CHECK_THERE,$(1),$(2),$(call STOWAGE_DATA_PATH,$(call STOWAGE_DATA_CHECK_VALUE,$(1))),$(3))

ifeq ($(BR2_PACKAGE_STOWAGE_DATA),y)
ifneq ($(BR_BUILDING)$(filter source %-source legal-info %-legal-info,$(MAKECMDGOALS)),)

ifeq ($(STOWAGE_DATA_BUNDLES),)
$(error BR2_PACKAGE_STOWAGE_DATA_BUNDLES is empty: name at least one bundle)
endif
$(foreach bundle,$(STOWAGE_DATA_BUNDLES),$(call STOWAGE_DATA_CHECK_THERE,BUNDLES,f,$(bundle),a file that is there))
ifeq ($(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PLATFORM)),)
$(error BR2_PACKAGE_STOWAGE_DATA_PLATFORM is empty: name one, such as linux/arm64)
endif
$(call STOWAGE_DATA_CHECK_ONE,PLATFORM,a platform such as linux/arm64 or linux/arm/v7)
# Variants of one architecture are anybody's choice; a text that was there before the architecture changed is not.
ifneq ($(call STOWAGE_DATA_CHECK_ARCH,PLATFORM),$(call STOWAGE_DATA_CHECK_ARCH,ARCH_PLATFORM))
ifneq ($(call STOWAGE_DATA_CHECK_VALUE,ARCH_PLATFORM),)
$(warning BR2_PACKAGE_STOWAGE_DATA_PLATFORM is $(call STOWAGE_DATA_CHECK_VALUE,PLATFORM)$(comma) and this configuration's processor \
	is one for $(call STOWAGE_DATA_CHECK_VALUE,ARCH_PLATFORM): for that$(comma) remove it from .config and run make olddefconfig)
endif
endif
$(call STOWAGE_DATA_CHECK_EACH,SET,name=value)
$(call STOWAGE_DATA_CHECK_EACH,MIRRORS,host/path$(comma) the host with a dot or a port)
$(call STOWAGE_DATA_CHECK_EACH,INSECURE,host:port)
$(call STOWAGE_DATA_CHECK_ONE,ENGINE_VERSION,a version such as 28.5.2)
$(call STOWAGE_DATA_CHECK_ONE,DIND_IMAGE,an image with its transport$(comma) such as docker://docker.io/library/docker:28.5.2-dind)
$(call STOWAGE_DATA_CHECK_ONE,LABEL,1 to 16 bytes without white space$(comma) slashes and braces)
$(call STOWAGE_DATA_CHECK_ONE,SIZE,auto$(comma) or a size such as 1280M or 2G)
$(call STOWAGE_DATA_CHECK_ONE,HEADROOM,a percentage such as 10%$(comma) or a size such as 200M)
$(call STOWAGE_DATA_CHECK_ONE,FEATURES,5.15$(comma) 6.1$(comma) 6.12 or names of ext4 features$(comma) with commas)
$(call STOWAGE_DATA_CHECK_ONE,UUID,a UUID such as 5f0c4a1e-9a3b-4c5d-8e6f-0123456789ab)
$(call STOWAGE_DATA_CHECK_ONE,DATA_ROOT,a directory from the root of the partition$(comma) with no / before it)
$(call STOWAGE_DATA_CHECK_PATH,AUTHFILE,f,a file that is there)
$(call STOWAGE_DATA_CHECK_PATH,CERT_DIR,d,a directory that is there)
$(call STOWAGE_DATA_CHECK_PATH,POLICY,f,a file that is there)
$(call STOWAGE_DATA_CHECK_PATH,REGISTRIES_DIR,d,a directory that is there)

# What Kconfig would leave out without a word is refused here.
ifeq ($(BR2_PACKAGE_STOWAGE_DATA_FROZEN):$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PINS)),y:)
$(error BR2_PACKAGE_STOWAGE_DATA_FROZEN is set, and BR2_PACKAGE_STOWAGE_DATA_PINS is empty: name the pins file that must not change)
endif
ifeq ($(BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_OVERLAY2),y)
$(foreach other,CONTAINERD_OWN UNPACK_DEVICE,$(if $(BR2_PACKAGE_STOWAGE_DATA_$(other)),\
	$(error BR2_PACKAGE_STOWAGE_DATA_$(other) can't be with BR2_PACKAGE_STOWAGE_DATA_ENGINE_STORE_OVERLAY2)))
endif

ifneq ($(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_PINS)),)
ifeq ($(shell test -d "$$(dirname -- $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)))" && echo y),)
$(error BR2_PACKAGE_STOWAGE_DATA_PINS: the directory of $(STOWAGE_DATA_PINS) is not there)
endif
ifeq ($(BR2_PACKAGE_STOWAGE_DATA_FROZEN):$(filter stowage-pin,$(MAKECMDGOALS)),y:)
ifeq ($(shell test -f $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_PINS)) && echo y),)
$(error BR2_PACKAGE_STOWAGE_DATA_FROZEN is set, and $(STOWAGE_DATA_PINS) of BR2_PACKAGE_STOWAGE_DATA_PINS is not there: make stowage-pin writes it)
endif
endif
endif

ifeq ($(BR2_PRIMARY_SITE_ONLY):$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MIRRORS))$(STOWAGE_DATA_PRIMARY_STORE),y:)
ifeq ($(shell test -f $(call STOWAGE_DATA_WORD,$(STOWAGE_DATA_STORE)/stowage-store.json) && echo y),)
$(error BR2_PRIMARY_SITE_ONLY is set, and there is nothing to take images from: \
	name a registry in BR2_PACKAGE_STOWAGE_DATA_MIRRORS, or have a filled BR2_PACKAGE_STOWAGE_DATA_STORE)
endif
endif

endif
endif

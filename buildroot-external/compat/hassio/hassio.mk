################################################################################
#
# hassio
#
################################################################################

# The options of Home Assistant OS's former package, handed on to stowage-data:
# by make and not as defaults in Config.in, which a .config would keep although
# the option that they came from has changed since.
ifeq ($(BR2_PACKAGE_HASSIO),y)

HASSIO_PLATFORM_aarch64 = linux/arm64
HASSIO_PLATFORM_amd64 = linux/amd64
HASSIO_PLATFORM_armv7 = linux/arm/v7
HASSIO_PLATFORM_armhf = linux/arm/v6
HASSIO_PLATFORM_i386 = linux/386

HASSIO_ARCH = $(call qstrip,$(BR2_PACKAGE_HASSIO_ARCH))
HASSIO_PLATFORM = $(HASSIO_PLATFORM_$(HASSIO_ARCH))

ifeq ($(BR2_PACKAGE_HASSIO_CHANNEL_BETA),y)
HASSIO_CHANNEL = beta
else ifeq ($(BR2_PACKAGE_HASSIO_CHANNEL_DEV),y)
HASSIO_CHANNEL = dev
else
HASSIO_CHANNEL = stable
endif

ifeq ($(BR_BUILDING),y)
ifneq ($(HASSIO_ARCH),)
ifeq ($(HASSIO_PLATFORM),)
$(error BR2_PACKAGE_HASSIO_ARCH is "$(HASSIO_ARCH)": it must be aarch64, amd64, armv7, armhf or i386)
endif
endif
ifneq ($(filter-out $(call qstrip,$(BR2_PACKAGE_HASSIO_MACHINE)),$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_MACHINE))),)
$(error BR2_PACKAGE_STOWAGE_DATA_MACHINE must be empty: with hassio it is BR2_PACKAGE_HASSIO_MACHINE)
endif
ifneq ($(filter-out $(HASSIO_CHANNEL),$(call qstrip,$(BR2_PACKAGE_STOWAGE_DATA_CHANNEL))),)
$(error BR2_PACKAGE_STOWAGE_DATA_CHANNEL must be empty: with hassio it is BR2_PACKAGE_HASSIO_CHANNEL_*)
endif
endif

# check-package TypoInPackageVariable
BR2_PACKAGE_STOWAGE_DATA_MACHINE = $(BR2_PACKAGE_HASSIO_MACHINE)
# check-package TypoInPackageVariable
BR2_PACKAGE_STOWAGE_DATA_CHANNEL = "$(HASSIO_CHANNEL)"
ifneq ($(HASSIO_PLATFORM),)
# check-package TypoInPackageVariable
BR2_PACKAGE_STOWAGE_DATA_PLATFORM = "$(HASSIO_PLATFORM)"
endif

# The targets that scripts may call by the former package's name
.PHONY: hassio
hassio: stowage-data

.PHONY: hassio-source
hassio-source: stowage-data-source

.PHONY: hassio-external-deps
hassio-external-deps: stowage-data-external-deps

.PHONY: hassio-legal-info
hassio-legal-info: stowage-data-legal-info

.PHONY: hassio-reinstall
hassio-reinstall: stowage-data-reinstall

.PHONY: hassio-rebuild
hassio-rebuild: stowage-data-rebuild

.PHONY: hassio-dirclean
hassio-dirclean: stowage-data-dirclean

endif # BR2_PACKAGE_HASSIO

include $(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/package/stowage/stowage.mk
include $(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/package/stowage-data/stowage-data.mk
# Looks at what the package has read of its options.
include $(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/package/stowage-data/stowage-data-check.mk

include $(sort $(wildcard $(BR2_EXTERNAL_STOWAGE_PATH)/buildroot-external/package/*/*.mk))

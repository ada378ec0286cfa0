# make image: build/<arch>/initramfs.img, vmlinuz and, if there is anything for it, payload.img.
#
# KERNEL=PACKAGE/SUITE | FILE.deb, or a kernel image with MODULES=DIR (that of kernel/)
# EXTRA=DIR       more files for the initramfs       MODULE_SET=full   all drivers, on the payload
# IMAGES=DIR...   OCI layouts, on the payload        KUBELET=FILE      on the payload
# IMAGE_DIR=DIR   where to instead of build/<arch>   COMPRESS=xz       instead of zstd
# The kernels for clouds have no drivers of hardware.
KERNEL = $(if $(filter full,$(MODULE_SET)),$(subst cloud-,,$(KERNEL_PACKAGE)),$(KERNEL_PACKAGE))
IMAGE_DIR = $(OUT)
COMPRESS = zstd
CA_BUNDLE = /etc/ssl/certs/ca-certificates.crt
.PHONY: image
image: $(IMAGE_DIR)/initramfs.img

# Where the kernel is: a directory with vmlinuz and modules.
$(IMAGE_DIR)/kernel.path: initramfs/kernel.sh $(IMAGE_DIR)/kernel.flags
	@mkdir -p $(@D)
	$(Q)$(if $(MODULES),printf '%s\n' $(call quote,$(KERNEL)) $(call quote,$(MODULES)), \
		dir=$$(initramfs/kernel.sh $(ARCH) $(call quote,$(KERNEL))) && \
		printf '%s\n' "$$dir/vmlinuz" "$$dir/modules") >$@.$$$$ && mv $@.$$$$ $@

$(IMAGE_DIR)/kernel.flags: FORCE
	$(call if-changed,$(KERNEL) $(MODULES))
$(IMAGE_DIR)/image.flags: FORCE
	$(call if-changed,$(VERSION) $(COMPRESS) $(CA_BUNDLE) $(EXTRA) $(IMAGES) $(KUBELET) $(MODULE_SET))

# The names that the image gets links for.
$(OUT)/applets.list: $(OUT)/cribox
	$(Q)$(if $(filter $(HOST),$(ARCH)),,$(QEMU)) $< --list >$@.$$$$ && mv $@.$$$$ $@

$(IMAGE_DIR)/initramfs.img: $(OUT)/cribox $(OUT)/applets.list $(IMAGE_DIR)/kernel.path \
		$(IMAGE_DIR)/image.flags $(shell find initramfs -type f) $(CA_BUNDLE) \
		$(if $(EXTRA)$(IMAGES)$(KUBELET),FORCE) | build/packages-image-$(ARCH)
	@echo '  IMAGE   $(IMAGE_DIR)'
	$(Q){ read -r kernel && read -r modules; } <$(IMAGE_DIR)/kernel.path && \
	initramfs/mkimage.py --arch $(ARCH) --version $(VERSION) --out $(IMAGE_DIR) \
		--binary $(OUT)/cribox --applets $(OUT)/applets.list \
		--kernel "$$kernel" --modules "$$modules" --ca $(CA_BUNDLE) --compress $(COMPRESS) \
		--extra $(call quote,$(EXTRA)) --images $(call quote,$(IMAGES)) \
		--kubelet $(call quote,$(KUBELET)) --module-set $(call quote,$(MODULE_SET))

build/packages-image-$(ARCH): arch/host-packages.sh
	$(Q)arch/host-packages.sh image $(ARCH)
	@mkdir -p $(@D) && touch $@

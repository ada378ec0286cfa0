# The static libraries: pinned Debian source tarballs -> build/src/<lib> -> $(OUT)/lib/lib<lib>.a
# No configure script is run except musl's: each library is a list of sources and its flags.
# The pins are in deps.sha256, the order on the link line does not matter (one group).

LIBS = bearssl protobuf-c seccomp nghttp2 yyjson z zstd yaml

# <lib>_TAR: orig tarball, then Debian's own with <lib>_PATCHES to apply from it.
musl_TAR = musl_1.2.5.orig.tar.gz musl_1.2.5-3.1~deb13u1.debian.tar.xz
musl_PATCHES = \
	CVE-2025-26519-0001_iconv_fix_erroneous_input_validation_in_EUC_KR_decod.patch \
	CVE-2025-26519-0002_iconv_harden_UTF_8_output_code_path_against_input_de.patch \
	0001-fix-pathological-slowness-incorrect-mappings-in-icon.patch \
	0002-qsort-fix-leonardo-heap-corruption-from-bug-in-doubl.patch \
	renameat2.patch
# 0001 is CVE-2026-6042, 0002 is CVE-2026-40200; renameat2 gives us what glibc has.

bearssl_TAR = bearssl_0.6+dfsg.1.orig.tar.xz
bearssl_SRC = src/*.c src/*/*.c
bearssl_CFLAGS = -Isrc -Iinc -DBR_USE_URANDOM=1 -DBR_USE_UNIX_TIME=1
bearssl_INC = inc

protobuf-c_TAR = protobuf-c_1.5.1.orig.tar.gz
protobuf-c_SRC = protobuf-c/protobuf-c.c
protobuf-c_CFLAGS = -I. $(if $(filter s390x,$(MACHINE)),-DWORDS_BIGENDIAN=1)
protobuf-c_INC = .

seccomp_TAR = libseccomp_2.6.0.orig.tar.gz libseccomp_2.6.0-2.debian.tar.xz
seccomp_PATCHES = api_fix_seccomp_export_bpf_mem_out-of-bounds_read.patch \
	hash_fix_strict_aliasing_UB_in_MurMur_hash_implementation.patch
seccomp_SRC = src/*.c
seccomp_SKIP = src/arch-syscall-dump.c src/arch-syscall-check.c
seccomp_CFLAGS = -I. -Iinclude
seccomp_INC = include

nghttp2_TAR = nghttp2_1.64.0.orig.tar.gz nghttp2_1.64.0-1.1+deb13u1.debian.tar.xz
nghttp2_PATCHES = CVE-2026-27135.patch
nghttp2_SRC = lib/*.c
nghttp2_CFLAGS = -Ilib/includes -DNGHTTP2_STATICLIB -DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H \
	-DHAVE_TIME_H -DHAVE_CLOCK_GETTIME -DHAVE_DECL_CLOCK_MONOTONIC=1 -DNOTHREADS
nghttp2_INC = lib/includes

yyjson_TAR = yyjson_0.10.0+ds.orig.tar.xz
yyjson_SRC = src/yyjson.c
yyjson_CFLAGS = -DYYJSON_DISABLE_NON_STANDARD=1 -DYYJSON_DISABLE_FAST_FP_CONV=1
yyjson_INC = src

z_TAR = zlib_1.3.dfsg+really1.3.1.orig.tar.gz
z_SRC = adler32.c crc32.c deflate.c inffast.c inflate.c inftrees.c trees.c zutil.c
z_CFLAGS = -DHAVE_UNISTD_H -DHAVE_STDARG_H
z_INC = .

# -O2 unpacks about 30 % faster than -Os; without the BMI2 twins it is not larger.
zstd_TAR = libzstd_1.5.7+dfsg.orig.tar.xz
zstd_SRC = lib/common/*.c lib/decompress/*.c
zstd_CFLAGS = -O2 -DZSTD_LEGACY_SUPPORT=0 -DZSTD_DISABLE_ASM -DXXH_NAMESPACE=ZSTD_ \
	-DZSTD_STRIP_ERROR_STRINGS=1 -DDYNAMIC_BMI2=0
zstd_INC = lib

yaml_TAR = libyaml_0.2.5.orig.tar.gz
yaml_SRC = src/*.c
yaml_SKIP = src/dumper.c
yaml_CFLAGS = -Iinclude -DYAML_DECLARE_STATIC -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 \
	-DYAML_VERSION_PATCH=5 '-DYAML_VERSION_STRING="0.2.5"'
yaml_INC = include

DEPS_INC = $(foreach l,$(LIBS),-isystem build/src/$(l)/$($(l)_INC))
DEPS_SRC = $(LIBS:%=build/src/%/.ok)
DEPS_LIB = $(LIBS:%=$(OUT)/lib/lib%.a)
DEPS_CFLAGS = -std=gnu11 -D_GNU_SOURCE -w $(BASE_CFLAGS) $(SANITIZE)

# --- sources ---------------------------------------------------------------------------------
TARBALLS = $(addprefix build/dl/,$(musl_TAR) $(foreach l,$(LIBS),$($(l)_TAR)))
$(TARBALLS): build/dl/%: | build/packages-$(ARCH)
	@echo '  FETCH   $*'
	$(Q)arch/fetch.sh '$*' $@

define UNPACK
build/src/$(1)/.ok: $$(addprefix build/dl/,$$($(1)_TAR)) $$(wildcard arch/patches/$(1)-*.patch)
	$$(Q)arch/unpack.sh $(1) $$(addprefix build/dl/,$$($(1)_TAR)) $$($(1)_PATCHES)
endef
$(foreach l,musl $(LIBS),$(eval $(call UNPACK,$(l))))

# --- libraries: make calls itself with LIB=, for the wildcards need the sources ------------------
ifdef LIB
lib_OBJ := $(patsubst build/src/%.c,$(OUT)/obj/src/%.o,$(filter-out \
	$(addprefix build/src/$(LIB)/,$($(LIB)_SKIP)),$(wildcard \
	$(addprefix build/src/$(LIB)/,$($(LIB)_SRC)))))

$(OUT)/lib/lib$(LIB).a: $(lib_OBJ)
	$(Q)$(AR) qcsD $@.$$$$ $^ && mv $@.$$$$ $@

$(lib_OBJ): $(OUT)/obj/src/%.o: build/src/%.c build/src/$(LIB)/.ok $(LIBC) \
		$(OUT)/deps.flags
	@mkdir -p $(@D)
	$(Q)$(CC) $(DEPS_CFLAGS) $(patsubst -I%,-Ibuild/src/$(LIB)/%,$($(LIB)_CFLAGS)) -c -o $@ $<
else
$(DEPS_LIB): $(OUT)/lib/lib%.a: build/src/%/.ok $(LIBC) $(OUT)/deps.flags
	@echo '  LIB     $@'
	@mkdir -p $(@D)
	+$(Q)$(MAKE) --no-print-directory LIB=$* $@
endif

$(OUT)/deps.flags: FORCE
	$(call if-changed,$(CC) $(DEPS_CFLAGS) $(foreach l,$(LIBS),$($(l)_CFLAGS)))

# --- musl and the kernel's headers: the sysroot ---------------------------------------------------
# Kernel headers of a cross package, or the machine's own. Not scsi/: musl brings that.
UAPI = $(firstword $(wildcard /usr/$(TRIPLE)/include/linux /usr/include/linux))
UAPI_ASM = $(firstword $(wildcard /usr/$(TRIPLE)/include/asm /usr/include/$(TRIPLE)/asm))

$(OUT)/sysroot/lib/libc.a: build/src/musl/.ok $(OUT)/libc.flags
	@echo '  LIB     $@'
	@rm -rf $(OUT)/obj/src/musl $(OUT)/sysroot
	@mkdir -p $(OUT)/obj/src/musl $(OUT)/sysroot/include
	$(Q)cd $(OUT)/obj/src/musl && ../../../../src/musl/configure --prefix=/ \
		--target=$(MUSL) --disable-shared --disable-wrapper CC='$(CC)' AR='$(AR)' \
		RANLIB='$(CROSS)ranlib' CFLAGS='$(MUSL_CFLAGS)' >configure.log 2>&1
	+$(Q)$(MAKE) --no-print-directory -s -C $(OUT)/obj/src/musl install-headers install-libs \
		ARCH="`sed -n 's/^ARCH = //p' $(OUT)/obj/src/musl/config.mak`" \
		DESTDIR='$(CURDIR)/$(OUT)/sysroot' >$(OUT)/obj/src/musl/build.log 2>&1 || { \
		cat $(OUT)/obj/src/musl/build.log; exit 1; }
	$(Q)cp -r $(addprefix $(UAPI)/../,linux asm-generic mtd rdma misc) $(UAPI_ASM) \
		$(OUT)/sysroot/include/

MUSL_CFLAGS = -Os -ffunction-sections -fdata-sections $(filter -m%,$(ARCH_CFLAGS))
$(OUT)/libc.flags: FORCE
	$(call if-changed,$(CC) $(MUSL_CFLAGS))

# make            build/<arch>/cribox for this machine        make check     lint and all tests
# make ARCH=...   for x86_64, arm64, ppc64le or s390x         make check-all and the long ones
# make all        for all four                                make bench     against the peers
# make image      the node's kernel and initramfs (image.mk)   make run       the node in an emulator
# make demo       the daemon in namespaces (root)             make size fmt clean
# DEPS_DIR=DIR takes the source tarballs from a folder; V=1 shows commands.

VERSION = 0.1.0
ARCHS = x86_64 arm64 ppc64le s390x
HOST := $(patsubst aarch64,arm64,$(shell uname -m))
ARCH = $(HOST)
OUT = build/$(ARCH)
MACHINE = $(patsubst host,$(HOST),$(ARCH))
Q = $(if $(V),,@)
export DEPS_DIR

ifeq ($(wildcard arch/$(ARCH)/arch.mk),)
$(error ARCH=$(ARCH): not one of $(ARCHS))
endif
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: FORCE binary all clean
binary: $(OUT)/cribox

include arch/$(ARCH)/arch.mk

CROSS = $(TRIPLE)-
CC = $(CROSS)gcc
AR = $(CROSS)ar

# For everything that goes into the binary, the libraries included.
BASE_CFLAGS = -ffunction-sections -fdata-sections -fno-common -fstack-protector-strong \
	-ffile-prefix-map='$(CURDIR)'=. $(ARCH_CFLAGS)
ifeq ($(ARCH),host)
BASE_CFLAGS += -O1 -g -fno-omit-frame-pointer
else
LIBC = $(OUT)/sysroot/lib/libc.a
BASE_CFLAGS += -Os -fPIE -fvisibility=hidden -fomit-frame-pointer -fno-unwind-tables \
	-fno-asynchronous-unwind-tables -fstack-clash-protection -ftrivial-auto-var-init=zero \
	-nostdinc -isystem $(OUT)/sysroot/include -isystem "`$(CC) -print-file-name=include`"
endif

WARN = -Werror -Wall -Wextra -Wformat=2 -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wcast-align -Wwrite-strings -Wundef -Wvla \
	-Wswitch-enum -Wimplicit-fallthrough -Wconversion -Wsign-conversion -Wnull-dereference \
	-Wdouble-promotion -Wdate-time
WARN_GCC = -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init -Walloca
STD = -std=c17 -D_GNU_SOURCE
INC = -Ilib -Iapplets -Iarch/$(MACHINE) -isystem build/gen $(DEPS_INC)
CLANG_FLAGS = $(STD) $(WARN) $(INC)
CFLAGS = $(STD) $(WARN) $(WARN_GCC) -g $(BASE_CFLAGS) $(SANITIZE_OURS) $(INC)

include arch/deps.mk

# --- what there is -------------------------------------------------------------------------------
SRC := $(sort $(wildcard lib/*/*.c applets/*.c applets/*/*.c arch/$(MACHINE)/*.c))
# The -services files are for clients and tests: protobuf-c would make closures of them.
# Messages only: protobuf-c would make closures of services that nothing here uses.
PROTO := $(filter-out %-services.proto,$(sort $(wildcard proto/*.proto)))
GEN = $(PROTO:proto/%.proto=build/gen/%.pb-c.c)
OBJ = $(SRC:%.c=$(OUT)/obj/%.o) $(PROTO:proto/%.proto=$(OUT)/obj/gen/%.o)

# $(call if-changed,TEXT): the recipe that writes TEXT to $@ when it differs (a tree that has
# moved is the same tree).
if-changed = @mkdir -p $(@D); text=$(call quote,$(subst $(CURDIR),.,$(1))); \
	printf '%s\n' "$$text" | cmp -s - $@ || \
	{ printf '%s\n' "$$text" >$@.$$$$ && mv $@.$$$$ $@; }
quote = '$(subst ','\'',$(1))'

$(OUT)/ours.flags: FORCE
	$(call if-changed,$(CC) $(CFLAGS) $(VERSION))

# Every output is written beside its name and then renamed: several makes may share a tree.
DEP = -MMD -MP -MF $(@:.o=.d) -MT $@

$(OUT)/obj/%.o: %.c $(OUT)/ours.flags $(LIBC) | $(DEPS_SRC) $(GEN)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(DEP) -c -o $@.$$$$ $< && mv $@.$$$$ $@

$(patsubst %.c,$(OUT)/obj/%.o,$(shell grep -ls CRIBOX_VERSION $(SRC) /dev/null)): \
	CFLAGS += -DCRIBOX_VERSION='"$(VERSION)"' -DCRIBOX_ARCH='"$(MACHINE)"'

$(GEN): build/gen/%.pb-c.c: proto/%.proto | build/src/protobuf-c/.ok
	@mkdir -p $(@D)
	$(Q)protoc-c --c_out=build/gen -Iproto -Ibuild/src/protobuf-c -I/usr/include $<

$(PROTO:proto/%.proto=$(OUT)/obj/gen/%.o): $(OUT)/obj/gen/%.o: build/gen/%.pb-c.c arch/relative.awk $(OUT)/ours.flags $(LIBC) | $(DEPS_SRC)
	@echo '  CC      $@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) -w $(BASE_CFLAGS) $(SANITIZE) $(INC) $(DEP) -S -o $@.$$$$.c.s $< && \
		awk -f arch/relative.awk $@.$$$$.c.s >$@.$$$$.s && \
		$(CC) $(BASE_CFLAGS) -c -o $@.$$$$ $@.$$$$.s && mv $@.$$$$ $@ && rm $@.$$$$.*

-include $(OBJ:.o=.d)

build/packages-$(ARCH): arch/host-packages.sh
	$(Q)arch/host-packages.sh build $(ARCH)
	@mkdir -p $(@D) && touch $@

# --- the binary ----------------------------------------------------------------------------------
# gcc's -static-pie with a foreign libc needs the start files named; the names of what makes it
# safe are spelled out, and tests/lint/elf proves the result. Nothing is exported: on s390x, ld
# 2.40 otherwise leaves a relocation by symbol, which musl's start code does not apply.
CRT = $(OUT)/sysroot/lib
LDFLAGS = -static-pie -nostdlib -nostartfiles -Wl,--gc-sections,--build-id=none,-O1,--exclude-libs,ALL \
	-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,-z,text,--fatal-warnings \
	$(ARCH_LDFLAGS) -Wl,-Map=$(OUT)/cribox.map

# applets/heap.c stands in front of these.
WRAP = $(foreach f,malloc calloc realloc free,-Wl,--wrap=$f)

# What a container's start runs lies together: the kernel maps files 64 KiB at a time.
HOT = $(filter $(addprefix $(OUT)/obj/,applets/main% applets/heap% applets/oci/% lib/base/% lib/cgroup/% lib/oci/% \
	lib/os/% lib/seccomp/% lib/wire/json% lib/wire/digest% arch/%),$(OBJ))
HOT_LIB = $(filter %/libyyjson.a,$(DEPS_LIB))

# Their strings, too: the linker would make them ends of longer ones that lie anywhere.
$(HOT): CFLAGS += -fno-merge-constants

$(OUT)/cribox.debug: $(OBJ) $(DEPS_LIB) $(LIBC) $(OUT)/link.flags
	@echo '  LD      $@'
	$(Q)$(CC) $(BASE_CFLAGS) $(LDFLAGS) $(WRAP) -o $@.$$$$ $(CRT)/rcrt1.o $(CRT)/crti.o \
		"`$(CC) -print-file-name=crtbeginS.o`" $(HOT) -Wl,--start-group $(HOT_LIB) $(LIBC) \
		$(filter-out $(HOT),$(OBJ)) $(filter-out $(HOT_LIB),$(DEPS_LIB)) -lgcc -Wl,--end-group \
		"`$(CC) -print-file-name=crtendS.o`" $(CRT)/crtn.o && mv $@.$$$$ $@

$(OUT)/link.flags: FORCE
	$(call if-changed,$(LDFLAGS) $(WRAP) $(OBJ))

$(OUT)/cribox: $(OUT)/cribox.debug
	$(Q)$(CROSS)objcopy --strip-all -R .comment $< $@.$$$$ && mv $@.$$$$ $@
	@ls -l $@ | awk '{ printf "  %s: %d bytes\n", $$NF, $$5 }'

include initramfs/image.mk
include tests/check.mk

all:
	+$(Q)failed=; for a in $(ARCHS); do $(MAKE) --no-print-directory ARCH=$$a || failed=1; done; \
	[ -z "$$failed" ]

clean:
	rm -rf build

# For scripts: the value of a variable.
print-%:
	@printf '%s\n' $(call quote,$($*))

# Tests. C tests are built by 'make ARCH=host' (this machine's glibc, ASan and UBSan), scripts run
# as they are; tests/run.sh sums up the lines that they print.
.PHONY: check check-all lint unit fuzz-replay it long bench run demo size fmt host-tests packages-%

UNIT_C = $(wildcard tests/unit/*/*.c)
FUZZ_C = $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))
UNIT = $(UNIT_C:%.c=build/host/%)
FUZZ = $(FUZZ_C:%.c=build/host/%)
scripts = $(sort $(wildcard $(1:%=%.sh) $(1:%=%.py)))
C_FILES = $(wildcard lib/*/*.[ch] applets/*.[ch] applets/*/*.[ch] arch/*/*.[ch] \
	tests/*/*.[ch] tests/*/*/*.[ch])

packages-%:
	$(Q)arch/host-packages.sh $(subst -, ,$*)

check: packages-test
	+@MAKE='$(MAKE)' tests/check.sh lint unit fuzz-replay it
check-all: packages-test
	+@MAKE='$(MAKE)' tests/check.sh lint unit fuzz-replay it long

lint: packages-test
	+@$(MAKE) --no-print-directory -k all && set -- || set -- '!warnings: a build failed'; \
	tests/run.sh lint "$$@" $(sort $(wildcard tests/lint/*.sh tests/lint/*.py))

unit: packages-test
	+@$(MAKE) --no-print-directory -k ARCH=host $(UNIT) && set -- || \
		set -- '!unit: a build failed'; \
	tests/run.sh unit "$$@" $(UNIT) $(call scripts,tests/unit/* tests/unit/*/* tests/golden/test-*)

fuzz-replay: packages-test
	+@$(MAKE) --no-print-directory -k ARCH=host $(FUZZ) && set -- || \
		set -- '!fuzz-replay: a build failed'; \
	tests/run.sh fuzz-replay "$$@" $(FUZZ)

it: packages-test binary
	@tests/run.sh it $(call scripts,tests/it/*)
long: packages-test binary
	@tests/run.sh long $(call scripts,tests/long/*)
bench: packages-bench binary
	@set -e; for b in $(call scripts,tests/bench/*); do echo "== $$b"; $$b; done
# The node in an emulator; the daemon on this machine, in namespaces.
run: packages-run-$(ARCH) image $(OUT)/demo
	@images/run.py $(ARCH)
demo: packages-demo binary $(OUT)/demo
	@images/demo.sh
# Small programs that are linked as cribox is: that of the demo image, and for tests on booted nodes.
$(OUT)/demo: images/demo.c
$(OUT)/nothing: tests/boot/nothing.c
$(OUT)/kubelet: tests/boot/kubelet.c
$(OUT)/wedge: tests/boot/wedge.c
$(OUT)/demo $(OUT)/nothing $(OUT)/kubelet $(OUT)/wedge: $(LIBC)
	@echo '  CC      $@'
	$(Q)$(CC) $(CFLAGS) $(filter-out %.map,$(LDFLAGS)) -o $@ $(CRT)/rcrt1.o $(CRT)/crti.o \
		"`$(CC) -print-file-name=crtbeginS.o`" $(filter %.c,$^) $(LIBC) -lgcc $(LIBC) \
		"`$(CC) -print-file-name=crtendS.o`" $(CRT)/crtn.o
	$(Q)$(CROSS)strip $@
size: binary
	@tests/size.py $(ARCH)
fmt: packages-test
	clang-format-14 -i $(C_FILES)

ifeq ($(ARCH),host)
$(OUT)/libcribox.a: $(filter-out $(OUT)/obj/applets/main.o,$(OBJ))
	$(Q)$(AR) qcsD $@.$$$$ $^ && mv $@.$$$$ $@

TEST_LIBS = $(OUT)/libcribox.a -Wl,--start-group $(DEPS_LIB) -Wl,--end-group
TEST_CC = $(CC) $(CFLAGS) -Itests/unit -MMD -MP -MF $@.d -MT $@ -o $@.$$$$

$(UNIT): $(OUT)/%: %.c $(OUT)/libcribox.a $(DEPS_LIB)
	@echo '  TEST    $@'
	@mkdir -p $(@D)
	$(Q)$(TEST_CC) $< $(TEST_LIBS) && mv $@.$$$$ $@

$(FUZZ): $(OUT)/%: %.c tests/fuzz/replay.c $(OUT)/libcribox.a $(DEPS_LIB)
	@echo '  TEST    $@'
	@mkdir -p $(@D)
	$(Q)$(TEST_CC) $< tests/fuzz/replay.c $(TEST_LIBS) && mv $@.$$$$ $@

-include $(UNIT:=.d) $(FUZZ:=.d)
endif

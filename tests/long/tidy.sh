#!/bin/sh
# timeout: 2400
# clang's warnings and clang-tidy (.clang-tidy) over first-party code.
set -u
arch=$(uname -m | sed s/aarch64/arm64/)
bad=0
flags=$(make -s print-CLANG_FLAGS ARCH=host)
for f in lib/*/*.c applets/*.c applets/*/*.c arch/"$arch"/*.c; do
	[ -f "$f" ] || continue
	if eval "clang-tidy-14 --quiet $f -- $flags -DCRIBOX_VERSION='\"x\"' -DCRIBOX_ARCH='\"x\"'" \
		2>/dev/null; then
		echo "ok tidy $f"
	else
		echo "not ok tidy: $f"
		bad=1
	fi
done
exit $bad

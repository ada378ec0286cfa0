#!/bin/sh
# timeout: 2400
# gcc's own analyzer and cppcheck over first-party code.
set -u
arch=$(uname -m | sed s/aarch64/arm64/)
bad=0
flags=$(make -s print-CFLAGS ARCH=host)
for f in lib/*/*.c applets/*.c applets/*/*.c arch/"$arch"/*.c; do
	[ -f "$f" ] || continue
	if eval "gcc $flags -fno-sanitize=all -DCRIBOX_VERSION='\"x\"' -DCRIBOX_ARCH='\"x\"' \
		-fanalyzer -fanalyzer-transitivity -S -o /dev/null $f"; then
		echo "ok analyzer $f"
	else
		echo "not ok analyzer: $f"
		bad=1
	fi
done
if cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
	--suppress=missingIncludeSystem -Ilib -Iapplets -Iarch/"$arch" lib applets; then
	echo "ok cppcheck"
else
	echo "not ok cppcheck: findings above"
	bad=1
fi
exit $bad

#!/bin/sh
# All our shell scripts, by name or by first line.
set -u
files=$(
	find arch applets lib tests images initramfs .ci -type f \( -name '*.sh' -o ! -name '*.*' \) \
		2>/dev/null | LC_ALL=C sort | while read -r f; do
		head -n 1 "$f" | grep -aqE '^#!.*(sh|bash|dash)$' && echo "$f"
	done
)
bad=0
for f in $files; do
	shellcheck -x -S style "$f" && echo "ok shellcheck $f" && continue
	echo "not ok shellcheck: $f"
	bad=1
done
exit $bad

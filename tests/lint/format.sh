#!/bin/sh
# The whole tree is a fixed point of clang-format-14.
set -u
files=$(find lib applets arch tests -name '*.[ch]' | LC_ALL=C sort)
bad=0
for f in $files; do
	clang-format-14 "$f" | cmp -s - "$f" && continue
	echo "not ok format: $f (make fmt)"
	bad=1
done
[ $bad = 1 ] || echo "ok format"
exit $bad

#!/bin/sh
# The mutants, which only 'make check-all' builds and runs, still apply.
set -u
bad=''
for patch in tests/mutants/*.patch; do
	patch -s -f -p1 --dry-run -i "$patch" >/dev/null 2>&1 || bad="$bad ${patch##*/}"
done
if [ -z "$bad" ]; then
	echo "ok mutants"
else
	echo "not ok mutants: do not apply any more:$bad"
fi
[ -z "$bad" ]

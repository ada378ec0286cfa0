#!/bin/sh
# check.sh PART...: make each part, then print the seconds that each took and the sums of all.
# Called by the Makefile, which sets MAKE.
set -u
passed=0 failed=0 skipped=0 times=
mkdir -p build/check

for part; do
	echo "== $part"
	result=build/check/$part.result
	rm -f "$result"
	start=$(date +%s)
	status=0
	${MAKE:-make} --no-print-directory "$part" || status=$?
	times="$times$(printf '%-12s %5d s' "$part" $(($(date +%s) - start)))
"
	p=0 f=0 s=0
	[ ! -f "$result" ] || read -r p f s <"$result"
	if [ "$status" != 0 ] && [ "$f" = 0 ]; then
		echo "  FAIL $part: could not be made"
		f=1
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done

printf '\n%s' "$times"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

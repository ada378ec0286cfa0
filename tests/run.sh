#!/bin/sh
# run.sh PART [!FAILURE | PROGRAM]...: run test programs, sum up their lines.
#
# A program prints 'ok NAME', 'not ok NAME: why', 'skip NAME: why'. One that exits non-zero
# without a 'not ok', or prints none of these lines, counts as one failure. A line
# '# timeout: SECONDS' in a script overrides the limit of 300 s. '!TEXT' is a failure that was
# found before (a program that does not build). The sums go to build/check/PART.result, each
# program's output to build/check/PART/. V=1 shows everything.
set -u
part=$1
shift
dir=build/check/$part
rm -rf "$dir" "$dir.result"
mkdir -p "$dir"
passed=0 failed=0 skipped=0

run() # PROGRAM: by its own interpreter; fuzz targets get their corpus
{
	limit=$(sed -n 's/^# timeout: \([0-9][0-9]*\)$/\1/p;60q' "$1" 2>/dev/null | head -n 1)
	set -- "${limit:-300}" "$1"
	case $2 in
	*.sh) timeout -k 10 "$1" bash "$2" ;;
	*.py) timeout -k 10 "$1" /usr/bin/python3 "$2" ;;
	*/fuzz/*)
		corpus=tests/fuzz/corpus/${2##*/}
		find "$corpus" -type f 2>/dev/null | LC_ALL=C sort |
			xargs -d '\n' timeout -k 10 "$1" "$2" "${2##*/}"
		;;
	*) timeout -k 10 "$1" "$2" ;;
	esac
}

# ASan's map of its shadow memory says nothing to a reader.
noise='^(Shadow |(  |=>)0x0|  [A-Z].*:  +[0-9a-f][0-9a-f]( |$)|ok )'

report() # NAME LOG STATUS
{
	o=$(grep -c '^ok ' "$2")
	n=$(grep -c '^not ok ' "$2")
	s=$(grep -c '^skip ' "$2")
	why=
	if [ "$3" = 124 ] || [ "$3" = 137 ]; then
		why="took too long, or was killed"
	elif [ "$3" != 0 ] && [ "$n" = 0 ]; then
		why="exit status $3"
	elif [ $((o + n + s)) = 0 ]; then
		why="reported nothing"
	fi
	[ -z "$why" ] || n=$((n + 1))
	passed=$((passed + o)) failed=$((failed + n)) skipped=$((skipped + s))

	if [ "$n" = 0 ]; then
		echo "  ok   $1 ($o${s:+, skipped $s})" | sed 's/, skipped 0)/)/'
	else
		echo "  FAIL $1${why:+: $why} (log: $2)"
		[ -z "$why" ] || grep -avE "$noise" "$2" | tail -n 30 | sed 's/^/       | /'
	fi
	if [ -n "${V:-}" ]; then
		sed 's/^/       /' "$2"
	else
		grep -E '^(not ok|skip) ' "$2" | sed 's/^/       /'
	fi
}

for program; do
	case $program in
	!*)
		echo "  FAIL ${program#!}"
		failed=$((failed + 1))
		continue
		;;
	esac
	name=${program#build/host/}
	name=${name#tests/}
	log=$dir/$(echo "$name" | tr / -).log
	if [ ! -f "$program" ]; then
		echo "not built" >"$log"
		report "$name" "$log" 1
		continue
	fi
	run "$program" >"$log" 2>&1 </dev/null
	report "$name" "$log" $?
done

echo "$passed $failed $skipped" >"$dir.result"
echo "$part: passed $passed, failed $failed, skipped $skipped"
[ "$failed" = 0 ]

#!/bin/sh
# What the linker flags promise, proven from each binary that is built: static, position
# independent, full RELRO, no executable stack, no text relocation, no writable code, stripped.
set -u
bad=0

check() # NAME FILE: the conditions come from readelf's words
{
	why=
	head=$(readelf -hW "$2") segments=$(readelf -lW "$2") dynamic=$(readelf -dW "$2")
	echo "$head" | grep -q 'Type:.*DYN' || why="$why, not DYN"
	! echo "$segments" | grep -q INTERP || why="$why, has an INTERP"
	! echo "$dynamic" | grep -q NEEDED || why="$why, NEEDED"
	! echo "$dynamic" | grep -q TEXTREL || why="$why, TEXTREL"
	echo "$dynamic" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || why="$why, no BIND_NOW"
	echo "$segments" | grep -q GNU_RELRO || why="$why, no RELRO"
	echo "$segments" | grep -qE 'GNU_STACK .* RW +0x' || why="$why, no GNU_STACK or an executable one"
	! echo "$segments" | grep -qE 'LOAD .* RWE +0x' || why="$why, a writable executable segment"
	# musl's start code applies nothing else in a static binary.
	! readelf -rW "$2" | grep ' R_' | grep -qv _RELATIVE || why="$why, relocations by symbol"
	! readelf -SW "$2" | grep -qE '\.(symtab|debug_info|note\.gnu\.build-id)' ||
		why="$why, not stripped"
	if [ -z "$why" ]; then
		echo "ok elf $1"
	else
		echo "not ok elf $1: ${why#, }"
		bad=1
	fi
}

for f in build/x86_64/cribox build/arm64/cribox build/ppc64le/cribox build/s390x/cribox; do
	arch=${f%/cribox}
	arch=${arch#build/}
	if [ -f "$f" ]; then
		check "$arch" "$f"
	else
		echo "skip elf $arch: not built"
	fi
done

# The segment that readelf calls RELRO is sealed when the program runs, too.
native=build/$(uname -m | sed s/aarch64/arm64/)/cribox
if ! trace=$(strace -e trace=mprotect "$native" --version 2>&1); then
	echo "skip elf relro at run time: no strace of $native here"
elif echo "$trace" | grep -q 'PROT_READ) *= 0'; then
	echo "ok elf relro at run time"
else
	echo "not ok elf relro at run time: no mprotect to read-only"
	bad=1
fi
exit $bad

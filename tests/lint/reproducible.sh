#!/bin/sh
# timeout: 1500
# Two clean builds in two directories of different name are bit-identical.
#
# Without arguments our own code is built twice on the libraries that are built already; with
# --full the libraries and musl are built twice as well (tests/long/reproducible.sh).
set -eu
arch=$(uname -m | sed s/aarch64/arm64/)
dir=$(mktemp -d build/reproducible.XXXXXX)
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

build() # NAME: a copy of the tree at a path of its own
{
	mkdir -p "$dir/$1/build/$arch"
	for f in Makefile applets lib proto arch initramfs tests/check.mk; do
		mkdir -p "$dir/$1/$(dirname $f)"
		cp -rp "$f" "$dir/$1/$f"
	done
	cp -rp build/dl "$dir/$1/build/"
	if [ "$mode" = ours ]; then
		# Hard links keep the times, so that nothing of this is built again.
		cp -rpl build/src "$dir/$1/build/"
		for f in lib sysroot deps.flags libc.flags; do
			cp -rpl "build/$arch/$f" "$dir/$1/build/$arch/"
		done
	fi
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$dir/$1" >"$dir/$1.log" 2>&1 || {
		tail -n 20 "$dir/$1.log"
		echo "not ok reproducible: the copy does not build"
		exit 1
	}
}

mode=ours
[ "${1:-}" != --full ] || mode=full
build one
build a-second-one-elsewhere
for f in cribox cribox.debug; do
	one=$dir/one/build/$arch/$f other=$dir/a-second-one-elsewhere/build/$arch/$f
	if ! cmp "$one" "$other"; then
		echo "not ok reproducible: $f ($mode) differs"
		exit 1
	fi
	echo "ok reproducible: $f ($mode) $(sha256sum <"$one" | cut -c 1-16)"
done

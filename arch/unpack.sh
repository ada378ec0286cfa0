#!/bin/sh
# unpack.sh DIR ORIG [DEBIAN-TAR [PATCH...]]: unpack a pinned tarball into build/src/DIR and
# apply Debian's patches from DEBIAN-TAR and our own from arch/patches/DIR-*.patch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=build/src/$1
lib=$1
orig=$2
shift 2

sum()
{
	f=$(basename "$1")
	pin=$(awk -v n="$f" '{ b = $2; sub(".*/", "", b) } b == n { print $1 }' "$here/deps.sha256")
	echo "$pin  $1" | sha256sum --check --status || {
		echo "unpack: $1: sha256 is not the one pinned in arch/deps.sha256" >&2
		echo "        delete the file, so that make fetches it again" >&2
		exit 1
	}
}

sum "$orig"
rm -rf "$dir"
mkdir -p "$dir"
tar xf "$orig" -C "$dir" --strip-components=1 --no-same-owner
if [ $# -gt 0 ]; then
	debian=$1
	shift
	sum "$debian"
	for p; do
		tar xOf "$debian" "debian/patches/$p" | patch -s -f -p1 -d "$dir" || {
			echo "unpack: $lib: Debian's patch $p does not apply" >&2
			exit 1
		}
	done
fi
for p in "$here/patches/$lib"-*.patch; do
	[ -f "$p" ] || continue
	patch -s -f -p1 -d "$dir" <"$p"
done

# What a configure script would have made of the templates.
case $lib in
seccomp)
	sed 's/@VERSION_MAJOR@/2/; s/@VERSION_MINOR@/6/; s/@VERSION_MICRO@/0/' \
		"$dir/include/seccomp.h.in" >"$dir/include/seccomp.h"
	echo '#define HAVE_LINUX_SECCOMP_H 1' >"$dir/configure.h"
	;;
nghttp2)
	v=$(sed -n 's/^AC_INIT(\[nghttp2\], \[\([0-9.]*\)\].*/\1/p' "$dir/configure.ac")
	n=$(echo "$v" | awk -F. '{ printf "0x%02x%02x%02x", $1, $2, $3 }')
	sed "s/@PACKAGE_VERSION@/$v/; s/@PACKAGE_VERSION_NUM@/$n/" \
		"$dir/lib/includes/nghttp2/nghttp2ver.h.in" \
		>"$dir/lib/includes/nghttp2/nghttp2ver.h"
	;;
esac
touch "$dir/.ok"

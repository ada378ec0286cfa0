#!/bin/sh
# kernel.sh ARCH KERNEL: a kernel of Debian, unpacked below build/kernel/; prints the directory, which
# holds 'vmlinuz' and 'modules' (links into the package's files).
#
# KERNEL is a package of Debian with its suite (linux-image-cloud-amd64/trixie; a meta package stands
# for the newest that it depends on), or a FILE.deb. Nothing is installed, the machine's own apt lists
# stay as they are, and what was fetched once is used again: 'rm -r build/kernel' gets newer ones.
set -eu
arch=$1 kernel=$2
top=$PWD/build/kernel/$arch
# shellcheck source=/dev/null
. "$(dirname "$0")/../arch/apt-private.sh"

die()
{
	echo "kernel: $kernel: $*" >&2
	exit 1
}

case $arch in
x86_64) debian=amd64 ;;
ppc64le) debian=ppc64el ;;
*) debian=$arch ;;
esac

# The package that a meta package depends on.
real_name()
{
	name=$(apt-cache depends "$1" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^:]*\).*/\1/p' | head -n 1)
	echo "${name:-$1}"
}

fetch() # PACKAGE SUITE OUT.deb
{
	work=$top/.fetch.$$
	mkdir -p "$work"
	trap 'rm -rf "$work"' EXIT
	private_apt deb "$top/.apt-$2" "$2" "$debian" >"$top/fetch.log" 2>&1 ||
		die "apt-get update failed ($top/fetch.log)"
	name=$(real_name "$1")
	(cd "$work" && apt-get -q download "$name") >>"$top/fetch.log" 2>&1 ||
		die "cannot be fetched for $debian from $2 ($top/fetch.log)"
	mv "$work"/*.deb "$3"
}

mkdir -p "$top"
case $kernel in
*.deb)
	deb=$kernel dir=$top/$(basename "$kernel" .deb)
	[ -f "$deb" ] || die "no such file"
	;;
*/*)
	dir=$top/$(echo "$kernel" | tr / _)
	deb=$dir.deb
	;;
*) die "say PACKAGE/SUITE, for instance linux-image-cloud-amd64/trixie" ;;
esac
if [ ! -e "$dir/.ok" ]; then
	[ -f "$deb" ] || fetch "${kernel%/*}" "${kernel##*/}" "$deb"
	new=$dir.$$
	rm -rf "$dir" "$new"
	dpkg-deb -x "$deb" "$new" || die "not a Debian package?"
	for base in "$new/usr/lib/modules" "$new/lib/modules"; do
		[ ! -d "$base" ] || ln -s "${base#"$new"/}/$(ls "$base")" "$new/modules"
	done
	for file in "$new"/boot/vmlinu[xz]-*; do
		ln -s "boot/$(basename "$file")" "$new/vmlinuz"
	done
	[ -e "$new/modules/" ] || die "has no modules"
	[ -e "$new/vmlinuz" ] || die "has no kernel"
	: >"$new/.ok"
	mv "$new" "$dir"
fi
echo "$dir"

#!/bin/sh
# apt-source.sh TARBALL PACKAGE OUT: fetch a source tarball by 'apt-get source' with a private
# list of deb-src entries derived from this machine's own configuration. The caller checks the
# pinned sum.
set -eu
name=$1 package=$2 out=$3
dir=$PWD/build/apt
# shellcheck source=/dev/null
. "$(dirname "$0")/apt-private.sh"

private_apt deb-src "$dir" "trixie bookworm" "$(dpkg --print-architecture)"
mkdir -p "$dir/get"
part=--tar-only
case $name in *.debian.tar.*) part=--diff-only ;; esac
for suite in trixie bookworm; do
	(cd "$dir/get" && apt-get -q source --download-only $part --only-source \
		"$package/$suite") || true
	if [ -f "$dir/get/$name" ]; then
		mv "$dir/get/$name" "$out"
		exit 0
	fi
done
echo "apt-source: $name: in none of the suites" >&2
exit 1

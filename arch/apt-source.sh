#!/bin/sh
# apt-source.sh TARBALL PACKAGE OUT: fetch a source tarball by 'apt-get source' with a private
# list of deb-src entries derived from this machine's own configuration. The machine's lists
# and sources stay as they are. The caller checks the pinned sum.
set -eu
name=$1 package=$2 out=$3
dir=build/apt
[ "$(id -u)" = 0 ] || echo "apt-source: not root: apt may refuse" >&2

mkdir -p $dir/lists/partial $dir/archives/partial $dir/get
: >$dir/status
: >$dir/sources
# shellcheck disable=SC2016 # an apt format, not a shell variable
for base in $(apt-get indextargets --no-release-info --format '$(REPO_URI)' \
	'Created-By: Packages' | sort -u | grep -v security); do
	cat >>$dir/sources <<-EOF
		Types: deb-src
		URIs: $base
		Suites: trixie bookworm
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

	EOF
done
mv $dir/sources $dir/private.sources
cat >$dir/apt.conf <<-EOF
	Dir::State "$PWD/$dir";
	Dir::State::Lists "$PWD/$dir/lists";
	Dir::State::status "$PWD/$dir/status";
	Dir::Cache "$PWD/$dir";
	Dir::Etc::SourceList "$PWD/$dir/private.sources";
	Dir::Etc::SourceParts "/dev/null";
	APT::Sandbox::User "root";
EOF
export APT_CONFIG="$PWD/$dir/apt.conf"
apt-get -q update
part=--tar-only
case $name in *.debian.tar.*) part=--diff-only ;; esac
for suite in trixie bookworm; do
	(cd $dir/get && apt-get -q source --download-only $part --only-source \
		"$package/$suite") || true
	if [ -f "$dir/get/$name" ]; then
		mv "$dir/get/$name" "$out"
		exit 0
	fi
done
echo "apt-source: $name: in none of the suites" >&2
exit 1

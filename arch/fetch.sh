#!/bin/sh
# fetch.sh TARBALL OUT: put one pinned tarball at OUT, verified against arch/deps.sha256.
#
# From $DEPS_DIR if that is set (offline builds), else from the Debian archive that this
# machine's apt is configured with, by apt's own transport (proxies and mirrors apply).
set -eu
name=$1 out=$2
pins=$(dirname "$0")/deps.sha256
tmp=$out.part

pin=$(awk -v n="$name" '{ f = $2; sub(".*/", "", f) } f == n { print $1 }' "$pins")
path=$(awk -v n="$name" '{ f = $2; sub(".*/", "", f) } f == n { print $2 }' "$pins")

die()
{
	rm -f "$tmp" "$tmp.FAILED"
	printf 'fetch: %s: %s\n' "$name" "$1" >&2
	shift
	for line; do
		printf '       %s\n' "$line" >&2
	done
	exit 1
}

[ -n "$pin" ] || die "no pin in arch/deps.sha256"

matches()
{
	[ -f "$1" ] && echo "$pin  $1" | sha256sum --check --status
}

mkdir -p "$(dirname "$out")"
if [ -n "${DEPS_DIR:-}" ]; then
	[ -f "$DEPS_DIR/$name" ] || die "not in DEPS_DIR=$DEPS_DIR" \
		"Copy it there: Debian source package $(basename "$(dirname "$path")")," \
		"sha256 $pin," \
		"or run make without DEPS_DIR to fetch it through apt."
	matches "$DEPS_DIR/$name" || die "sha256 differs from the pin in DEPS_DIR=$DEPS_DIR" \
		"expected $pin" \
		"found    $(sha256sum "$DEPS_DIR/$name" | cut -d' ' -f1)" \
		"Replace the file by the one that Debian published."
	cp "$DEPS_DIR/$name" "$tmp"
	mv "$tmp" "$out"
	exit 0
fi

# The archives that apt knows, the main one before the security archive. This works without
# downloaded package lists, too.
archives()
{
	# shellcheck disable=SC2016 # an apt format, not a shell variable
	apt-get indextargets --no-release-info --format '$(REPO_URI)' \
		'Created-By: Packages' | awk '!seen[$0]++' |
		awk '/security/ { last = last $0 "\n"; next } { print } END { printf "%s", last }'
}

for base in $(archives); do
	rm -f "$tmp" "$tmp.FAILED"
	/usr/lib/apt/apt-helper -o APT::Sandbox::User=root -qq download-file \
		"${base}pool/main/$path" "$tmp" "SHA256:$pin" >"$out.log" 2>&1 || true
	if matches "$tmp"; then
		mv "$tmp" "$out"
		rm -f "$out.log"
		exit 0
	fi
	if grep -q 'Hash Sum mismatch' "$out.log"; then
		die "the archive's file does not have the pinned sha256" "expected $pin" \
			"Either the download was altered on its way, or the archive replaced the file." \
			"Put the right one into a folder and run: make DEPS_DIR=FOLDER"
	fi
done

# The pool layout was of no help: ask a private package index, by the signed lists.
if "$(dirname "$0")/apt-source.sh" "$name" "$(basename "$(dirname "$path")")" "$tmp" \
	>>"$out.log" 2>&1 && matches "$tmp"; then
	mv "$tmp" "$out"
	rm -f "$out.log"
	exit 0
fi
cat "$out.log" >&2
die "cannot be fetched through apt (log above)" \
	"sha256 $pin, Debian source package $(basename "$(dirname "$path")")" \
	"1. Does 'apt-get update' work on this machine? apt's archive and proxy are used here." \
	"2. If the archive has dropped this version, get the file elsewhere (Debian keeps all" \
	"   versions), put it into a folder, and run: make DEPS_DIR=FOLDER"

#!/bin/bash
# crid's settings: files, drop-in keys, the command line; errors name the place.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(uname -m | sed s/aarch64/arm64/)
box=${CRIBOX:-$top/build/$arch/cribox}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

good() { # NAME ARGUMENTS...
	local name=$1
	shift
	if "$box" crid --check-config "$@" >"$dir/out" 2>&1; then echo "ok $name"; else echo "not ok $name: $(head -1 "$dir/out")"; fi
}
bad() { # NAME TEXT ARGUMENTS...: exit 1, one line that holds the text
	local name=$1 text=$2 status
	shift 2
	"$box" crid --check-config "$@" >"$dir/out" 2>&1
	status=$?
	if [ "$status" = 1 ] && [ "$(wc -l <"$dir/out")" = 1 ] && grep -qF -- "$text" "$dir/out"; then
		echo "ok $name"
	else
		echo "not ok $name: status $status: $(head -2 "$dir/out" | tr '\n' ' ')"
	fi
}
file() { printf '%s\n' "$@" >"$dir/config.toml"; }

file 'root = "/var/lib/x"' 'listen = ["unix:///run/a.sock", "unix:///run/b.sock"]' 'log-level = "debug"'
good config_file --config "$dir/config.toml"
good options --root /a --state /b --listen unix:///c.sock --set log-level=warn --cni-conf-dir /d
bad missing_file not-there.toml --config "$dir/not-there.toml"
file 'root = "/x"' 'rooot = "/y"'
bad unknown_key 'line 2: unknown key "rooot", did you mean "root"?' --config "$dir/config.toml"
file 'root = 5'
bad wrong_type 'line 1: root must be a string' --config "$dir/config.toml"
file 'root = "/x' 'state = "/y"'
bad syntax 'line 1' --config "$dir/config.toml"
good cgroup_driver --cgroup-driver systemd
bad no_cgroup_driver 'cgroup-driver "openrc": not cgroupfs or systemd' --cgroup-driver openrc
bad relative_path 'root "x" is not an absolute path' --root x
bad not_unix 'only unix:///PATH' --listen tcp://127.0.0.1:1
bad level 'log-level "loud"' --log-level loud
good builtin --cni-builtin never --set cni-builtin=auto
bad builtin_what 'cni-builtin "maybe": not auto or never' --cni-builtin maybe
bad set_without_value '--set root' --set root
bad unknown_option '--roots' --roots /x
bad extra_argument 'unexpected argument: x' x

#!/bin/bash
# `cribox config`, and the commands that need an init: what they say, and how they exit.
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
arch=$(uname -m | sed s/aarch64/arm64/)
box=${CRIBOX:-$top/build/$arch/cribox}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# NAME STATUS TEXT COMMAND...: exits so, and says TEXT (which may be empty)
says() {
	local name=$1 want=$2 text=$3 status
	shift 3
	"$@" >"$dir/out" 2>&1 </dev/null
	status=$?
	if [ "$status" = "$want" ] && { [ -z "$text" ] || grep -qF -- "$text" "$dir/out"; }; then
		echo "ok $name"
	else
		echo "not ok $name: status $status: $(head -3 "$dir/out" | tr '\n' ' ')"
	fi
}

cat >"$dir/good.toml" <<'TOML'
hostname = "n1"
console = "open"
log-level = "debug"
[net.eth0]
address = ["10.0.0.5/24"]
gateway = "10.0.0.1"
[storage]
state = "LABEL=state"
[sysctl]
"net.core.somaxconn" = 4096
[service.web]
exec = ["/bin/web", "-p", "80"]
after = ["crid"]
ready = "unix:/run/web.sock"
TOML
says good_config 0 '' "$box" config check "$dir/good.toml"
says no_complaint 0 '' test ! -s "$dir/out"
says show 0 'net.eth0.address = ["10.0.0.5/24"]' "$box" config show "$dir/good.toml"
says show_default 0 'root = "/var/lib/cribox"  # built-in' "$box" config show --origin "$dir/good.toml"
says show_origin 0 "hostname = \"n1\"  # $dir/good.toml:1" "$box" config show --origin "$dir/good.toml"
# the daemon reads the same file, and leaves the node's tables alone
says daemon_too 0 '' "$box" crid --check-config --config "$dir/good.toml"

sed -i 's/gateway/gatway/; s/4096/true/' "$dir/good.toml"
says suggestion 1 "good.toml:6: unknown key net.eth0.gatway, did you mean net.eth0.gateway?" \
	"$box" config check "$dir/good.toml"
says second_complaint 1 'good.toml:10: sysctl.net.core.somaxconn must be' \
	"$box" config check "$dir/good.toml"
echo 'x = = 1' >>"$dir/good.toml"
says syntax 1 'good.toml:15: ' "$box" config check "$dir/good.toml"
says missing_file 1 'No such file' "$box" config check "$dir/nothing.toml"
says which_verb 1 'check or show' "$box" config
says show_of_a_wrong_one 0 'hostname = "n1"' "$box" config show "$dir/good.toml"

if [ -e /run/cribox/init.sock ]; then
	echo 'skip no_init: there is one'
	exit
fi
says service_without_init 1 'init does not answer' "$box" service
says boottime_without_init 1 'init does not answer' "$box" boottime
# the root of a chroot is no mount: there it is /run that must be private
# shellcheck disable=SC2016
says service_which 1 'which service?' unshare -m --propagation unchanged sh -c \
	'{ mount --make-rprivate / 2>/dev/null || mount --make-private /run; } &&
		mount -t tmpfs none /run; mkdir /run/cribox; python3 -c "
import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(\"/run/cribox/init.sock\")
s.listen()
sys.exit(subprocess.call([\"$0\", \"service\", \"stop\"]))"' "$box"
says halt_option 1 'unrecognized option: -z' "$box" halt -z
says shutdown_when 1 'only -h, -P' "$box" shutdown -h tomorrow
says initjob_is_internal 1 'own use' "$box" initjob

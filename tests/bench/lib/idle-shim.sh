#!/bin/sh
# idle-shim.sh BINARY: runs a pod without containers, prints the pid of its shim, and takes all
# of it down when standard input ends. For 'make size'; root. The pod has namespaces, directories
# and a daemon of its own, but the caller's PID namespace: it is the caller who looks at the pid.
set -eu
cribox=$(realpath "$1")
if [ -z "${CRIBOX_IDLE_SHIM:-}" ]; then
	CRIBOX_IDLE_SHIM=yes exec unshare --net --mount --propagation private "$0" "$@"
fi
unset CRIBOX_IDLE_SHIM
dir=$(mktemp -d /var/tmp/cribox-shim-XXXXXX)
socket=unix://$dir/crid.sock
crid='' pod=''

ctl()
{
	"$cribox" ctl -r "$socket" "$@"
}

finish()
{
	status=$?
	trap - EXIT
	[ -z "$pod" ] || ctl rmp -f "$pod" >/dev/null || status=1
	if [ -n "$crid" ]; then
		kill "$crid" 2>/dev/null || true
		wait "$crid" || true
	fi
	[ "$status" = 0 ] || cat "$dir/log" >&2 || true
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

mount -t tmpfs -o mode=755 run /run
[ ! -d /var/lib/cni ] || mount -t tmpfs cni /var/lib/cni
ip link set lo up
mkdir "$dir/cni" "$dir/certs.d"
"$cribox" crid --root "$dir/root" --state /run/cribox --listen "$socket" \
	--registry-dir "$dir/certs.d" --cni-conf-dir "$dir/cni" --cni-bin-dir "$dir/cni" \
	--cni-cache-dir "$dir/cni-cache" >"$dir/log" 2>&1 </dev/null &
crid=$!
tries=0
until ctl version >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] && kill -0 "$crid"
	sleep 0.1
done
echo '{"metadata": {"name": "idle", "uid": "idle", "namespace": "size"},
  "linux": {"security_context": {"namespace_options": {"pid": 1}}}}' >"$dir/pod.json"
pod=$(ctl runp "$dir/pod.json")
for proc in /proc/[0-9]*; do
	# a process may end before it is looked at
	if { tr '\0' ' ' <"$proc/cmdline"; } 2>/dev/null | grep -q "^shim --id $pod "; then
		sleep 1 # what the start was is over
		echo "${proc#/proc/}"
	fi
done
cat >/dev/null

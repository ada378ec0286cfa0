#!/bin/sh
# demo.sh: 'make demo'. Pulls an image of our own from a real registry and runs a pod with two
# containers through the CRI, shows everything, cleans up and looks whether anything is left.
#
# All of it happens in network, mount and PID namespaces of its own, with files below
# build/run/: the machine's network, images and containers are neither seen nor touched.
# 'images/demo.sh --shell' gives a shell inside, with the daemon and the pod running.
set -eu
cd "$(dirname "$0")/.."
arch=$(uname -m)
[ "$arch" != aarch64 ] || arch=arm64
cribox=$PWD/build/$arch/cribox
run=$PWD/build/run
registry=127.0.0.1:5000
image=$registry/demo:latest
endpoint=unix:///run/cribox/crid.sock
shell=
[ "${1:-}" != --shell ] || shell=yes

die()
{
	echo "demo: $*" >&2
	exit 1
}

if [ -z "${CRIBOX_DEMO:-}" ]; then
	[ "$(id -u)" = 0 ] || die "needs root: it makes namespaces, mounts and control groups"
	[ -x "$cribox" ] || die "$cribox is not there: run 'make'"
	[ -x "build/$arch/demo" ] || die "build/$arch/demo is not there: run 'make build/$arch/demo'"
	[ -r /proc/self/mountinfo ] || die "/proc is not mounted"
	CRIBOX_DEMO=yes exec /usr/bin/python3 images/enter.py unshare --net --mount --pid --ipc --uts --fork --kill-child \
		--mount-proc --propagation private "$0" "$@"
fi
unset CRIBOX_DEMO

# --- a terminal gets bold headings, everybody else plain lines
if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
else
	bold='' plain=''
fi

step()
{
	printf '\n%s== %s%s\n' "$bold" "$*" "$plain"
}

# The command as one would type it, then what it says.
show()
{
	printf '%s$ %s%s\n' "$bold" "$(printf '%s' "$*" | sed "s#$cribox#cribox#g; s#$PWD/##g")" "$plain"
	"$@"
}

ctl()
{
	show "$cribox" ctl -r "$endpoint" "$@"
}

quiet_ctl()
{
	"$cribox" ctl -r "$endpoint" "$@"
}

# --- where we are: a chroot may lack file systems, the host's /run must stay as it is
mount_missing()
{
	[ -d /sys/kernel ] || mount -t sysfs sysfs /sys
	[ -c /dev/null ] || die "/dev has no devices"
	mount -t tmpfs -o mode=755 run /run
	ip link set lo up
	[ -z "$(find /sys/fs/cgroup -mindepth 1 -maxdepth 1 2>/dev/null)" ] || return 0
	v1=$(cut -d: -f2 /proc/self/cgroup | grep -v '^$' || true)
	if [ -z "$v1" ]; then
		mount -t cgroup2 cgroup2 /sys/fs/cgroup
		return
	fi
	mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
	for names in $v1; do
		dir=/sys/fs/cgroup/${names#name=}
		mkdir "$dir"
		case $names in name=*) names=none,$names ;; esac
		mount -t cgroup -o "$names" cgroup "$dir"
	done
	mkdir /sys/fs/cgroup/unified
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified 2>/dev/null || rmdir /sys/fs/cgroup/unified
}

# --- what there is, to compare before and after
processes()
{
	for p in /proc/[0-9]*; do
		case ${p#/proc/} in 1 | "$$" | "$registry_pid" | "${crid_pid:-none}") continue ;; esac
		text=$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) || continue
		parent=$(sed 's/.*) //' "$p/stat" 2>/dev/null | cut -d' ' -f2) || continue
		[ "$parent" = $$ ] || [ -z "$text" ] || echo "process ${p#/proc/}: $text"
	done
}

state()
{
	cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/mount /'
	# Ours by their ids: another cribox may be at work on this machine.
	find /sys/fs/cgroup -type d 2>/dev/null | grep -e "${pod:-none yet}" -e "${web:-none yet}" \
		-e "${watch:-none yet}" | sed 's/^/cgroup /'
	find /run/netns -mindepth 1 2>/dev/null | sed 's/^/network namespace /'
	ip -o link | awk -F': ' '{ print "interface " $2 }'
}

registry_pid='' crid_pid=''
finish()
{
	status=$?
	trap - EXIT
	if [ "$status" != 0 ]; then
		echo "demo: failed; the end of the daemon's log:" >&2
		tail -n 20 "$run/crid.log" >&2 2>/dev/null || true
		quiet_ctl rmp -a -f >/dev/null 2>&1 || true
	fi
	[ -z "$crid_pid" ] || kill "$crid_pid" 2>/dev/null || true
	[ -z "$registry_pid" ] || kill "$registry_pid" 2>/dev/null || true
	exit $status
}

start_registry()
{
	cat >"$run/registry.yml" <<-EOF
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $run/registry}}
		http: {addr: '$registry'}
	EOF
	docker-registry serve "$run/registry.yml" >"$run/registry.log" 2>&1 &
	registry_pid=$!
	i=0
	until /usr/bin/python3 -c "import urllib.request as u; u.urlopen('http://$registry/v2/')" \
		2>/dev/null; do
		i=$((i + 1))
		[ $i -lt 100 ] || die "the registry does not answer (build/run/registry.log)"
		sleep 0.1
	done
}

start_crid()
{
	"$cribox" crid --root "$run/root" --state /run/cribox --listen "$endpoint" \
		--registry-dir "$run/certs.d" --cni-conf-dir "$run/cni" --cni-bin-dir "$run/cni" \
		--cni-cache-dir "$run/cni-cache" --log-level info >"$run/crid.log" 2>&1 &
	crid_pid=$!
	i=0
	until quiet_ctl version >/dev/null 2>&1; do
		i=$((i + 1))
		kill -0 "$crid_pid" 2>/dev/null || die "crid ended (build/run/crid.log)"
		[ $i -lt 100 ] || die "crid does not answer (build/run/crid.log)"
		sleep 0.1
	done
}

write_configs()
{
	# The kubelet's labels: crictl's and our ps take the pod's name from them.
	labels='"labels": {"io.kubernetes.pod.name": "demo-pod", "io.kubernetes.pod.namespace": "default"}'
	cat >"$run/pod.json" <<-EOF
		{
		  "metadata": {"name": "demo-pod", "uid": "demo-uid", "namespace": "default"},
		  "hostname": "demo",
		  "log_directory": "$run/logs",
		  "labels": {"app": "demo"},
		  "dns_config": {"servers": ["192.0.2.1"]},
		  "port_mappings": [{"container_port": 8080, "host_port": 8000}]
		}
	EOF
	cat >"$run/web.json" <<-EOF
		{
		  "metadata": {"name": "web"},
		  "image": {"image": "$image"},
		  "log_path": "web.log",
		  $labels,
		  "linux": {"security_context": {"readonly_rootfs": true, "no_new_privs": true,
		            "seccomp": {"profile_type": 0}}}
		}
	EOF
	cat >"$run/watch.json" <<-EOF
		{
		  "metadata": {"name": "watch"},
		  "image": {"image": "$image"},
		  "args": ["/bin/demo", "watch", "8080"],
		  "log_path": "watch.log",
		  $labels
		}
	EOF
}

wait_for() # FILE TEXT
{
	i=0
	until grep -q "$2" "$1" 2>/dev/null; do
		i=$((i + 1))
		[ $i -lt 100 ] || die "$1 does not say '$2'"
		sleep 0.1
	done
}

leftovers()
{
	i=0
	while :; do
		state | sort >"$run/after"
		comm -13 "$run/before" "$run/after" >"$run/left"
		processes >>"$run/left"
		[ -s "$run/left" ] || return 0
		i=$((i + 1))
		[ $i -lt 20 ] || return 1
		sleep 0.1
	done
}

trap finish EXIT
trap 'exit 1' INT TERM HUP
rm -rf "$run"
mkdir -p "$run/cni" "$run/certs.d" "$run/logs" "$run/registry"
mount_missing

step "a registry on $registry, and the demo image"
start_registry
/usr/bin/python3 images/build-demo.py "$run/image" "$arch"
/usr/bin/python3 images/push.py "$run/image" "$registry" demo
echo "pushed to $image"

step "the daemon"
state | sort >"$run/before"
start_crid
ctl version

step "pull"
show "$cribox" pull --root "$run/once" "$image"
rm -rf "$run/once"
ctl pull "$image"
ctl images

step "a pod with two containers"
write_configs
pod=$(quiet_ctl runp "$run/pod.json")
echo "pod $pod"
web=$(quiet_ctl create "$pod" "$run/web.json" "$run/pod.json")
echo "container web $web"
watch=$(quiet_ctl create "$pod" "$run/watch.json" "$run/pod.json")
echo "container watch $watch"
ctl start "$web" "$watch"
ctl pods
ctl ps

step "inside"
ctl exec "$web" /bin/demo show
ctl exec "$web" /bin/demo cat /etc/motd
wait_for "$run/logs/watch.log" neighbour
ctl logs "$web"
ctl logs --tail 2 "$watch"

step "the port of the pod on the host"
address=$(quiet_ctl inspectp -o json "$pod" | sed -n 's/.*"ip": *"\([^"]*\)".*/\1/p' | head -n 1)
for where in "$address:8080" 127.0.0.1:8000; do
	printf 'http://%s/: ' "$where"
	/usr/bin/python3 -c "import urllib.request as u; print(u.urlopen('http://$where/', timeout=5).read().decode().strip())"
done

if [ "$shell" ]; then
	step "a shell inside; 'exit' ends the demo"
	echo "try: cribox ctl ps; cribox ctl exec -it $web /bin/demo show"
	PATH="$(dirname "$cribox"):$PATH" CONTAINER_RUNTIME_ENDPOINT=$endpoint ${SHELL:-/bin/sh} || true
fi

step "the daemon dies, the pod does not notice"
echo "kill -KILL $crid_pid"
kill -KILL "$crid_pid"
wait "$crid_pid" 2>/dev/null || true
lines=$(wc -l <"$run/logs/watch.log")
i=0
while [ "$(wc -l <"$run/logs/watch.log")" -le "$lines" ]; do
	i=$((i + 1))
	[ $i -lt 100 ] || die "the log does not grow without the daemon"
	sleep 0.1
done
echo "the log grows: $(tail -n 1 "$run/logs/watch.log")"
start_crid
ctl ps

step "stop and remove"
ctl stop --timeout 5 "$web" "$watch"
ctl ps -a
tail -n 1 "$run/logs/web.log"
ctl rm "$web" "$watch"
ctl stopp "$pod"
ctl rmp "$pod"
ctl rmi "$image"
kill "$crid_pid"
wait "$crid_pid" || die "crid ended with status $?"
crid_pid=''

step "what is left"
leftovers || {
	cat "$run/left"
	die "this was left behind"
}
echo "no process, mount, network namespace, cgroup or interface"

step "done"
cat <<EOF
A registry served an image of our own, crid pulled it, and a pod with two containers ran by
its CRI calls: their names, an exec, their logs and a port of the host were shown, the daemon
was killed and came back, and everything was removed. Logs and the image are in build/run/.

To go on by hand:
  images/demo.sh --shell                        the same pod, and a shell beside it
  build/$arch/cribox crid --help                 the daemon; --print-unit for systemd
  build/$arch/cribox ctl --help                  crictl's commands
  build/$arch/cribox pull --help                 images and bundles without a daemon
EOF

#!/bin/sh
# cgroup2-guest.sh: process 1 of the guest of cgroup2.sh. Mounts what a node has, with cgroup
# version 2 only, starts a registry and the daemon, and looks at what 'ctl' brings about.
export PATH=/bin:/sbin:/usr/bin HOME=/root
title=cgroup2
all="pull a_pod_without_a_parent limits the_place_of_the_shim exec_and_logs devices
	out_of_memory a_kubelets_parent a_user_namespace a_container_that_manages_groups
	100_layers the_daemon_is_killed a_shim_is_killed the_pods_group_is_removed stop
	the_oci_runtime nothing_is_left"
# shellcheck source=tests/boot/guest-words.sh
. /bin/guest-words.sh

setup()
{
	mount -t proc -o nosuid,nodev,noexec proc /proc
	mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
	mount -t devtmpfs dev /dev 2>/dev/null
	mkdir -p /dev/pts /dev/shm /dev/mqueue
	mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
	mount -t tmpfs shm /dev/shm
	mount -t mqueue mqueue /dev/mqueue
	mount -t tmpfs -o mode=755 run /run
	mount -t tmpfs tmp /tmp
	mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 $top
	mount --make-rshared /
	modprobe -a overlay veth bridge br_netfilter nf_tables
	ip link set lo up
	mkdir -p $t/logs
}

# --- short words -------------------------------------------------------------------------------

state()
{
	field "$1" state
}

pod_state()
{
	ctl inspectp -o json "$(id "$1")" | sed -n 's/^ *"state": "\([^"]*\)".*/\1/p' | head -n 1
}

group() # CONTAINER: its group's path, from the process
{
	group_of_pid "$(field "$1" pid)"
}

inside() # CONTAINER COMMAND...
{
	name=$1
	shift
	ctl exec -s "$(id "$name")" "$@"
}

start_crid()
{
	cribox crid \
		--log-level debug >>$t/crid.log 2>&1 &
	echo $! >$t/crid.pid
	i=0
	until ctl version >/dev/null 2>&1; do
		i=$((i + 1))
		[ $i -lt 100 ] || fail "crid does not answer"
		usleep 100000
	done
}

wait_for_registry()
{
	i=0
	until wget -q -O /dev/null http://$registry/v2/ || [ $i -ge 100 ]; do
		i=$((i + 1))
		usleep 100000
	done
}

kill_crid()
{
	kill -9 "$(cat $t/crid.pid)"
	while kill -0 "$(cat $t/crid.pid)" 2>/dev/null; do usleep 20000; done
}

what_there_is()
{
	find $top -mindepth 1 -type d | grep -v "^$top/kubepods" | sed 's/^/cgroup /'
	cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/mount /'
	find /run/netns /run/cribox/pods /var/lib/cribox/pods /var/lib/cribox/containers \
		-mindepth 1 2>/dev/null | sed 's/^/file /'
	cut -d: -f1 /proc/net/dev | sed -n '3,$s/^ */interface /p'
	for p in /proc/[0-9]*; do
		[ "${p#/proc/}" != "$(cat $t/crid.pid)" ] || continue
		name=$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null) || continue
		case $name in *cribox* | *pause* | *sleep*) echo "process $name" ;; esac
	done
}

# --- tests, in this order; later ones use the pods of earlier ones ----------------------------

test_pull()
{
	equal "hierarchies" "$(grep -c ' - cgroup ' /proc/self/mountinfo)" 0
	run ctl pull $registry/box:latest >/dev/null
	run ctl pull $registry/deep:latest >/dev/null
	equal "images" "$(ctl images -q | wc -l)" 2
}

test_a_pod_without_a_parent()
{
	make_pod plain
	make_ctr plain main "echo out; echo err >&2; exec sleep 1000" \
		'"resources": {"memory_limit_in_bytes": 67108864, "cpu_quota": 50000,
		  "cpu_period": 100000, "cpu_shares": 512,
		  "unified": {"pids.max": "32", "memory.oom.group": "1"}}'
	equal state "$(state main)" CONTAINER_RUNNING
	g=$(group main)
	equal group "$g" "/cribox/$(id plain)/$(id main)"
	equal processes "$(cat "$top$g/cgroup.procs")" "$(field main pid)"
}

test_limits()
{
	g=$top$(group main)
	equal memory.max "$(cat "$g/memory.max")" 67108864
	[ ! -e "$g/memory.swap.max" ] || equal memory.swap.max "$(cat "$g/memory.swap.max")" 0
	equal cpu.max "$(cat "$g/cpu.max")" "50000 100000"
	equal cpu.weight "$(cat "$g/cpu.weight")" 59
	equal pids.max "$(cat "$g/pids.max")" 32
	equal memory.oom.group "$(cat "$g/memory.oom.group")" 1
	# shellcheck disable=SC2016
	! inside main sh -c 'i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i + 1)); done' \
		>$t/forks 2>&1 || fail "40 processes are allowed"
	[ "$(sed -n 's/^max //p' "$g/pids.events")" -gt 0 ] || fail "pids.events: 0"
	until_equal "processes" 1 sh -c "wc -l <$g/cgroup.procs"
	equal state "$(state main)" CONTAINER_RUNNING
}

test_the_place_of_the_shim()
{
	s=$(shim plain)
	equal "group of the shim" "$(group_of_pid "$s")" "/cribox/shims/$(id plain)"
	equal "its oom_score_adj" "$(cat "/proc/$s/oom_score_adj")" -998
	equal "that of the container" "$(cat "/proc/$(field main pid)/oom_score_adj")" 0
	equal "processes in the pod's group" "$(cat "$top/cribox/$(id plain)/cgroup.procs")" ""
}

test_exec_and_logs()
{
	equal "own group" "$(inside main cat /proc/self/cgroup)" "0::/"
	equal "view" "$(inside main cat /sys/fs/cgroup/memory.max)" 67108864
	! inside main mkdir /sys/fs/cgroup/x 2>$t/err || fail "the groups can be written"
	equal "streamed" "$(run ctl exec "$(id main)" cat /sys/fs/cgroup/cgroup.controllers)" \
		"$(cat "$top$(group main)/cgroup.controllers")"
	equal "exit status" "$(inside main sh -c 'exit 7' >/dev/null 2>&1; echo $?)" 7
	inside main sh -c 'sleep 3' &
	usleep 1500000
	equal "processes with an exec" "$(wc -l <"$top$(group main)/cgroup.procs")" 2
	wait
	equal logs "$(ctl logs "$(id main)" 2>/dev/null)" out
	equal "log file" "$(cut -d' ' -f2- $t/logs/plain/main.log | sort)" "stderr F err
stdout F out"
}

test_devices()
{
	inside main sh -c 'mknod /tmp/kmsg c 1 11 && mknod /tmp/null c 1 3' || fail mknod
	equal "a default device" "$(inside main sh -c 'echo x >/tmp/null && echo ok')" ok
	! inside main sh -c 'head -c 1 /tmp/kmsg' >$t/out 2>&1 || fail "/dev/kmsg could be read"
	grep -q 'Operation not permitted' $t/out || fail "kmsg: $(cat $t/out)"
	! inside main sh -c 'echo x >/tmp/kmsg' 2>$t/out || fail "/dev/kmsg could be written"
}

test_out_of_memory()
{
	make_ctr plain oom "sleep 0.2; tail /dev/zero" '"resources": {"memory_limit_in_bytes": 16777216}'
	until_equal "state" CONTAINER_EXITED state oom
	equal reason "$(field oom reason)" OOMKilled
	equal exitCode "$(field oom exitCode)" 137
	# a child is killed, the container goes on
	make_ctr plain oom2 "sh -c 'tail /dev/zero'; exit 3" \
		'"resources": {"memory_limit_in_bytes": 16777216}'
	until_equal "state" CONTAINER_EXITED state oom2
	equal "exitCode of the parent" "$(field oom2 exitCode)" 3
	run ctl rm "$(id oom)" "$(id oom2)" >/dev/null
	equal "groups" "$(find "$top/cribox/$(id plain)" -mindepth 1 -type d | wc -l)" 1
}

test_a_kubelets_parent()
{
	for g in kubepods kubepods/burstable kubepods/burstable/pod1; do
		mkdir "$top/$g"
	done
	for g in . kubepods kubepods/burstable; do
		for c in cpu memory pids; do echo +$c >"$top/$g/cgroup.subtree_control"; done
	done
	echo 100000000 >$top/kubepods/burstable/pod1/memory.max
	make_pod kube '"cgroup_parent": "/kubepods/burstable/pod1"'
	make_ctr kube k1 "trap 'exit 5' TERM; while :; do usleep 100000; done" \
		'"resources": {"memory_limit_in_bytes": 33554432, "oom_score_adj": 985}'
	make_ctr kube k2 "exec sleep 1000"
	equal group "$(group k1)" "/kubepods/burstable/pod1/$(id k1)"
	equal memory.max "$(cat "$top$(group k1)/memory.max")" 33554432
	equal oom_score_adj "$(cat "/proc/$(field k1 pid)/oom_score_adj")" 985
	equal "group of the shim" "$(group_of_pid "$(shim kube)")" "/cribox/shims/$(id kube)"
	equal "processes in the parent" "$(cat $top/kubepods/burstable/pod1/cgroup.procs)" ""
}

test_a_user_namespace()
{
	make_pod user '"security_context": {"namespace_options": {"userns_options": {"mode": 0,
		"uids": [{"host_id": 100000, "container_id": 0, "length": 65536}],
		"gids": [{"host_id": 100000, "container_id": 0, "length": 65536}]}}}'
	make_ctr user u1 "exec sleep 1000" '"resources": {"memory_limit_in_bytes": 33554432}'
	equal "uid on the host" "$(stat -c %u "/proc/$(field u1 pid)")" 100000
	equal "owner of a file" "$(inside u1 stat -c %u /bin/busybox)" 0
	equal "a file of its own" "$(inside u1 sh -c 'touch /root/x && stat -c %u /root/x')" 0
	equal "view" "$(inside u1 cat /sys/fs/cgroup/memory.max)" 33554432
	equal "own group" "$(inside u1 cat /proc/self/cgroup)" "0::/"
	equal "limit of open files" "$(inside u1 sh -c 'ulimit -Hn')" \
		"$(inside main sh -c 'ulimit -Hn')"
	equal "a device" "$(inside u1 sh -c 'echo x >/dev/null && echo ok')" ok
}

test_a_container_that_manages_groups()
{
	make_pod boss '"security_context": {"privileged": true}'
	make_ctr boss b1 "mkdir /sys/fs/cgroup/init && echo 0 >/sys/fs/cgroup/init/cgroup.procs && echo +memory +pids >/sys/fs/cgroup/cgroup.subtree_control && echo ready; exec sleep 1000" \
		'"security_context": {"privileged": true}'
	until_equal "log" ready ctl logs "$(id b1)"
	equal "an exec" "$(inside b1 echo works 2>&1)" works
	inside b1 head -c 1 /dev/kmsg >/dev/null || fail "a privileged one cannot read /dev/kmsg"
	run ctl stop --timeout 0 "$(id b1)" >/dev/null
	run ctl rm "$(id b1)" >/dev/null
	run ctl stopp "$(id boss)" >/dev/null
	run ctl rmp "$(id boss)" >/dev/null
}

test_100_layers()
{
	make_pod deep
	make_ctr deep d1 "cat /layer-0 /layer-99; exec sleep 1000" '' deep
	until_equal log "0
99" ctl logs "$(id d1)"
	equal "a write" "$(inside d1 sh -c 'echo new >/layer-50 && cat /layer-50')" new
}

test_the_daemon_is_killed()
{
	make_ctr plain late "sleep 2; exit 9"
	before=$(ctl ps -q | sort)
	kill_crid
	until_equal "the group of one that ends" gone \
		sh -c "[ -d $top/cribox/$(id plain)/$(id late) ] || echo gone"
	start_crid
	equal "containers" "$(ctl ps -q | sort)" "$(echo "$before" | grep -v "$(id late)")"
	equal "exit code of the one that ended" "$(field late exitCode)" 9
	equal "exec" "$(inside main echo works)" works
}

test_a_shim_is_killed()
{
	make_pod lost '"cgroup_parent": "/kubepods/burstable/pod2"'
	make_ctr lost l1 "exec sleep 1000"
	g=$(group l1) pid=$(field l1 pid)
	kill -9 "$(shim lost)"
	until_equal "state of the pod" SANDBOX_NOTREADY pod_state lost
	until_equal "state of the container" CONTAINER_EXITED state l1
	equal exitCode "$(field l1 exitCode)" 137
	[ ! -e "/proc/$pid" ] || fail "the container lives"
	until_equal "its group" gone sh -c "[ -d $top$g ] || echo gone"
	run ctl stopp "$(id lost)" >/dev/null
	run ctl rmp "$(id lost)" >/dev/null
	[ ! -e "$top/cribox/shims/$(id lost)" ] || fail "the shim's group is there"
	rmdir $top/kubepods/burstable/pod2 || fail "the parent is in use"
}

# What a kubelet does that does not know a pod: kills all in its group, and removes it.
test_the_pods_group_is_removed()
{
	make_pod gone '"cgroup_parent": "/kubepods/burstable/pod3"'
	make_ctr gone g1 "exec sleep 1000"
	make_ctr gone g2 "exec sleep 1000"
	parent=$top/kubepods/burstable/pod3
	shim=$(shim gone)
	for procs in "$parent"/cgroup.procs "$parent"/*/cgroup.procs; do
		while read -r p; do kill -9 "$p"; done <"$procs"
	done
	until_equal "the parent" gone \
		sh -c "rmdir $parent/*/ $parent 2>/dev/null; [ -d $parent ] || echo gone"
	until_equal "state" CONTAINER_EXITED state g1
	equal "exit code" "$(field g1 exitCode) $(field g2 exitCode)" "137 137"
	kill -0 "$shim" || fail "the shim died with the pod"
	equal "state of the pod" "$(pod_state gone)" SANDBOX_READY
	run ctl rm "$(id g1)" >/dev/null
	run ctl stopp "$(id gone)" >/dev/null
	run ctl rmp "$(id gone)" >/dev/null
	[ ! -d "$parent" ] || fail "the parent is back"
}

test_stop()
{
	run ctl stop --timeout 5 "$(id k1)" >/dev/null
	equal "exit code" "$(field k1 exitCode)" 5
	g=$top$(group k2)
	run ctl stop --timeout 0 "$(id k2)" >/dev/null
	equal "exit code" "$(field k2 exitCode)" 137
	run ctl rm "$(id k1)" "$(id k2)" >/dev/null
	[ ! -d "$g" ] || fail "the group is there"
	for p in plain kube user deep; do
		run ctl stopp "$(id $p)" >/dev/null
		run ctl rmp "$(id $p)" >/dev/null
	done
	rmdir $top/kubepods/burstable/pod1 || fail "the kubelet's group is in use"
	equal "containers" "$(ctl ps -aq)$(ctl pods -q)" ""
}

bundle() # RESOURCES: the bundle $b of a container in the group /oci-it/c
{
	mkdir -p "$b/rootfs/bin" "$b/rootfs/proc"
	[ -e "$b/rootfs/bin/sh" ] || ln "$b/rootfs/bin/busybox" "$b/rootfs/bin/sh" 2>/dev/null ||
		{ cp /bin/busybox "$b/rootfs/bin/" && ln -s busybox "$b/rootfs/bin/sh"; }
	caps='["CAP_MKNOD"]'
	cat >"$b/config.json" <<-END
		{"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "hostname": "c",
		"process": {"args": ["sh", "-c", "while :; do busybox sleep 1; done"], "cwd": "/",
			"env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}, "capabilities":
			{"bounding": $caps, "permitted": $caps, "effective": $caps}},
		"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
		"linux": {"cgroupsPath": "/oci-it/c", "resources": $1, "namespaces": [{"type": "pid"},
			{"type": "mount"}, {"type": "uts"}, {"type": "network"}, {"type": "cgroup"}]}}
	END
}

# shellcheck disable=SC2086 # $oci is two words
test_the_oci_runtime()
{
	b=$t/bundle g=$top/oci-it/c
	bundle '{"memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
		"cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0"},
		"pids": {"limit": 50}, "unified": {"memory.high": "50331648"},
		"devices": [{"allow": false, "access": "rwm"}]}'
	cribox oci run -d -b "$b" c >$t/oci.log 2>&1 || fail "run: $(cat $t/oci.log)"
	oci="cribox oci"
	equal memory.max "$(cat $g/memory.max)" 67108864
	equal memory.low "$(cat $g/memory.low)" 33554432
	equal memory.high "$(cat $g/memory.high)" 50331648
	equal memory.swap.max "$(cat $g/memory.swap.max)" 33554432
	equal cpu.weight "$(cat $g/cpu.weight)" 59
	equal cpu.max "$(cat $g/cpu.max)" "20000 50000"
	equal cpuset.cpus "$(cat $g/cpuset.cpus)" 0
	equal pids.max "$(cat $g/pids.max)" 50
	$oci update --cpu-period 40000 c && equal cpu.max "$(cat $g/cpu.max)" "20000 40000"
	$oci update --cpu-quota=-1 c && equal cpu.max "$(cat $g/cpu.max)" "max 40000"
	$oci update --memory 96m --memory-swap 96m c
	equal memory.max "$(cat $g/memory.max) $(cat $g/memory.swap.max)" "100663296 0"
	$oci update --memory-swap 160m c
	equal memory.swap.max "$(cat $g/memory.max) $(cat $g/memory.swap.max)" "100663296 67108864"
	$oci update --memory=-1 c
	equal memory.max "$(cat $g/memory.max) $(cat $g/memory.swap.max)" "max max"
	equal "the others" "$(cat $g/pids.max) $(cat $g/cpu.weight)" "50 59"
	echo '{"memory": {"limit": 4096, "checkBeforeUpdate": true}}' | $oci update -r - c 2>$t/oci.log &&
		fail "a limit below the use was taken"
	grep -q "rejecting memory limit 4096 < usage" $t/oci.log || fail "$(cat $t/oci.log)"
	$oci pause c && equal freeze "$(cat $g/cgroup.freeze) $(grep frozen $g/cgroup.events)" "1 frozen 1"
	$oci state c | grep -q '"paused"' || fail "not paused: $($oci state c)"
	$oci resume c && equal thaw "$(grep frozen $g/cgroup.events)" "frozen 0"
	$oci events --stats c >$t/oci.log || fail "events"
	grep -q '"pids":{"current":[1-9][0-9]*,"limit":50}' $t/oci.log || fail "$(cat $t/oci.log)"
	grep -q '"raw":{"anon":' $t/oci.log || fail "$(cat $t/oci.log)"
	equal exec "$($oci exec c busybox cat /proc/self/cgroup)" 0::/
	mkdir $g/sub
	equal "exec --cgroup" "$($oci exec --cgroup sub c busybox cat /proc/self/cgroup)" 0::/sub
	equal "exec --cgroup /" "$($oci exec --cgroup / c busybox cat /proc/self/cgroup)" 0::/
	$oci exec --cgroup memory:sub c true 2>$t/oci.log && fail "a controller was taken"
	grep -q 'unknown controller memory of cgroup version 1' $t/oci.log || fail "$(cat $t/oci.log)"
	$oci exec c busybox mknod /null c 1 3 || fail "mknod"
	$oci exec c sh -c ': >/null' || fail "/dev/null cannot be opened"
	$oci exec c busybox mknod /mem c 1 1 && $oci exec c sh -c ': </mem' 2>/dev/null &&
		fail "/dev/mem can be opened"
	$oci delete -f c || fail "delete"
	[ ! -e $g ] || fail "the group is still there"
	# kernels from 6.12.13 on kill at birth whom such a group's process makes in another
	mkdir $top/killed
	# shellcheck disable=SC2016
	in_killed='echo $$ >/sys/fs/cgroup/killed/cgroup.procs && exec "$@"'
	sh -c "$in_killed" sh sleep 1000 &
	until_equal processes 1 sh -c "wc -l <$top/killed/cgroup.procs"
	echo 1 >$top/killed/cgroup.kill
	wait $! || true
	sh -c "$in_killed" sh $oci run -d -b "$b" c >$t/oci.log 2>&1 || fail "run: $(cat $t/oci.log)"
	equal "after cgroup.kill" "$(sh -c "$in_killed" sh $oci exec c busybox cat /proc/self/cgroup)" 0::/
	equal "its group" "$(wc -l <$g/cgroup.procs)" 2
	$oci delete -f c || fail "delete"
	# without a path: not below ours, which has processes
	sed -i 's#"cgroupsPath": "/oci-it/c", ##' "$b/config.json"
	sh -c "$in_killed" sh $oci run -d -b "$b" c >$t/oci.log 2>&1 || fail "run: $(cat $t/oci.log)"
	equal "default group" "$(group_of_pid "$($oci state c | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')")" /c
	$oci delete -f c || fail "delete"
	rmdir $top/killed
	bundle '{"unified": {"nosuch.max": "1"}}'
	$oci run -b "$b" c 2>$t/oci.log && fail "an unknown controller was taken"
	grep -q 'controller .*nosuch.* not available' $t/oci.log || fail "$(cat $t/oci.log)"
	bundle '{"memory": {"swappiness": 10}}'
	$oci run -b "$b" c 2>$t/oci.log && fail "swappiness was taken"
	grep -q 'swappiness: cgroup version 2 has no such' $t/oci.log || fail "$(cat $t/oci.log)"
	[ ! -e $g ] || fail "the group of a failure is there"
	rmdir $top/oci-it
	rm -rf "$b" /run/cribox/oci
}

test_nothing_is_left()
{
	i=0
	while what_there_is >$t/after; grep -vxF -f $t/before $t/after >$t/left; do
		i=$((i + 1))
		[ $i -lt 8 ] || fail "left behind: $(tr '\n' ';' <$t/left)"
		usleep 500000
	done
}

# --- all ---------------------------------------------------------------------------------------

evidence()
{
	tail -n 6 $t/crid.log | sed 's/^/crid: /'
	dmesg | tail -n 3 | sed 's/^/kernel: /'
}

setup
say # the firmware's line ends
say "# kernel $(uname -r), up for $(cut -d' ' -f1 /proc/uptime) s"
start_registry /var/lib/registry
(start_crid)
wait_for_registry
what_there_is >$t/before
say "# the daemon and the registry are up after $(cut -d' ' -f1 /proc/uptime) s"
all_tests "${TESTS:-}"
sync
poweroff -f

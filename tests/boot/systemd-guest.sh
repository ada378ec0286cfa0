#!/bin/sh
# systemd-guest.sh: the tests of the guest of tests/long/systemd.sh, run by a oneshot service
# of it. Processes that they start stay in that service's group; what they test does not.
export PATH=/more/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
unit=cribox-crid.service
title=systemd
all="the_unit readiness pods stop_and_start restart the_daemon_is_killed daemon_reload
	the_pods_group_is_removed nothing_is_left_of_the_pods
	pods_in_slices the_pods_slice_is_stopped a_scope the_same_as_runc_and_crun
	an_update annotations names ends the_runtime_is_killed over_the_bus podman
	the_users_manager nothing_is_left"
# shellcheck source=tests/boot/guest-words.sh
. /more/guest-words.sh

# --- short words -------------------------------------------------------------------------------

refused() # WORDS COMMAND...: it fails, and says so
{
	words=$1
	shift
	! ("$@") >$t/refused 2>&1 || fail "$* succeeded"
	cat $t/why >>$t/refused 2>/dev/null || true
	grep -q "$words" $t/refused || fail "$*: $(tail -n 2 $t/refused)"
	rm -f $t/why
}

show() # UNIT PROPERTY
{
	systemctl show -p "$2" --value "$1"
}

# --- pods --------------------------------------------------------------------------------------

remove_pod() # NAME
{
	run ctl stopp "$(id "$1")" >/dev/null
	run ctl rmp -f "$(id "$1")" >/dev/null
}

# The pod and its containers are as they were, and can be worked with.
still_there() # POD CONTAINER PID-BEFORE
{
	equal "state" "$(field "$2" state)" CONTAINER_RUNNING
	equal "pid" "$(field "$2" pid)" "$3"
	equal "an exec" "$(ctl exec -s "$(id "$2")" echo works)" works
	equal "the pods" "$(ctl pods -q)" "$(id "$1")"
}

# --- the daemon as a service -------------------------------------------------------------------

test_the_unit()
{
	cribox crid --print-unit >/etc/systemd/system/$unit || fail "--print-unit"
	grep -q '^ExecStart=/more/bin/cribox crid' /etc/systemd/system/$unit || fail ExecStart
	systemd-analyze verify /etc/systemd/system/$unit >$t/verify 2>&1 || fail "$(cat $t/verify)"
	[ ! -s $t/verify ] || fail "verify: $(cat $t/verify)"
	run systemctl daemon-reload
	run systemctl start $unit
	equal answers "$(ctl version | grep -c cribox)" "$(ctl version | wc -l | sed 's/.*/1/')"
	equal state "$(show $unit ActiveState)" active
	equal Type "$(show $unit Type)" notify
	equal KillMode "$(show $unit KillMode)" process
	equal Delegate "$(show $unit Delegate)" yes
	equal TasksMax "$(show $unit TasksMax)" infinity
	equal "its group" "$(group_of_pid "$(show $unit MainPID)")" /system.slice/$unit
	equal oom_score_adj "$(cat "/proc/$(show $unit MainPID)/oom_score_adj")" -999
	journalctl -q --sync
	[ "$(journalctl -q -u $unit -o cat | grep -vc systemd)" -gt 0 ] || fail "no line in the journal"
}

# A start is finished when the socket answers, and not before: many times.
test_readiness()
{
	for i in 1 2 3; do
		run systemctl stop $unit
		refused "" ctl version
		run systemctl start $unit
		ctl version >/dev/null 2>$t/err || fail "start $i: $(cat $t/err)"
	done
	run systemctl stop $unit
	# a configuration that is wrong: start fails, and says why
	mkdir -p /etc/cribox
	echo 'nonsense = 1' >/etc/cribox/config.toml
	refused failed systemctl start $unit
	run systemctl stop $unit
	journalctl -q --sync
	journalctl -q -u $unit -o cat | grep -q nonsense || fail "the journal has not the reason"
	rm /etc/cribox/config.toml
	run systemctl start $unit
}

test_pods()
{
	run ctl pull $registry/box:latest >/dev/null
	make_pod plain
	make_ctr plain main "echo out; exec sleep 1000" \
		'"resources": {"memory_limit_in_bytes": 67108864}'
	equal state "$(field main state)" CONTAINER_RUNNING
	equal "its group" "$(group_of_pid "$(field main pid)")" "/cribox/$(id plain)/$(id main)"
	equal "the shim's" "$(group_of_pid "$(shim plain)")" "/cribox/shims/$(id plain)"
	equal "processes of the service" "$(cat $top/system.slice/$unit/cgroup.procs)" \
		"$(show $unit MainPID)"
	equal oom_score_adj "$(cat "/proc/$(shim plain)/oom_score_adj")" -998
}

test_stop_and_start()
{
	pid=$(field main pid)
	run systemctl stop $unit
	equal state "$(show $unit ActiveState)" inactive
	kill -0 "$pid" || fail "the container ended with the service"
	kill -0 "$(shim plain)" || fail "the shim ended with the service"
	[ ! -e $top/system.slice/$unit ] || fail "the service's group is there"
	run systemctl start $unit
	still_there plain main "$pid"
}

test_restart()
{
	pid=$(field main pid)
	make_ctr plain late "sleep 1; exit 9"
	run systemctl restart $unit
	still_there plain main "$pid"
	until_equal "exit code of one that ended" 9 field late exitCode
	run ctl rm "$(id late)" >/dev/null
}

test_the_daemon_is_killed()
{
	pid=$(field main pid)
	crid=$(show $unit MainPID)
	[ "$crid" -gt 1 ] || fail "no daemon runs"
	kill -9 "$crid"
	until_equal "restarted by systemd" 1 show $unit NRestarts
	until_equal "state" active show $unit ActiveState
	[ "$(show $unit MainPID)" != "$crid" ] || fail "the same process"
	still_there plain main "$pid"
}

# What systemd writes anew to its groups leaves those of ours alone.
test_daemon_reload()
{
	g=$top/cribox/$(id plain)/$(id main)
	run systemctl daemon-reload
	run systemctl set-property --runtime $unit MemoryMax=2G CPUWeight=50
	run systemctl daemon-reload
	equal memory.max "$(cat "$g/memory.max")" 67108864
	! ctl exec -s "$(id main)" sh -c 'mknod /tmp/k c 1 11 && head -c 1 /tmp/k' >$t/out 2>&1 ||
		fail "/dev/kmsg could be read"
	still_there plain main "$(field main pid)"
}

# A kubelet without systemd's driver: a pod that it does not know is killed by its group.
test_the_pods_group_is_removed()
{
	mkdir $top/kubepods
	make_pod gone '"cgroup_parent": "/kubepods/pod3"'
	make_ctr gone g1 "exec sleep 1000"
	parent=$top/kubepods/pod3
	shim=$(shim gone)
	for procs in "$parent"/cgroup.procs "$parent"/*/cgroup.procs; do
		while read -r p; do kill -9 "$p"; done <"$procs"
	done
	until_equal "the parent" gone \
		sh -c "rmdir $parent/*/ $parent 2>/dev/null; [ -d $parent ] || echo gone"
	until_equal "state" CONTAINER_EXITED field g1 state
	equal "exit code" "$(field g1 exitCode)" 137
	kill -0 "$shim" || fail "the shim died with the pod"
	remove_pod gone
	rmdir $top/kubepods || fail "the kubelet's group is in use"
}

test_nothing_is_left_of_the_pods()
{
	pid=$(field main pid) shim=$(shim plain)
	remove_pod plain
	! kill -0 "$pid" 2>/dev/null || fail "the container lives"
	until_equal "the shim" gone sh -c "kill -0 $shim 2>/dev/null || echo gone"
	until_equal "groups" "" sh -c "ls -d $top/cribox 2>/dev/null || true"
	run systemctl stop $unit
	equal "processes" "$(pgrep -f 'cribox|sleep 1000' | wc -l)" 0
}

# --- pods in systemd's slices -------------------------------------------------------------------

slice=kubepods-burstable-pod1.slice

# As a kubelet with the systemd driver has them.
test_pods_in_slices()
{
	echo 'cgroup-driver = "systemd"' >/etc/cribox/config.toml
	run systemctl start $unit
	ctl runtime-config | grep -qi systemd || fail "runtime-config: $(ctl runtime-config)"
	make_pod kube '"cgroup_parent": "'$slice'"'
	make_ctr kube k1 "exec sleep 1000" '"resources": {"memory_limit_in_bytes": 33554432,
		"cpu_quota": 50000, "cpu_period": 100000, "unified": {"pids.max": "32"}}'
	scope=cribox-$(id k1).scope
	g=/kubepods.slice/kubepods-burstable.slice/$slice/$scope
	equal "its group" "$(group_of_pid "$(field k1 pid)")" "$g"
	equal "all of its processes" "$(cat "$top$g/cgroup.procs")" "$(field k1 pid)"
	equal "the shim's" "$(group_of_pid "$(shim kube)")" "/cribox/shims/$(id kube)"
	equal MemoryMax "$(show "$scope" MemoryMax)" 33554432
	equal TasksMax "$(show "$scope" TasksMax)" 32
	equal DevicePolicy "$(show "$scope" DevicePolicy)" strict
	run systemctl daemon-reload
	equal memory.max "$(cat "$top$g/memory.max")" 33554432
	equal cpu.max "$(cat "$top$g/cpu.max")" "50000 100000"
	make_pod other
	make_ctr other o1 "exit 3"
	until_equal "exit code" 3 field o1 exitCode
	until_equal "its unit" not-found show "cribox-$(id o1).scope" LoadState
	remove_pod other
	refused "not a slice" make_pod wrong '"cgroup_parent": "/kubepods/pod1"'
	kill -9 "$(show $unit MainPID)"
	until_equal "the daemon" "$(id kube)" ctl pods -q
	still_there kube k1 "$(field k1 pid)"
}

# What a kubelet does with a pod that it does not know any more.
test_the_pods_slice_is_stopped()
{
	make_ctr kube k2 "trap 'exit 5' TERM; while :; do sleep 0.1; done"
	run systemctl stop $slice
	until_equal "state" CONTAINER_EXITED field k1 state
	until_equal "state" CONTAINER_EXITED field k2 state
	equal "exit code of one that obeys SIGTERM" "$(field k2 exitCode)" 5
	kill -0 "$(shim kube)" || fail "the shim ended with the slice"
	equal "state of the pod" "$(ctl pods -q --state ready)" "$(id kube)"
	make_ctr kube k3 "exec sleep 1000"
	equal state "$(field k3 state)" CONTAINER_RUNNING
	scope=cribox-$(id k3).scope
	# a shim that is killed leaves no scope
	kill -9 "$(shim kube)"
	until_equal "state" CONTAINER_EXITED field k3 state
	until_equal "the unit" not-found show "$scope" LoadState
	remove_pod kube
	run systemctl stop $unit kubepods.slice
	rm /etc/cribox/config.toml
	equal "the slices" "$(find $top -name '*kubepods*')" ""
	equal "processes" "$(pgrep -af 'cribox|sleep 1000')" ""
}

# --- the runtime's systemd driver --------------------------------------------------------------

# A configuration with limits, $1: the cgroupsPath, $2: more members, $3: of resources.
bundle() # CGROUPS-PATH [MEMBERS] [RESOURCES]
{
	[ -d $t/bundle ] || cp -a /more/bundle $t/bundle
	cat >$t/bundle/config.json <<-END
		{"ociVersion": "1.0.2", "root": {"path": "rootfs"},
		 "process": {"args": ["sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"],
		   "user": {"uid": 0, "gid": 0},
		   "capabilities": {"bounding": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"],
		     "permitted": ["CAP_MKNOD"]}},
		 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
		   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
		   {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}],
		 ${2:-}
		 "linux": {"cgroupsPath": "$1",
		   "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"},
		     {"type": "uts"}, {"type": "cgroup"}],
		   "resources": {${3:-}}}}
	END
}

everything='"memory": {"limit": 67108864, "reservation": 33554432, "swap": 134217728},
	"cpu": {"quota": 20000, "period": 50000, "cpus": "0-1", "mems": "0"},
	"pids": {"limit": 55}, "unified": {"cpu.weight": "77", "memory.high": "60000000"},
	"devices": [{"allow": false, "access": "rwm"},
	  {"allow": true, "type": "c", "major": 10, "minor": 200, "access": "rwm"},
	  {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"}]'

start() # RUNTIME ID [GLOBAL-FLAG...]: detached, by the systemd driver
{
	runtime=$1 name=$2
	shift 2
	# shellcheck disable=SC2086 # a command of two words
	(cd $t/bundle && $runtime --systemd-cgroup "$@" run -d --pid-file "$t/$name.pid" \
		"$name" >"$t/$name.out" 2>&1 </dev/null) ||
		fail "$runtime: $(tail -n 2 "$t/$name.out")"
}

properties() # UNIT: those that a container's limits become
{
	for p in MemoryMax MemoryLow MemoryHigh MemorySwapMax CPUWeight CPUQuotaPerSecUSec \
		CPUQuotaPeriodUSec TasksMax AllowedCPUs AllowedMemoryNodes DevicePolicy Slice \
		Delegate DefaultDependencies MemoryAccounting CPUAccounting IOAccounting \
		TasksAccounting ActiveState SubState; do
		echo "$p=$(show "$1" $p)"
	done
	systemctl show -p DeviceAllow --value "$1" | tr ';' '\n' | sed 's/^ *//' |
		grep -v -e '^$' -e 10:200 | sort
	g=$top$(show "$1" ControlGroup)
	for f in memory.max memory.low memory.high memory.swap.max cpu.max cpu.weight pids.max \
		cpuset.cpus cpuset.mems; do
		[ ! -e "$g/$f" ] || echo "$f=$(cat "$g/$f")"
	done
}

# What may be opened: for reading only, and not at all.
devices_of() # ID
{
	run cribox oci exec "$1" sh -c 'mknod /dev/fuse c 10 229; : </dev/fuse'
	refused "Operation not permitted" cribox oci exec "$1" sh -c ': >/dev/fuse'
	refused "Operation not permitted" cribox oci exec "$1" \
		sh -c 'rm /dev/fuse; mknod /dev/hpet c 10 228; : </dev/hpet'
	run cribox oci exec "$1" sh -c 'rm /dev/hpet; echo x >/dev/null'
}

test_a_scope()
{
	bundle system.slice:test:c1 '' "$everything"
	start "cribox oci" c1
	equal "its group" "$(group_of_pid "$(cat $t/c1.pid)")" /system.slice/test-c1.scope
	equal "all of its processes" "$(cat $top/system.slice/test-c1.scope/cgroup.procs)" \
		"$(cat $t/c1.pid)"
	equal Description "$(show test-c1.scope Description)" "cribox container c1"
	equal "inside" "$(cribox oci exec c1 cat /proc/self/cgroup)" 0::/
	g=$top/system.slice/test-c1.scope
	equal memory.swap.max "$(cat $g/memory.swap.max)" 67108864
	equal pids.max "$(cat $g/pids.max)" 55
	devices_of c1
	# without the flag, from what was stored
	equal status "$(run cribox oci state c1 | sed -n 's/.*"status": "\(.*\)".*/\1/p')" running
	run cribox oci pause c1
	equal paused "$(run cribox oci state c1 | sed -n 's/.*"status": "\(.*\)".*/\1/p')" paused
	run cribox oci resume c1
	refused "not stopped" cribox oci delete c1
	run cribox oci kill c1 KILL
	until_equal "status" stopped sh -c \
		"cribox oci state c1 | sed -n 's/.*\"status\": \"\\(.*\\)\".*/\\1/p'"
	run cribox oci delete c1
	equal "the unit" "$(show test-c1.scope LoadState)" not-found
	[ ! -e $g ] || fail "the group is there"
}

# The same configuration with the peers': the units and the files of their groups are the same.
test_the_same_as_runc_and_crun()
{
	for r in runc crun cribox; do
		bundle "system.slice:$r:c2" '' "$everything"
		program=/usr/sbin/runc
		[ $r != crun ] || program=/usr/bin/crun
		[ $r != cribox ] || program="/more/bin/cribox oci"
		start "$program" $r-c2
		properties $r-c2.scope >$t/$r.props
		$program delete -f $r-c2 >/dev/null 2>&1 || fail "$r: delete"
		say "# $r: $(wc -l <$t/$r.props) properties and files"
	done
	diff $t/runc.props $t/cribox.props >$t/diff || fail "runc: $(tr '\n' ';' <$t/diff)"
	# Debian's crun has no limits in the unit: they are in a group below it
	for p in CPUWeight Slice Delegate DefaultDependencies MemoryAccounting CPUAccounting \
		TasksAccounting ActiveState SubState; do
		equal "crun's $p" "$(grep "^$p=" $t/crun.props)" "$(grep "^$p=" $t/cribox.props)"
	done
}

test_an_update()
{
	bundle :test:c3 '' "$everything"
	start "cribox oci" c3
	echo '{"memory": {"limit": 50331648, "swap": 50331648}, "pids": {"limit": 44}, "cpu": {"quota": 30000}}' |
		run cribox oci update -r - c3
	equal MemoryMax "$(show test-c3.scope MemoryMax)" 50331648
	equal MemorySwapMax "$(show test-c3.scope MemorySwapMax)" 0
	equal TasksMax "$(show test-c3.scope TasksMax)" 44
	run systemctl daemon-reload
	g=$top/system.slice/test-c3.scope
	equal memory.max "$(cat $g/memory.max)" 50331648
	equal pids.max "$(cat $g/pids.max)" 44
	equal cpu.max "$(cat $g/cpu.max)" "30000 50000"
	equal "what was not mentioned" "$(cat $g/cpu.weight)" 77
	devices_of c3
	run cribox oci delete -f c3
}

test_annotations()
{
	bundle :test:c4 '"annotations": {"org.systemd.property.TimeoutStopSec": "7",
		"org.systemd.property.CPUWeight": "uint64 33",
		"org.systemd.property.After": "['"'dbus.service'"']", "other": "x"},'
	start "cribox oci" c4
	equal TimeoutStopUSec "$(show test-c4.scope TimeoutStopUSec)" 7s
	equal CPUWeight "$(show test-c4.scope CPUWeight)" 33
	show test-c4.scope After | grep -q dbus.service || fail "After: $(show test-c4.scope After)"
	run cribox oci delete -f c4
	bundle :test:c4 '"annotations": {"org.systemd.property.NoSuchThing": "true"},'
	cd $t/bundle || fail bundle
	refused NoSuchThing cribox oci --systemd-cgroup run -d c4
	bundle :test:c4 '"annotations": {"org.systemd.property.Nice": "much"},'
	refused property.Nice cribox oci --systemd-cgroup run -d c4
	equal "the unit" "$(show test-c4.scope LoadState)" not-found
	equal "states" "$(cribox oci list -q)" ""
}

test_names()
{
	bundle ''
	cd $t/bundle || fail bundle
	start "cribox oci" c5
	equal "the default" "$(group_of_pid "$(cat $t/c5.pid)")" /system.slice/runc-c5.scope
	run cribox oci delete -f c5
	bundle a-b.slice:test:c5
	start "cribox oci" c5
	equal "a slice in a slice" "$(group_of_pid "$(cat $t/c5.pid)")" /a.slice/a-b.slice/test-c5.scope
	# the name is taken, by another container too
	refused test-c5.scope cribox oci --systemd-cgroup run -d c6
	equal "its unit" "$(show test-c5.scope SubState)" running
	equal "it goes on" "$(cat "$top/a.slice/a-b.slice/test-c5.scope/cgroup.procs")" "$(cat $t/c5.pid)"
	run cribox oci delete -f c5
	bundle /some/path
	refused 'slice:prefix:name' cribox oci --systemd-cgroup run -d c5
	bundle nothing:test:c5
	refused 'slice' cribox oci --systemd-cgroup run -d c5
	bundle :test:test-c5.slice
	start "cribox oci" c5
	equal "a slice of its own" "$(group_of_pid "$(cat $t/c5.pid)")" /test.slice/test-c5.slice
	run cribox oci delete -f c5
	equal "states" "$(cribox oci list -q)" ""
}

# Its program ends by itself, is killed for memory, or cannot be started: nothing stays behind.
test_ends()
{
	bundle :test:c7
	cd $t/bundle || fail bundle
	sed -i 's/"sleep", "1000"/"sh", "-c", "exit 7"/' config.json
	equal "exit status" "$(cribox oci --systemd-cgroup run c7 2>&1 || echo $?)" 7
	equal "the unit" "$(show test-c7.scope LoadState)" not-found
	bundle :test:c7 '' '"memory": {"limit": 16777216, "swap": 16777216}'
	sed -i 's/"sleep", "1000"/"tail", "\/dev\/zero"/' config.json
	equal "killed for memory" "$(cribox oci --systemd-cgroup run c7 2>&1 || echo $?)" 137
	equal "the unit" "$(show test-c7.scope LoadState)" not-found
	bundle :test:c7
	sed -i 's/"sleep", "1000"/"no-such-program"/' config.json
	refused no-such-program cribox oci --systemd-cgroup run c7
	equal "the unit" "$(show test-c7.scope LoadState)" not-found
	bundle :test:c7 '' '"pids": {"limit": 1}'
	start "cribox oci" c7
	equal pids.max "$(cat $top/system.slice/test-c7.scope/pids.max)" 1
	kill -9 "$(cat $t/c7.pid)"
	until_equal "the unit" not-found show test-c7.scope LoadState
	run cribox oci delete c7
}

# The runtime is killed while it waits for systemd: neither a scope nor a process stays.
test_the_runtime_is_killed()
{
	bundle :test:c8
	cd $t/bundle || fail bundle
	for i in 03 06 09 12 15 18 21 24 27 30 35 40; do
		cribox oci --systemd-cgroup run -d c8 >$t/out 2>&1 </dev/null &
		sleep 0.$i
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
		run cribox oci delete -f c8
	done
	until_equal "the unit" not-found show test-c8.scope LoadState
	equal "states" "$(cribox oci list -q)" ""
}

# The system's bus instead of the manager's own socket.
test_over_the_bus()
{
	bundle :test:c9 '' "$everything"
	cd $t/bundle || fail bundle
	unshare -m sh -c 'mount --bind /dev/null /run/systemd/private &&
		/more/bin/cribox oci --systemd-cgroup run -d --pid-file '$t'/c9.pid c9' \
		>$t/out 2>&1 </dev/null || fail "$(cat $t/out)"
	equal TasksMax "$(show test-c9.scope TasksMax)" 55
	run unshare -m sh -c 'mount --bind /dev/null /run/systemd/private &&
		/more/bin/cribox oci delete -f c9'
	equal "the unit" "$(show test-c9.scope LoadState)" not-found
}

# --- podman ------------------------------------------------------------------------------------

pod_man()
{
	timeout 100 podman --cgroup-manager systemd --runtime /more/bin/crun "$@"
}

test_podman()
{
	cp -a /more/bundle/rootfs $t/podroot
	run pod_man run -d --name p1 --network none --memory 64m --pids-limit 33 --cpus 0.5 \
		--rootfs $t/podroot sh -c 'echo out; exec sleep 1000' >$t/p1
	scope=libpod-$(tail -n 1 $t/p1).scope
	equal MemoryMax "$(show "$scope" MemoryMax)" 67108864
	equal TasksMax "$(show "$scope" TasksMax)" 33
	equal Slice "$(show "$scope" Slice)" machine.slice
	equal exec "$(run pod_man exec p1 cat /sys/fs/cgroup/pids.max)" 33
	equal logs "$(run pod_man logs p1)" out
	run pod_man stats --no-stream --format '{{.PIDs}}' p1 >$t/out
	equal stats "$(tail -n 1 $t/out)" 1
	run pod_man pause p1 >/dev/null
	equal state "$(run pod_man inspect -f '{{.State.Status}}' p1)" paused
	run pod_man unpause p1 >/dev/null
	run pod_man stop -t 1 p1 >/dev/null
	run pod_man start p1 >/dev/null
	run pod_man rm -f -t 0 p1 >/dev/null
	until_equal "the unit" not-found show "$scope" LoadState
	equal "exit status" "$(pod_man run --rm --network none --rootfs $t/podroot \
		sh -c 'exit 5' 2>/dev/null || echo $?)" 5
}

as_user() # COMMAND...
{
	setpriv --reuid 1000 --regid 1000 --init-groups env -i PATH="$PATH" HOME=/home/user \
		XDG_RUNTIME_DIR=/run/user/1000 "$@"
}

test_the_users_manager()
{
	run loginctl enable-linger user
	until_equal "the user's manager" running as_user systemctl --user is-system-running
	equal "delegated" "$(show user@1000.service Delegate)" yes
	cp -a /more/bundle/rootfs /home/user/root
	chown -R user:user /home/user/root
	cat >$t/rootless.sh <<-END
		exec timeout 100 podman --cgroup-manager systemd --runtime /more/bin/crun "\$@"
	END
	run as_user sh $t/rootless.sh run -d --name p2 --network none --memory 64m \
		--pids-limit 33 --rootfs /home/user/root sleep 1000 >$t/p2
	scope=libpod-$(tail -n 1 $t/p2).scope
	equal TasksMax "$(as_user systemctl --user show -p TasksMax --value "$scope")" 33
	equal MemoryMax "$(as_user systemctl --user show -p MemoryMax --value "$scope")" 67108864
	equal exec "$(run as_user sh $t/rootless.sh exec p2 echo works)" works
	run as_user sh $t/rootless.sh rm -f -t 0 p2 >/dev/null
	until_equal "the unit" not-found as_user systemctl --user show -p LoadState --value "$scope"
}

test_nothing_is_left()
{
	equal "scopes" "$(systemctl list-units --all --plain --no-legend '*.scope' |
		grep -v -e init.scope -e session | cut -d' ' -f1)" ""
	equal "failed units" "$(systemctl list-units --failed --plain --no-legend | cut -d' ' -f1)" ""
	equal "processes" "$(pgrep -af 'cribox|crun|conmon|sleep 1000')" ""
}

# --- all ---------------------------------------------------------------------------------------

evidence()
{
	journalctl -q -n 6 -o cat | sed 's/^/journal: /'
}

mkdir -p $t/logs
say
say "# kernel $(uname -r), $(systemctl --version | head -n 1), up for $(cut -d' ' -f1 /proc/uptime) s"
mount --make-rshared /
rm -rf /etc/cni/net.d # podman's: with plugins that are not there
ip link set lo up
start_registry /more/registry
all_tests "$(sed -n 's/.*TESTS=\([^ ]*\).*/\1/p' /proc/cmdline)"

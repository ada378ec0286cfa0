#!/bin/sh
# guest-words.sh: short words of the tests in guests (cgroup2-guest.sh, systemd-guest.sh), which read
# this file by '.', after they have set
#
#	title	of the results: "ok $title: NAME"
#	all	the tests, in their order; the function of each is test_NAME
#
# and have defined evidence(), which says more when a test has failed.
# shellcheck shell=sh disable=SC2154
top=/sys/fs/cgroup
t=/run/t
registry=127.0.0.1:5000

say()
{
	echo "$*" >/dev/console
}

fail()
{
	echo "$*" >$t/why
	exit 1
}

equal() # WHAT GOT WANT
{
	[ "$2" = "$3" ] || fail "$1: \"$2\", not \"$3\""
}

until_equal() # WHAT WANT COMMAND...: within 30 s
{
	what=$1 want=$2
	shift 2
	i=0
	while got=$("$@" 2>&1) && [ "$got" = "$want" ] && return 0 || true; do
		i=$((i + 1))
		[ $i -lt 150 ] || fail "$what: \"$got\", not \"$want\" after 30 s"
		sleep 0.2
	done
}

# What a command says is the reason if it fails.
run()
{
	"$@" >$t/run.out 2>&1 || fail "$*: $(tail -n 2 $t/run.out)"
	cat $t/run.out
}

start_registry() # DIR: with the images that images.py put there
{
	cat >$t/registry.yml <<-END
		version: 0.1
		log: {level: error, accesslog: {disabled: true}}
		storage: {filesystem: {rootdirectory: $1}}
		http: {addr: '$registry'}
	END
	docker-registry serve $t/registry.yml >$t/registry.log 2>&1 &
}

# --- pods and containers, by their names ---------------------------------------------------------

ctl()
{
	cribox ctl -t 60s "$@"
}

make_pod() # NAME [LINUX]: $t/NAME.id
{
	cat >"$t/$1.pod" <<-END
		{"metadata": {"name": "$1", "uid": "$1-uid", "namespace": "default"},
		 "log_directory": "$t/logs/$1", "linux": {${2:-}}}
	END
	run ctl runp "$t/$1.pod" >"$t/$1.id"
	[ -s "$t/$1.id" ] || fail "runp printed no id"
}

id()
{
	cat "$t/$1.id"
}

# A container of the box image: $t/NAME.id. LINUX: its JSON.
make_ctr() # POD NAME SHELL-COMMAND [LINUX] [IMAGE]
{
	cat >"$t/$2.ctr" <<-END
		{"metadata": {"name": "$2"}, "image": {"image": "$registry/${5:-box}:latest"},
		 "command": ["sh", "-c", "$3"], "log_path": "$2.log", "linux": {${4:-}}}
	END
	run ctl create --no-pull "$(id "$1")" "$t/$2.ctr" "$t/$1.pod" >"$t/$2.id"
	run ctl start "$(id "$2")" >/dev/null
}

field() # CONTAINER KEY: the first of that name in the status
{
	ctl inspect -o json "$(id "$1")" | sed -n "s/^ *\"$2\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p" |
		head -n 1
}

group_of_pid()
{
	sed 's/^0:://' "/proc/$1/cgroup"
}

shim() # POD: the shim's pid
{
	# the pod's init process, if it has one, is there too
	while read -r p; do
		case $(tr '\0' ' ' <"/proc/$p/cmdline") in *shim*) echo "$p" ;; esac
	done <"$top/cribox/shims/$(id "$1")/cgroup.procs" | head -n 1
}

# --- the tests -----------------------------------------------------------------------------------

one() # TEST: in a shell of its own, as only the exit of one ends at the first failure
{
	rm -f $t/why
	start=$(cut -d. -f1 /proc/uptime)
	(set -e && cd / && "test_$1") >$t/test.log 2>&1
	status=$?
	took=$(($(cut -d. -f1 /proc/uptime) - start))
	if [ $status = 0 ]; then
		say "ok $title: $1"
	else
		say "not ok $title: $1: $(cat $t/why 2>/dev/null || tail -n 2 $t/test.log)"
		evidence | while read -r line; do say "# $line"; done
	fi
	say "# $1 took $took s"
}

all_tests() # [NAME,...]: only these
{
	# shellcheck disable=SC2086 # words
	for name in $(echo "${1:-$all}" | tr , ' '); do
		one "$name"
	done
	say "# the end, after $(cut -d' ' -f1 /proc/uptime) s"
}

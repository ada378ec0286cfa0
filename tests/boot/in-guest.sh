#!/bin/sh
# in-guest.sh SCRIPT...: runs integration tests of the tree at /repo on a node, as root of the Debian
# files around it (images/enter.py has been here before). Prints their lines, then how it ended.
cd /repo || exit
unset NOTIFY_SOCKET # of the console, a service: a runtime waits for what the container says there
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t tmpfs tmp /tmp
ip link set lo up
for script; do
	name=${script%% *} # what follows it selects tests
	out=/tmp/$name.out
	# shellcheck disable=SC2086
	timeout -k 10 "${LIMIT:-600}" /usr/bin/python3 tests/it/$script >"$out" 2>&1 </dev/null
	status=$?
	grep -aE '^(ok|not ok|skip|#) ' "$out" | sed -E "s/^(ok|not ok|skip|#) /&$name /"
	if [ $status != 0 ]; then
		echo "not ok $name: exit status $status"
		tail -n 25 "$out" | cut -c 1-300 | sed 's/^/> /'
	fi
done
echo "# the end"

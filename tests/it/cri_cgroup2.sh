#!/bin/sh
# Pods, crashes and what is left behind where there is only the unified hierarchy (cgroup v2).
# On a hybrid host its controllers are elsewhere, so this is about groups, not about limits.
set -u
cd "$(dirname "$0")/../.." || exit
if [ "$(id -u)" != 0 ]; then
	echo "skip cgroup2: needs root"
	exit 0
fi
if [ -z "${CRIBOX_CGROUP2:-}" ]; then
	CRIBOX_CGROUP2=yes exec /usr/bin/python3 images/enter.py \
		unshare --mount --propagation private sh "$0"
fi
umount -R -l /sys/fs/cgroup 2>/dev/null
if ! mount -t cgroup2 cgroup2 /sys/fs/cgroup; then
	echo "skip cgroup2: cannot be mounted here"
	exit 0
fi

part() # FILE TEST...: its results under names that say where they are from
{
	file=$1
	shift
	out=$(/usr/bin/python3 "tests/it/$file.py" "$@")
	status=$?
	printf '%s\n' "$out" | sed -E 's/^(ok|not ok|skip) /\1 cgroup2_/'
	printf '%s\n' "$out" | grep -q '^ok ' && [ $status = 0 ] ||
		echo "not ok cgroup2_$file: exit status $status"
}
part cri_pods cgroup_parent pid_modes user_namespace
part cri_containers device
part cri_life exit_codes stop_by children
part cri_crash shim_killed both_killed
part cri_leak nothing_is_left

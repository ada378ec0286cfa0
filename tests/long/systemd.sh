#!/bin/sh
# Under systemd: a Debian with systemd as process 1 in an emulator, in which the daemon is a
# service, and the runtime's groups are systemd's scopes. tests/boot/systemd-guest.sh has the
# tests.
# timeout: 900
#
# TESTS=NAME,...  only these of the guest's tests (and those before that they need)
# KEEP=yes        leaves the disk with the programs in build/systemd/
#
# The root file system is made once by debootstrap from the mirror that apt uses here.
set -eu
cd "$(dirname "$0")/../.."
dir=$PWD/build/systemd
kernel=${KERNEL:-linux-image-cloud-amd64}
limit=${LIMIT:-600}
title=systemd
# shellcheck source=tests/boot/guest.sh
. tests/boot/guest.sh

suite=bookworm
packages=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,podman,netavark,conmon,crun,runc
packages=$packages,uidmap,slirp4netns,fuse-overlayfs,busybox-static,docker-registry,iproute2,kmod
packages=$packages,procps

# A directory with the packages, without what no test reads.
bootstrap() # TREE
{
	# shellcheck disable=SC2016 # an apt format
	mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' \
		'Created-By: Packages' | sed -n 's#\(.*/debian/\)$#\1#p' | head -n 1)
	[ -n "$mirror" ] || skip "apt knows no mirror of Debian"
	rm -rf "$1"
	mkdir -p "$dir/dl"
	timeout 800 debootstrap --variant=minbase --cache-dir="$dir/dl" --include=$packages \
		$suite "$1" "$mirror" </dev/null >"$dir/debootstrap.log" 2>&1 ||
		skip "debootstrap failed (build/systemd/debootstrap.log)"
	rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/* \
		"$1"/usr/share/locale/* "$1"/usr/share/man/* "$1"/var/log/*.log "$1"/debootstrap
}

# What makes it a guest: no logins, nothing that runs by the clock, and the tests.
configure() # TREE
{
	: >"$1/etc/fstab"
	echo guest >"$1/etc/hostname"
	echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
	for unit in getty.target serial-getty@ttyS0.service systemd-udevd.service \
		apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		e2scrub_reap.service fstrim.timer podman.socket podman.service \
		podman-auto-update.timer podman-auto-update.service podman-restart.service \
		docker-registry.service systemd-tmpfiles-clean.timer systemd-pstore.service; do
		ln -sf /dev/null "$1/etc/systemd/system/$unit"
	done
	mkdir -p "$1/etc/systemd/journald.conf.d" "$1/more" "$1/lib/modules"
	printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$1/etc/systemd/journald.conf.d/t.conf"
	cat >"$1/etc/systemd/system/guest.service" <<-END
		[Unit]
		After=basic.target systemd-user-sessions.service dbus.service
		[Service]
		Type=oneshot
		ExecStart=/bin/sh /more/systemd-guest.sh
		ExecStopPost=/bin/busybox poweroff -f
	END
	mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
	ln -sf ../guest.service "$1/etc/systemd/system/multi-user.target.wants/"
	ln -sf /lib/systemd/system/multi-user.target "$1/etc/systemd/system/default.target"
	grep -q '^user:' "$1/etc/passwd" || chroot "$1" useradd -m -u 1000 -s /bin/sh user
	grep -q '^user:' "$1/etc/subuid" || echo user:100000:65536 >>"$1/etc/subuid"
	grep -q '^user:' "$1/etc/subgid" || echo user:100000:65536 >>"$1/etc/subgid"
}

# Made anew when what goes into it changes.
build_base() # KERNEL-ROOT OUT
{
	stamp=$(cat tests/long/systemd.sh tests/boot/guest.sh | sha256sum | cut -c1-16)-$(basename "$1")
	[ -f "$2" ] && [ "$(cat "$2.stamp" 2>/dev/null)" = "$stamp" ] && return
	tree=$dir/root
	if [ "$(cat "$tree/.packages" 2>/dev/null)" != $packages ]; then
		bootstrap "$tree"
		echo $packages >"$tree/.packages"
	fi
	configure "$tree"
	rm -rf "$tree"/lib/modules/*
	add_modules "$1" "$tree"
	mke2fs -q -F -t ext4 -m 0 -E root_owner=0:0,lazy_itable_init=1 -d "$tree" "$2" 1200M >/dev/null
	echo "$stamp" >"$2.stamp"
}

# What changes from run to run: our programs, the tests, images for them.
build_more() # OUT
{
	tree=$dir/more
	rm -rf "$tree" "$1"
	mkdir -p "$tree/bundle/rootfs/bin" "$tree/bin"
	for d in dev proc sys tmp etc; do mkdir "$tree/bundle/rootfs/$d"; done
	cp "$(command -v busybox)" "$tree/bundle/rootfs/bin/busybox"
	for applet in $(busybox --list); do
		[ -e "$tree/bundle/rootfs/bin/$applet" ] ||
			ln -s busybox "$tree/bundle/rootfs/bin/$applet"
	done
	echo root:x:0:0:root:/:/bin/sh >"$tree/bundle/rootfs/etc/passwd"
	cp build/x86_64/cribox "$tree/bin/cribox"
	ln -s cribox "$tree/bin/crun"
	cp tests/boot/systemd-guest.sh tests/boot/guest-words.sh "$tree/"
	/usr/bin/python3 tests/boot/images.py "$tree/registry"
	mke2fs -q -F -t ext4 -m 0 -E root_owner=0:0,lazy_itable_init=1 -d "$tree" "$1" 128M >/dev/null
	rm -rf "$tree"
}

[ "$(id -u)" = 0 ] || skip "debootstrap needs root"
need qemu-system-x86_64 busybox depmod mke2fs debootstrap
mkdir -p "$dir"
deb=$(find_kernel) || skip "no kernel package $kernel (build/boot/download.log)"
root=$(unpack "$deb")
build_initramfs "$root" "$dir/initramfs.gz"
build_base "$root" "$dir/base.img"
build_more "$dir/more.img"
status=0
boot "$root" "$dir/initramfs.gz" 1280M "systemd.show_status=0 ${TESTS:+TESTS=$TESTS}" \
	"$dir/base.img" "$dir/more.img" || status=1
[ -n "${KEEP:-}" ] || rm -f "$dir/more.img"
exit $status

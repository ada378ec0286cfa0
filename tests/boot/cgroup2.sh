#!/bin/sh
# cgroup2.sh: the daemon on a kernel of Debian with cgroup version 2 only, as root with all
# capabilities: boots the cloud kernel in an emulator and runs cgroup2-guest.sh there.
#
# KERNEL=PACKAGE  another kernel that apt knows; KERNEL=FILE.deb: one that is there already
# TESTS=NAME,...  only these of the guest's tests (and those before that they need)
# KEEP=yes        leaves the disk of the guest in build/boot/
#
# The package is downloaded and unpacked below build/boot/, never installed. The guest has no
# network. Its lines come over the serial console.
set -eu
cd "$(dirname "$0")/../.."
dir=$PWD/build/boot
kernel=${KERNEL:-linux-image-cloud-amd64}
limit=${LIMIT:-270}
title=boot
# shellcheck source=tests/boot/guest.sh
. tests/boot/guest.sh

# The kernel asks for further modules by modprobe, as on a node.
build_disk() # KERNEL-ROOT OUT
{
	tree=$dir/root
	rm -rf "$tree" "$2"
	for d in bin sbin dev etc proc root run sys tmp usr/bin var/lib lib64; do
		mkdir -p "$tree/$d"
	done
	cp "$(command -v busybox)" "$tree/bin/busybox"
	for applet in $(busybox --list); do
		[ -e "$tree/bin/$applet" ] || ln -s busybox "$tree/bin/$applet"
	done
	add_modules "$1" "$tree"
	ln -s ../bin/busybox "$tree/sbin/modprobe"
	cp build/x86_64/cribox tests/boot/cgroup2-guest.sh tests/boot/guest-words.sh "$tree/bin/"
	ln -s /bin/cgroup2-guest.sh "$tree/sbin/init"
	cp /usr/bin/docker-registry "$tree/usr/bin/"
	ldd /usr/bin/docker-registry | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$tree$(dirname "$lib")"
		cp -L "$lib" "$tree$lib"
	done
	echo root:x:0:0:root:/root:/bin/sh >"$tree/etc/passwd"
	echo root:x:0: >"$tree/etc/group"
	/usr/bin/python3 tests/boot/images.py "$tree/var/lib/registry"
	mke2fs -q -F -t ext4 -m 0 -E root_owner=0:0,lazy_itable_init=1 -d "$tree" "$2" 600M >/dev/null
	rm -rf "$tree"
}

need qemu-system-x86_64 busybox depmod mke2fs docker-registry
mkdir -p "$dir"
deb=$(find_kernel) || skip "no kernel package $kernel (build/boot/download.log)"
root=$(unpack "$deb")
build_initramfs "$root" "$dir/initramfs.gz"
build_disk "$root" "$dir/disk.img"

status=0
boot "$root" "$dir/initramfs.gz" 768M "${TESTS:+TESTS=$TESTS}" "$dir/disk.img" || status=1
[ -n "${KEEP:-}" ] || rm -f "$dir/disk.img"
exit $status

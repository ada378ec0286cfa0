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
modules="virtio_pci virtio_blk crc32c_generic ext4" # of the initramfs

skip()
{
	echo "skip boot: $*"
	exit 0
}

# The newest package that a meta package depends on; its file, after the download.
find_kernel()
{
	case $kernel in *.deb)
		echo "$kernel"
		return
		;;
	esac
	name=$(apt-cache depends "$kernel" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	name=${name:-$kernel}
	version=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: //p')
	[ -n "$version" ] || return 1
	file=$dir/dl/${name}_${version}_amd64.deb
	if [ ! -s "$file" ]; then
		mkdir -p "$dir/dl"
		(cd "$dir/dl" && timeout 200 apt-get -q download "$name") >"$dir/download.log" 2>&1 ||
			return 1
	fi
	echo "$file"
}

# Unpacked once for each package; prints the version.
unpack()
{
	root=$dir/kernel/$(basename "$1" .deb)
	if [ ! -e "$root/.ok" ]; then
		rm -rf "$root"
		mkdir -p "$root"
		dpkg -x "$1" "$root"
		[ -d "$root/lib/modules" ] || ln -s usr/lib "$root/lib"
		depmod -b "$root" "$(ls "$root/lib/modules")"
		: >"$root/.ok"
	fi
	echo "$root"
}

# The modules in the order of their needs, unpacked, and what loads them.
build_initramfs() # KERNEL-ROOT OUT
{
	tree=$dir/initramfs
	version=$(ls "$1/lib/modules")
	rm -rf "$tree"
	mkdir -p "$tree/bin" "$tree/modules" "$tree/dev" "$tree/root"
	cp "$(command -v busybox)" "$tree/bin/busybox"
	n=100
	for m in $modules; do
			modprobe -C /dev/null -d "$1" -S "$version" --show-depends "$m" 2>/dev/null || true
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$dir/modules"
	while read -r file; do
		n=$((n + 1))
		name=$(basename "$file")
		case $name in
		*.xz) xz -dc "$file" >"$tree/modules/$n-${name%.xz}" ;;
		*) cp "$file" "$tree/modules/$n-$name" ;;
		esac
	done <"$dir/modules"
	cat >"$tree/init" <<-'END'
		#!/bin/busybox sh
		b=/bin/busybox
		$b mount -t devtmpfs dev /dev
		for m in /modules/*; do
			$b insmod "$m" 2>/dev/null || echo "# not loaded: $m"
		done
		$b mount -t ext4 /dev/vda /root || $b poweroff -f
		exec $b switch_root /root /sbin/init
	END
	chmod +x "$tree/init"
	(cd "$tree" && find . | LC_ALL=C sort | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$2"
}

# The kernel asks for further modules by modprobe, as on a node.
build_disk() # KERNEL-ROOT OUT
{
	tree=$dir/root
	rm -rf "$tree" "$2"
	for d in bin sbin dev etc proc root run sys tmp usr/bin var/lib lib64; do
		mkdir -p "$tree/$d"
	done
	cp "$(command -v busybox)" "$tree/bin/busybox"
	for name in $(busybox --list); do
		[ -e "$tree/bin/$name" ] || ln -s busybox "$tree/bin/$name"
	done
	version=$(ls "$1/lib/modules")
	from=$1/lib/modules/$version to=$tree/lib/modules/$version
	for d in net lib crypto arch fs/overlayfs drivers/net; do
		mkdir -p "$to/kernel/$d"
		cp -a "$from/kernel/$d/." "$to/kernel/$d/"
	done
	cp "$from"/modules.* "$to/"
	ln -s ../bin/busybox "$tree/sbin/modprobe"
	cp build/x86_64/cribox tests/boot/cgroup2-guest.sh "$tree/bin/"
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

[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64"
[ -x build/x86_64/cribox ] || skip "build/x86_64/cribox is not there: run 'make'"
for tool in qemu-system-x86_64 busybox depmod mke2fs docker-registry; do
	command -v $tool >/dev/null || skip "no $tool"
done
mkdir -p "$dir"
deb=$(find_kernel) || skip "no kernel package $kernel (build/boot/download.log)"
root=$(unpack "$deb")
build_initramfs "$root" "$dir/initramfs.gz"
build_disk "$root" "$dir/disk.img"

# -cx16: QEMU 7.2 emulates cmpxchg16b wrongly now and then.
status=0
timeout -k 5 "$limit" qemu-system-x86_64 -M q35 -cpu max,-cx16 -accel tcg -smp 2 -m 768M \
	-no-reboot -nographic -nodefaults -serial stdio -monitor none \
	-kernel "$root"/boot/vmlinuz-* -initrd "$dir/initramfs.gz" \
	-append "console=ttyS0 panic=-1 quiet loglevel=1 rdinit=/init${TESTS:+ TESTS=$TESTS}" \
	-drive "file=$dir/disk.img,format=raw,if=virtio,cache=unsafe" \
	</dev/null >"$dir/console.log" 2>&1 || status=$?
tr -d '\r' <"$dir/console.log" | grep -aE '^(ok|not ok|skip|#) ' || true
[ -n "${KEEP:-}" ] || rm -f "$dir/disk.img"
if ! grep -aq '^# the end' "$dir/console.log"; then
	echo "not ok boot: the guest did not come to its end (status $status, limit $limit s)"
	tail -n 15 "$dir/console.log" | sed 's/^/# /'
fi
! grep -aq '^not ok' "$dir/console.log" && grep -aq '^# the end' "$dir/console.log"

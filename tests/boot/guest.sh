#!/bin/sh
# guest.sh: what the scripts share that boot Debian's kernel in an emulator; read by 'source',
# after they have set
#
#	dir	where disks and logs go, below build/
#	kernel	a package that apt knows, or a FILE.deb that is there already
#	limit	seconds for the guest
#	title	of the test that is skipped or fails
#
# Packages are downloaded and unpacked below build/boot/, never installed.
# shellcheck disable=SC2154 # these variables
boot=$PWD/build/boot
modules="virtio_pci virtio_blk crc32c_generic ext4" # of the initramfs

skip()
{
	echo "skip $title: $*"
	exit 0
}

need() # TOOL...
{
	[ "$(uname -m)" = x86_64 ] || skip "the guest is x86_64"
	[ -x build/x86_64/cribox ] || skip "build/x86_64/cribox is not there: run 'make'"
	for tool; do
		command -v "$tool" >/dev/null || skip "no $tool"
	done
}

# The newest package that a meta package depends on; its file, after the download.
find_kernel()
{
	case $kernel in *.deb)
		echo "$kernel"
		return
		;;
	esac
	package=$(apt-cache depends "$kernel" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	package=${package:-$kernel}
	version=$(apt-cache policy "$package" 2>/dev/null | sed -n 's/^ *Candidate: //p')
	[ -n "$version" ] || return 1
	file=$boot/dl/${package}_${version}_amd64.deb
	if [ ! -s "$file" ]; then
		mkdir -p "$boot/dl"
		(cd "$boot/dl" && timeout 200 apt-get -q download "$package") \
			>"$boot/download.log" 2>&1 || return 1
	fi
	echo "$file"
}

# Unpacked once for each package; prints the directory.
unpack()
{
	root=$boot/kernel/$(basename "$1" .deb)
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

# The modules in the order of their needs, unpacked, and what loads them and goes on.
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
		module=$(basename "$file")
		case $module in
		*.xz) xz -dc "$file" >"$tree/modules/$n-${module%.xz}" ;;
		*) cp "$file" "$tree/modules/$n-$module" ;;
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
		[ ! -b /dev/vdb ] || $b mount -t ext4 /dev/vdb /root/more || $b poweroff -f
		exec $b switch_root /root /sbin/init
	END
	chmod +x "$tree/init"
	(cd "$tree" && find . | LC_ALL=C sort | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$2"
}

# Those modules of the kernel that containers need. The kernel asks for them by modprobe.
add_modules() # KERNEL-ROOT TREE
{
	version=$(ls "$1/lib/modules")
	from=$1/lib/modules/$version to=$2/lib/modules/$version
	for d in net lib crypto arch fs/overlayfs fs/fuse drivers/net; do
		[ -d "$from/kernel/$d" ] || continue
		mkdir -p "$to/kernel/$d"
		cp -a "$from/kernel/$d/." "$to/kernel/$d/"
	done
	cp "$from"/modules.* "$to/"
}

# Boots, and prints the lines of the guest's tests; fails if one of them failed, or if the guest
# did not come to its end. What it writes to its disks is lost; a second one is at /more.
# -cx16: QEMU 7.2 emulates cmpxchg16b wrongly now and then.
boot() # KERNEL-ROOT INITRAMFS MEMORY KERNEL-PARAMETERS DISK...
{
	image=$1 initramfs=$2 memory=$3 parameters=$4 status=0
	shift 4
	for disk; do
		set -- "$@" -drive "file=$disk,format=raw,if=virtio,snapshot=on"
		shift
	done
	timeout -k 5 "$limit" qemu-system-x86_64 -M q35 -cpu max,-cx16 -accel tcg -smp 2 \
		-m "$memory" -no-reboot -nographic -nodefaults -serial stdio -monitor none \
		-kernel "$image"/boot/vmlinuz-* -initrd "$initramfs" \
		-append "console=ttyS0 panic=-1 quiet loglevel=1 rdinit=/init $parameters" \
		"$@" </dev/null >"$dir/console.log" 2>&1 || status=$?
	tr -d '\r' <"$dir/console.log" | grep -aE '^(ok|not ok|skip|#) ' || true
	if ! grep -aq '^# the end' "$dir/console.log"; then
		echo "not ok $title: the guest did not come to its end (status $status, limit $limit s)"
		tail -n 15 "$dir/console.log" | sed 's/^/# /'
		return 1
	fi
	! grep -aq '^not ok' "$dir/console.log"
}

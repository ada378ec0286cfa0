#!/bin/sh
# host-packages.sh build ARCH | image ARCH | run ARCH | demo | test | bench: install the Debian packages that a target
# of the Makefile needs. Does nothing, quickly, when all are there; otherwise needs root.
set -eu

native=$(dpkg --print-architecture)

cross() # debian's name of the architecture, and of the compiler's package
{
	if [ "$1" = "$native" ]; then
		echo gcc linux-libc-dev
	else
		echo "gcc-$2" "linux-libc-dev-$1-cross"
	fi
}

common="make patch xz-utils protobuf-c-compiler libprotobuf-dev debian-archive-keyring"
run="$common iproute2 docker-registry skopeo umoci ca-certificates python3"
image="python3 ca-certificates xz-utils zstd erofs-utils debian-archive-keyring"

case "${1:-} ${2:-}" in
"build x86_64") list="$common $(cross amd64 x86-64-linux-gnu)" ;;
"build arm64") list="$common $(cross arm64 aarch64-linux-gnu)" ;;
"build ppc64le") list="$common $(cross ppc64el powerpc64le-linux-gnu)" ;;
"build s390x") list="$common $(cross s390x s390x-linux-gnu)" ;;
"build host") list="$common gcc libc6-dev" ;;
"image x86_64") list=$image ;;
"image "*) list="$image qemu-user-static" ;;
"demo ") list=$run ;;
"run x86_64") list="$run $image qemu-system-x86" ;;
"run arm64") list="$run $image qemu-user-static qemu-system-arm" ;;
"run ppc64le") list="$run $image qemu-user-static qemu-system-ppc" ;;
"run s390x") list="$run $image qemu-user-static qemu-system-misc" ;;
"test ")
	list="$run gcc libc6-dev clang-format-14 clang-14 clang-tidy-14 libclang-rt-14-dev
		shellcheck cppcheck qemu-user-static busybox-static nftables kmod openssl
		protobuf-compiler libprotobuf-c-dev python3-grpcio python3-protobuf python3-websocket python3-yaml
		runc crun podman conmon buildah uidmap criu containerd containernetworking-plugins util-linux procps strace qemu-system-x86 e2fsprogs zstd dbus-daemon debootstrap
		qemu-system-arm qemu-system-ppc qemu-system-misc erofs-utils
		dnsmasq-base isc-dhcp-server radvd chrony tcpdump iputils-ping
		dosfstools fdisk xfsprogs btrfs-progs exfatprogs squashfs-tools cryptsetup-bin xorriso"
	;;
"bench ")
	list="$run gcc libc6-dev protobuf-compiler libprotobuf-c-dev python3-grpcio python3-protobuf busybox-static
		runc crun containerd containernetworking-plugins util-linux nftables strace
		$image qemu-system-x86"
	;;
*)
	echo "usage: host-packages.sh build ARCH | image ARCH | run ARCH | demo | test | bench" >&2
	exit 2
	;;
esac

missing=
for p in $list; do
	dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed ||
		missing="$missing $p"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	printf 'host-packages: missing:%s\n' "$missing" >&2
	printf '               run as root: apt-get install --no-install-recommends%s\n' "$missing" >&2
	exit 1
fi

# Nobody wants a registry or a containerd started as a service by a build.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod +x $policy
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM
fi

printf 'host-packages: installing%s\n' "$missing"
install()
{
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
		-o Dpkg::Use-Pty=0 install --no-install-recommends $missing >&2
}
log=$(mktemp)
if ! install 2>"$log"; then
	# No package lists yet, or stale ones.
	apt-get -q -o DPkg::Lock::Timeout=600 update >&2
	install || {
		echo "host-packages: apt-get install failed (above)" >&2
		exit 1
	}
fi
rm -f "$log"

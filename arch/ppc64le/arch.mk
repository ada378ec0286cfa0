# power8, little-endian; musl knows only 64-bit long double here, and ld merges no mixture
TRIPLE = powerpc64le-linux-gnu
MUSL = powerpc64le-linux-musl
QEMU = qemu-ppc64le-static
ARCH_CFLAGS = -mlong-double-64
# Relative relocations in a bitmap: 80 kB less file with the CRI tables. For arm64 and s390x,
# ld 2.40 has no such thing.
ARCH_LDFLAGS = -Wl,-z,pack-relative-relocs
KERNEL_PACKAGE = linux-image-powerpc64le/trixie

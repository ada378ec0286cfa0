# power8, little-endian; musl knows only 64-bit long double here, and ld merges no mixture
TRIPLE = powerpc64le-linux-gnu
MUSL = powerpc64le-linux-musl
QEMU = qemu-ppc64le-static
ARCH_CFLAGS = -mlong-double-64

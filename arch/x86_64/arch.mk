# x86-64, baseline v1
TRIPLE = x86_64-linux-gnu
MUSL = x86_64-linux-musl
QEMU = qemu-x86_64-static
ARCH_CFLAGS = -fcf-protection
# Relative relocations in a bitmap: 80 kB less file with the CRI tables. For arm64 and s390x,
# ld 2.40 has no such thing.
ARCH_LDFLAGS = -Wl,-z,pack-relative-relocs
KERNEL_PACKAGE = linux-image-cloud-amd64/trixie

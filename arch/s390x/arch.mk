# z196 (arch9), big-endian
TRIPLE = s390x-linux-gnu
MUSL = s390x-linux-musl
QEMU = qemu-s390x-static
ARCH_CFLAGS =
KERNEL_PACKAGE = linux-image-s390x/trixie

# armv8-a; libgcc's outline atomics pick LSE at run time
TRIPLE = aarch64-linux-gnu
MUSL = aarch64-linux-musl
QEMU = qemu-aarch64-static
ARCH_CFLAGS = -mbranch-protection=standard
KERNEL_PACKAGE = linux-image-cloud-arm64/trixie

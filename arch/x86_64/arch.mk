# x86-64, baseline v1
TRIPLE = x86_64-linux-gnu
MUSL = x86_64-linux-musl
QEMU = qemu-x86_64-static
ARCH_CFLAGS = -fcf-protection

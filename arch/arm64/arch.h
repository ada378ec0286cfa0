/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between architectures: 64-bit Arm, little-endian. */
#ifndef CRIBOX_ARCH_H
#define CRIBOX_ARCH_H

#include <linux/audit.h>

/* Our name (directory, package, Kubernetes' nodeInfo uses ARCH_OCI). */
#define ARCH_NAME "arm64"

/* As image-spec and Go write it: "architecture", and "variant" where one exists. */
#define ARCH_OCI "arm64"
#define ARCH_OCI_VARIANT "v8"

/* As uname -m and rpm write it. */
#define ARCH_UNAME "aarch64"

/* As seccomp profiles write it (runtime-spec: linux.seccomp.architectures). */
#define ARCH_SCMP "SCMP_ARCH_AARCH64"

/* The audit architecture of our own system calls (seccomp_data.arch). */
#define ARCH_AUDIT AUDIT_ARCH_AARCH64

/* Other ABIs whose programs this kernel may run too; ends in 0. */
#define ARCH_AUDIT_OTHERS AUDIT_ARCH_ARM, 0

/* clone(2): s390 takes the stack first, all others the flags. */
#define ARCH_CLONE_STACK_FIRST 0

#endif

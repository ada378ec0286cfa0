/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between architectures: 64-bit Power, little-endian. */
#ifndef CRIBOX_ARCH_H
#define CRIBOX_ARCH_H

#include <linux/audit.h>

/* Our name (directory, package, Kubernetes' nodeInfo uses ARCH_OCI). */
#define ARCH_NAME "ppc64le"

/* As image-spec and Go write it: "architecture", and "variant" where one exists. */
#define ARCH_OCI "ppc64le"
#define ARCH_OCI_VARIANT ""

/* As uname -m and rpm write it. */
#define ARCH_UNAME "ppc64le"

/* As seccomp profiles write it (runtime-spec: linux.seccomp.architectures). */
#define ARCH_SCMP "SCMP_ARCH_PPC64LE"

/* The audit architecture of our own system calls (seccomp_data.arch). */
#define ARCH_AUDIT AUDIT_ARCH_PPC64LE

/* Other ABIs whose programs this kernel may run too; ends in 0. */
#define ARCH_AUDIT_OTHERS 0

/* clone(2): s390 takes the stack first, all others the flags. */
#define ARCH_CLONE_STACK_FIRST 0

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between architectures: x86-64. */
#ifndef CRIBOX_ARCH_H
#define CRIBOX_ARCH_H

#include <linux/audit.h>

/* Our name (directory, package, Kubernetes' nodeInfo uses ARCH_OCI). */
#define ARCH_NAME "x86_64"

/* As image-spec and Go write it: "architecture", and "variant" where one exists. */
#define ARCH_OCI "amd64"
#define ARCH_OCI_VARIANT ""

/* As uname -m and rpm write it. */
#define ARCH_UNAME "x86_64"

/* As seccomp profiles write it (runtime-spec: linux.seccomp.architectures). */
#define ARCH_SCMP "SCMP_ARCH_X86_64"

/* The audit architecture of our own system calls (seccomp_data.arch). */
#define ARCH_AUDIT AUDIT_ARCH_X86_64

/* Other ABIs whose programs this kernel may run too; ends in 0. */
#define ARCH_AUDIT_OTHERS AUDIT_ARCH_I386, 0

/* clone(2): s390 takes the stack first, all others the flags. */
#define ARCH_CLONE_STACK_FIRST 0

#endif

/*
 * sandbox: what a role gives up before it touches untrusted bytes. All of it is for the
 * calling process, cannot be undone, and is meant for processes with a single thread.
 */
#ifndef OS_SANDBOX_H
#define OS_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Makes a directory the root and the working directory: a detached clone of its mount that is
 * nodev, nosuid and noexec where the kernel can (mount_setattr, 5.12), so that ".." ends
 * there too. Needs CAP_SYS_CHROOT and CAP_SYS_ADMIN. Returns an fd of the new root (owned),
 * or -1. Every other directory fd must be closed by the caller.
 */
int sandbox_root(int dirfd, struct err *err);

/*
 * Keeps the capabilities of the mask (1 << CAP_...) in the permitted, effective and bounding
 * sets; no inheritable or ambient ones; no_new_privs. All of them must be there. 0 or -1.
 */
int sandbox_caps(uint64_t keep, struct err *err);

/*
 * Becomes an unprivileged user and group without supplementary groups, and keeps the
 * capabilities of the mask all the same, as sandbox_caps does. 0 or -1.
 */
int sandbox_user(unsigned uid, unsigned gid, uint64_t keep, struct err *err);

/*
 * From now on only these system calls (SYS_..., at most SANDBOX_CALLS) succeed; others fail
 * with EPERM, those of another ABI end the process (seccomp). 0 or -1.
 */
enum { SANDBOX_CALLS = 200 };
int sandbox_calls(const int *calls, size_t n, struct err *err);

/* Ends with SIGKILL when the parent dies. */
int sandbox_with_parent(struct err *err);

#endif

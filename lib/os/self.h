/* self: this program's own file. */
#ifndef OS_SELF_H
#define OS_SELF_H

#include "base/err.h"

/*
 * Makes this process run from a copy of its file that a container cannot write to, by
 * executing itself again from a read-only detached clone (open_tree, mount_setattr; Linux
 * 5.12), or else from a sealed memfd. Nothing is copied in the first case, and nothing
 * appears in a mount table. To be called first thing by a program whose forks enter
 * containers (CVE-2019-5736). Returns 0 if it already runs from one; does not return if
 * it had to execute itself; -1 on failure.
 */
int self_protect(char *const *argv, struct err *err);

/* The same for a child to be spawned: an fd to execveat(2) with AT_EMPTY_PATH. Owned, or
 * -1. */
int self_open_protected(struct err *err);

#endif

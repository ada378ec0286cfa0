/*
 * cgentry: into a cgroup without a wait. Writing a pid to cgroup.procs waits for an RCU grace
 * period, several milliseconds, because the process may be forking meanwhile. Two ways do not:
 * to be born in the group (version 2: clone3 with CLONE_INTO_CGROUP, Linux 5.7), and to move
 * oneself alone (version 1: "0" in the file tasks).
 */
#ifndef OS_CGENTRY_H
#define OS_CGENTRY_H

#include "base/err.h"
#include "os/cgroup.h"

enum { CGENTRY_MAX = 32 };

/* The doors of one group; {.tree = -1} is none. */
struct cgentry {
	int tree; /* directory in the unified hierarchy, for ns_clone_into; -1: none */
	unsigned n;
	int tasks[CGENTRY_MAX]; /* of version 1 */
};

/* Opens them. 0 or -1; to be closed in any case. */
int cgentry_open(const struct cgroups *g, const char *path, struct cgentry *ret,
		 struct err *err);
void cgentry_close(struct cgentry *e);

/* Moves the caller, which must have one thread, into the groups of version 1. 0 or -1. */
int cgentry_join(const struct cgentry *e, struct err *err);

#endif

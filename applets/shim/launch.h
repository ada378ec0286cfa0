/* launch: containers and processes in them, by lib/oci. */
#ifndef SHIM_LAUNCH_H
#define SHIM_LAUNCH_H

#include "shim/container.h"

/*
 * In a worker. Looks at a new container's image: resolves its user (into out:
 * uid gid groups) and makes the directories of its root file system below dirfd. 0 or -1.
 */
int launch_prepare(struct shim *s, yyjson_val *req, int dirfd, yyjson_mut_doc *d,
		   yyjson_mut_val *out, struct err *err);

/*
 * In a worker. Makes and starts the container as a child of the shim, with
 * stdio (all -1 with a terminal). Returns the pid; *ret_console: the
 * terminal's master, or -1. Or -1 with the reason as callers know it.
 */
pid_t launch_start(struct container *ct, const int stdio[3], int *ret_console,
		   struct err *err);

/*
 * A process in a running container, as a child of the shim. What it does on its way to its
 * program may hang (a file system that does): nobody waits for it here. The outcome is read
 * from *ret_errfd (launch_outcome), a terminal's master from *ret_console (launch_console).
 */
struct launch_exec {
	char **argv; /* NULL at the end */
	int stdio[3];
	bool tty;
};
pid_t launch_exec(struct container *ct, const struct launch_exec *x, int *ret_errfd,
		  int *ret_console, struct err *err);

/* When errfd can be read: 0: the program runs, -1: it does not, 1: not known yet. */
int launch_outcome(int errfd, struct err *err);

/* When the socket can be read: the terminal's master, or -1. */
int launch_console(int sock, struct err *err);

/* Kills every process of the container's cgroup. */
void launch_kill_all(struct container *ct);

/* How many processes of its cgroup the kernel's OOM killer has killed. */
uint64_t launch_oom_kills(struct container *ct);

/* In a worker. Other limits for a running container. 0 or -1. */
struct resources;
int launch_update(const struct container *ct, const struct resources *r, struct err *err);

/* In a worker. Removes the container's cgroup; a missing one is success. */
int launch_cgroup_remove(struct shim *s, const char *path, struct err *err);

/* In a worker or clean-up. The path of a container's cgroup. The caller frees. */
char *launch_cgroup(const struct shim *s, const char *id);

#endif

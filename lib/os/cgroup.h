/*
 * cgroup: control groups of version 2, version 1, and hybrid hosts (controllers on
 * version 1, the unified tree beside them): one group of ours is the same path in all of
 * them.
 */
#ifndef OS_CGROUP_H
#define OS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* The hierarchies of this host. */
struct cgroups;

enum cgroups_mode {
	CGROUPS_V2,	/* the unified tree has all controllers */
	CGROUPS_V1,	/* only version 1 */
	CGROUPS_HYBRID, /* controllers on version 1, and a unified tree */
};

/*
 * Finds the hierarchies (/proc/self/mountinfo). Heap-allocated; NULL on failure:
 * ERR_NOT_FOUND if no hierarchy with controllers is mounted. Holds one O_PATH fd each.
 */
struct cgroups *cgroups_open(struct err *err);
void cgroups_free(struct cgroups *g);
enum cgroups_mode cgroups_mode(const struct cgroups *g);

/* True if a hierarchy has this controller ("memory", "cpu", ...). */
bool cgroups_has(const struct cgroups *g, const char *controller);

/* True if it is the unified tree that has it: on a hybrid host that depends. */
bool cgroups_is_v2(const struct cgroups *g, const char *controller);

/*
 * The hierarchies, 0 to count - 1: the name of their mount point's directory ("memory",
 * "cpu,cpuacct", "unified"), the options that mount them anew (version 1; "memory",
 * "none,name=systemd"), and a file of a group there, "." for its directory (an owned fd, or -1).
 */
unsigned cgroups_count(const struct cgroups *g);
bool cgroups_tree_is_v2(const struct cgroups *g, unsigned i);
const char *cgroups_tree_name(const struct cgroups *g, unsigned i);
const char *cgroups_tree_options(const struct cgroups *g, unsigned i);
int cgroups_tree_open(const struct cgroups *g, unsigned i, const char *path,
		      const char *file, int flags, struct err *err);

/*
 * Paths are from the root of the hierarchies, with or without '/' in front; ".." is
 * ERR_INVALID. A relative OCI cgroupsPath is below the caller's own group, which
 * cgroups_own gives (of the memory or unified hierarchy). Caller frees; NULL on failure.
 */
char *cgroups_own(const struct cgroups *g, struct err *err);

/* The same of another process: ERR_NOT_FOUND when it is gone. Caller frees. */
char *cgroups_of(const struct cgroups *g, pid_t pid, struct err *err);

/*
 * Makes a group in every hierarchy, parents included; on version 2 the controllers are
 * enabled from the root down to it. An existing group is fine. 0 or -1; on failure what
 * this call made is removed.
 */
int cgroup_make(const struct cgroups *g, const char *path, struct err *err);

/* True if the group exists in the main hierarchy (memory's, or the unified one). */
bool cgroup_exists(const struct cgroups *g, const char *path);

/* Moves a process (0: the caller) there, in all hierarchies. 0 or -1. */
int cgroup_join(const struct cgroups *g, const char *path, pid_t pid, struct err *err);

/*
 * File of a controller in a group ("memory", "memory.max"; version 2 finds the same
 * directory for all; "cgroup" is any: freezer's on version 1). ERR_NOT_FOUND: no such
 * controller or file. An owned fd or -1.
 */
int cgroup_open(const struct cgroups *g, const char *controller, const char *path,
		const char *file, int flags, struct err *err);
int cgroup_write(const struct cgroups *g, const char *controller, const char *path,
		 const char *file, const char *value, struct err *err);
int cgroup_read(const struct cgroups *g, const char *controller, const char *path,
		const char *file, struct buf *ret, struct err *err);

/* An O_DIRECTORY fd of the group's directory of a controller ("": the unified tree). */
int cgroup_dir(const struct cgroups *g, const char *controller, const char *path,
	       struct err *err);

/* "KEY N" of a flat keyed file, e.g. memory.events; def if it is not there. */
uint64_t cgroup_stat(const struct cgroups *g, const char *controller, const char *path,
		     const char *file, const char *key, uint64_t def);

/*
 * Kills every process of the group and below it (cgroup.kill; before 5.14 and on version
 * 1: freeze, signal, thaw). A group that does not exist is success. Does not wait. 0 or
 * -1.
 */
int cgroup_kill(const struct cgroups *g, const char *path, int sig, struct err *err);

/* Processes of the group and below it; calls fn for each pid until it returns nonzero. */
int cgroup_pids(const struct cgroups *g, const char *path,
		int (*fn)(void *arg, pid_t pid), void *arg, struct err *err);

/* Freezes or thaws, and waits until it is so (5 s). 0 or -1. */
int cgroup_freeze(const struct cgroups *g, const char *path, bool freeze,
		  struct err *err);
bool cgroup_frozen(const struct cgroups *g, const char *path);

/* How many times the OOM killer killed in this group (and below it on version 2). */
uint64_t cgroup_oom_kills(const struct cgroups *g, const char *path);

/*
 * Removes the group and all below it in every hierarchy; the processes must be dead, busy
 * groups are tried again with growing pauses for up to timeout_ms. Missing ones are
 * success.
 */
int cgroup_remove(const struct cgroups *g, const char *path, int timeout_ms,
		  struct err *err);

/* Removes the group if nothing is in it; one that is in use stays, and that is -1. */
int cgroup_prune(const struct cgroups *g, const char *path, struct err *err);

#endif

/*
 * rdt: groups of the resctrl file system: cache and memory bandwidth (config-linux.md, Intel
 * RDT). A group belongs to whoever made it: one that was there is joined and stays.
 */
#ifndef CGROUP_RDT_H
#define CGROUP_RDT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/json.h"

/* linux.intelRdt. */
struct rdt {
	const char *clos_id; /* NULL: the container's id */
	const char *l3, *mb; /* l3CacheSchema, memBwSchema; NULL: not given */
	const char *const *schemata;
	size_t nschemata;
	bool monitoring;
};

/* 0 or -1; ERR_INVALID names the field below `where`. */
int rdt_parse(yyjson_val *obj, const char *where, struct arena *a, struct rdt **ret,
	      struct err *err);

/* True if resctrl is mounted. */
bool rdt_available(void);

/*
 * Makes the group (if it is not there), writes its schemata, and moves a process into it, and
 * into a monitoring group of its own if that is asked for. *ret_made: it was not there.
 * ERR_UNIMPLEMENTED without resctrl. 0 or -1.
 */
int rdt_join(const struct rdt *r, const char *id, pid_t pid, bool *ret_made,
	     struct err *err);

/* Writes new schemata ("update"); the group must be there. 0 or -1. */
int rdt_update(const struct rdt *r, const char *id, struct err *err);

/* Removes the monitoring group, and the group itself if made. What is not there is fine. */
int rdt_remove(const struct rdt *r, const char *id, bool made, struct err *err);

/* A line of a plan. */
void rdt_print(const struct rdt *r, struct buf *out);

#endif

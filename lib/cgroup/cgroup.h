/*
 * cgroup: what a container's control group is limited to and what it has used: the
 * runtime-spec's "resources" (config-linux.md, Control groups) to the files of version 2
 * and version 1. The groups themselves are os/cgroup.h's.
 *
 *	resources_parse()	JSON to a struct resources; errors name the field
 *	resources_apply()	written to a group that exists
 *	resources_print()	what would be written, for plans
 */
#ifndef CGROUP_CGROUP_H
#define CGROUP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "os/cgroup.h"
#include "wire/json.h"

/* A rule of the device controller. Later rules win. */
struct device_rule {
	bool allow;
	char type;	      /* a, b, c */
	int64_t major, minor; /* -1: all */
	unsigned access;      /* DEVICE_x */
};
enum { DEVICE_MKNOD = 1, DEVICE_READ = 2, DEVICE_WRITE = 4, DEVICE_ALL = 7 };

struct res_pair {
	const char *key, *value;
};

struct res_hugepage {
	const char *size; /* "2MB" */
	uint64_t limit;
};

struct res_throttle {
	const char *key; /* "rbps", "wbps", "riops", "wiops" */
	uint32_t major, minor;
	uint64_t rate;
};

/* linux.resources. What has no has_x is not given when it is NULL, 0 or false. */
struct resources {
	struct device_rule *rules;
	size_t nrules;
	bool has_rules;
	bool has_limit, has_reservation, has_swap, has_swappiness;
	int64_t limit, reservation, swap; /* bytes; -1: none; swap: memory + swap */
	uint64_t swappiness;
	bool oom_disable;
	bool has_shares, has_quota, has_period, has_burst, has_idle;
	uint64_t shares, period, burst; /* period, quota, burst: microseconds */
	int64_t quota, idle;
	const char *cpus, *mems;
	bool has_pids;
	int64_t pids;
	bool has_weight;
	uint64_t weight; /* of blkio: 10 to 1000 */
	struct res_throttle *throttles;
	size_t nthrottles;
	struct res_hugepage *hugepages;
	size_t nhugepages;
	struct res_pair *unified;
	size_t nunified;
};

/*
 * Parses a resources object; all that *ret refers to lies in the arena. A NULL object is
 * an empty one. Errors: ERR_INVALID, "where.field: why". Needs no privilege. 0 or -1.
 */
int resources_parse(const void *json, size_t n, struct arena *a, struct resources *ret,
		    struct err *err);
int resources_parse_val(yyjson_val *obj, const char *where, struct arena *a,
			struct resources *ret, struct err *err);

/*
 * Writes them to a group that exists. What the kernel or the host has no controller for
 * is ERR_INVALID with the controller's name if a limit was asked for. Device rules get
 * what every container may use behind them; without has_rules they are left alone. 0 or
 * -1.
 */
int resources_apply(const struct cgroups *g, const char *path, const struct resources *r,
		    struct err *err);

/* One line per file and per device rule: "cgroup FILE VALUE". */
void resources_print(const struct resources *r, bool v1, struct buf *out);

#endif

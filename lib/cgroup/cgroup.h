/*
 * cgroup: what a container's control group is limited to and what it has used: the
 * runtime-spec's "resources" (config-linux.md, Control groups) to the files of version 2
 * and version 1. The groups themselves are os/cgroup.h's.
 *
 *	resources_parse()	JSON to a struct resources; errors name the field
 *	resources_apply()	written to a group that exists
 *	resources_print()	what would be written, for plans
 *	cgroup_stats()		what a group has used
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

struct res_weight_device {
	uint32_t major, minor;
	uint64_t weight, leaf_weight; /* 10 to 1000; 0: not given */
};

struct res_rdma {
	const char *device;
	bool has_handles, has_objects;
	uint64_t handles, objects;
};

struct res_priority {
	const char *name; /* of a network interface */
	uint64_t priority;
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
	bool check_usage; /* a memory limit below the present use is refused */
	bool has_shares, has_quota, has_period, has_burst, has_idle;
	uint64_t shares, period, burst; /* period, quota, burst: microseconds */
	int64_t quota, idle;
	bool has_rt_runtime, has_rt_period;
	int64_t rt_runtime; /* microseconds */
	uint64_t rt_period;
	const char *cpus, *mems;
	bool has_pids;
	int64_t pids;			   /* below 1: no limit */
	uint64_t weight, leaf_weight;	   /* of blkio: 10 to 1000 */
	struct res_weight_device *weights; /* of blkio, per device */
	size_t nweights;
	struct res_throttle *throttles;
	size_t nthrottles;
	struct res_hugepage *hugepages;
	size_t nhugepages;
	struct res_rdma *rdma;
	size_t nrdma;
	bool has_class;
	uint64_t class_id;
	struct res_priority *priorities;
	size_t npriorities;
	struct res_pair *unified;
	size_t nunified;
};

/*
 * Parses a resources object for an update; all that *ret refers to lies in the arena.
 * Errors: ERR_INVALID, "resources.field: why". Needs no privilege. 0 or -1.
 */
int resources_parse(const void *json, size_t n, struct arena *a, struct resources *ret,
		    struct err *err);

/* The same for a new container's (NULL is an empty one), in which they must be whole. */
int resources_parse_val(yyjson_val *obj, const char *where, struct arena *a,
			struct resources *ret, struct err *err);

/*
 * Writes them to a group that exists and in which nothing runs yet. What the kernel or the
 * host has no controller for is ERR_INVALID with the controller's name if a limit was
 * asked for. Device rules get what every container may use behind them; without any,
 * nothing else may be used (runc's rule). 0 or -1.
 */
int resources_apply(const struct cgroups *g, const char *path, const struct resources *r,
		    struct err *err);

/*
 * The same for a group in use: only what is mentioned changes, and of a quota and its
 * period the other stays as it is. Device rules are left alone: what a container has open
 * stays open. 0 or -1.
 */
int resources_update(const struct cgroups *g, const char *path, const struct resources *r,
		     struct err *err);

/* True if any of them asks for something that only a cgroup can give (rootless). */
bool resources_any(const struct resources *r);

/* One line per file and per device rule: "cgroup FILE VALUE". */
void resources_print(const struct resources *r, bool v1, struct buf *out);

/* --- use ---------------------------------------------------------------------------- */

/* One kind of memory. limit UINT64_MAX: none. Bytes; version 1 alone counts failures. */
struct cgroup_mem {
	uint64_t usage, peak, limit, failures;
};

struct cgroup_stall {
	uint32_t avg10, avg60, avg300; /* hundredths of a per cent */
	uint64_t total;		       /* microseconds */
};
struct cgroup_pressure {
	bool present;
	struct cgroup_stall some, full;
};

struct cgroup_count {
	const char *key;
	uint64_t value;
};

struct cgroup_huge {
	const char *size; /* "2MB" */
	uint64_t usage, peak, failures;
};

enum cgroup_io_kind {
	CGROUP_IO_BYTES,
	CGROUP_IO_OPS,
	CGROUP_IO_QUEUED,
	CGROUP_IO_SERVICE_TIME,
	CGROUP_IO_WAIT_TIME,
	CGROUP_IO_MERGED,
	CGROUP_IO_TIME,
	CGROUP_IO_SECTORS,
	CGROUP_IO_KINDS
};
struct cgroup_io {
	enum cgroup_io_kind kind;
	uint32_t major, minor;
	const char *op; /* "Read", "Write", ...; "" if it is not told */
	uint64_t value;
};

/* Ids of processors or memory nodes that a cpuset can name. */
enum { CPUSET_MAX = 8192 };
/* "0-3,8" (cpuset(7), List format) to a bit per number. 0 or -1. */
int cpuset_parse(const char *text, uint8_t bits[CPUSET_MAX / 8]);

/* What a group and all below it have used. Times in nanoseconds. */
struct cgroup_stats {
	uint64_t cpu_total, cpu_user, cpu_kernel;
	uint64_t periods, throttled_periods, throttled_time;
	struct cgroup_cpu {
		uint64_t user, kernel;
	} * percpu; /* version 1 */
	size_t npercpu;
	/* swap is memory + swap, as version 1 counts */
	struct cgroup_mem memory, swap, kernel, kernel_tcp;
	uint64_t cache;
	struct cgroup_count *memory_stat; /* memory.stat, whole */
	size_t nmemory_stat;
	bool has_pids;
	uint64_t pids, pids_limit; /* UINT64_MAX: none */
	struct cgroup_io *io;
	size_t nio;
	struct cgroup_huge *huge;
	size_t nhuge;
	struct cgroup_count *cpuset; /* flags of version 1: "cpu_exclusive", ... */
	size_t ncpuset;
	const char *cpus, *mems; /* "" if not told */
	struct cgroup_pressure cpu_pressure, memory_pressure, io_pressure;
};

enum cgroup_stats_what {
	CGROUP_STATS_CPU = 1,
	CGROUP_STATS_MEMORY = 2,
	CGROUP_STATS_PIDS = 4,
	CGROUP_STATS_IO = 8,
	CGROUP_STATS_OTHER = 16, /* huge pages, cpuset, each processor */
	CGROUP_STATS_PRESSURE = 32,
	CGROUP_STATS_ALL = 63,
};

/*
 * Reads the group's files of these kinds and no other file; all that *ret refers to lies
 * in the arena. What the host has no controller for stays 0. ERR_NOT_FOUND if the group
 * does not exist. 0 or -1.
 */
int cgroup_stats(const struct cgroups *g, const char *path, unsigned what,
		 struct arena *a, struct cgroup_stats *ret, struct err *err);

/* A value of memory_stat; 0 if it is not there. */
uint64_t cgroup_memory_stat(const struct cgroup_stats *s, const char *key);

#endif

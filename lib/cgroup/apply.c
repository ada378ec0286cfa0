/*
 * apply: resources to cgroup files (config-linux.md, Control groups). What is to
 * be written is a list first: the same for a plan, for a test and for the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup-int.h"
#include "os/fd.h"

/* --- conversions -------------------------------------------------------------------- */

/* log2 of a number >= 1: the binary digits of a logarithm come by squaring. */
static double log_2(double x)
{
	double r = 0, digit = 1;

	for (; x >= 2; x /= 2)
		r++;
	for (int i = 0; i < 60; i++) {
		digit /= 2;
		x *= x;
		if (x >= 2) {
			x /= 2;
			r += digit;
		}
	}
	return r;
}

/* 10^x for 0 <= x <= 4. */
static double power_of_10(double x)
{
	static const double ln10 = 2.302585092994045684;
	double r = 1, term = 1, whole = 1;

	for (; x >= 1; x--)
		whole *= 10;
	for (int i = 1; i < 40; i++) {
		term *= x * ln10 / i;
		r += term;
	}
	return whole * r;
}

uint64_t res_cpu_weight(uint64_t shares)
{
	double l, w;

	if (shares == 0)
		return 0;
	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log_2((double)shares);
	w = power_of_10((l * l + 125 * l) / 612 - 7.0 / 34);
	/* the next integer up; 1024 is 100, not what rounding makes of it */
	return (uint64_t)(w - 1e-9) + 1;
}

uint64_t res_io_weight(uint64_t weight)
{
	return weight ? 1 + (weight - 10) * 9999 / 990 : 0;
}

int res_swap_max(int64_t limit, int64_t swap, int64_t *ret, struct err *err)
{
	if (swap == 0) /* not given: no limit on memory is none on swap */
		*ret = limit == -1 ? -1 : 0;
	else if (swap == -1)
		*ret = -1;
	else if (limit == 0 || limit == -1)
		return err_set(err, ERR_INVALID,
			       "unable to set swap limit without memory limit");
	else if (swap < limit)
		return err_set(err, ERR_INVALID,
			       "memory+swap limit is below the memory "
			       "limit");
	else
		*ret = swap - limit;
	return 0;
}

/* --- the list ----------------------------------------------------------------------- */

struct setting {
	const char *controller, *file;
	char *value;
	bool optional; /* a file that not every kernel has: left out if it is missing */
};

struct settings {
	struct arena arena;
	struct setting list[256];
	size_t n;
};

__attribute__((format(printf, 5, 6))) static void put(struct settings *s, bool optional,
						      const char *controller,
						      const char *file, const char *fmt,
						      ...)
{
	char value[256];
	va_list ap;

	if (s->n == ARRAY_LEN(s->list))
		return;
	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	s->list[s->n++] = (struct setting){controller, file,
					   arena_strdup(&s->arena, value), optional};
}

static void put_limit(struct settings *s, const char *controller, const char *file,
		      int64_t v, const char *none)
{
	if (v == -1)
		put(s, false, controller, file, "%s", none);
	else
		put(s, false, controller, file, "%lld", (long long)v);
}

static void memory_v2(struct settings *s, const struct resources *r)
{
	struct err ignored;
	int64_t swap;

	if (r->has_limit)
		put_limit(s, "memory", "memory.max", r->limit, "max");
	if (r->has_reservation)
		put_limit(s, "memory", "memory.low", r->reservation, "max");
	if ((r->has_swap || (r->has_limit && r->limit == -1)) &&
	    res_swap_max(r->has_limit ? r->limit : 0, r->has_swap ? r->swap : 0, &swap,
			 &ignored) == 0) {
		put_limit(s, "memory", "memory.swap.max", swap, "max");
		/* a kernel without swap has no such file, and nothing to limit */
		s->list[s->n - 1].optional = true;
	}
}

static void memory_v1(struct settings *s, const struct resources *r)
{
	if (r->has_limit)
		put_limit(s, "memory", "memory.limit_in_bytes", r->limit, "-1");
	if (r->has_swap || (r->has_limit && r->limit == -1)) {
		put_limit(s, "memory", "memory.memsw.limit_in_bytes",
			  r->has_swap ? r->swap : -1, "-1");
		s->list[s->n - 1].optional = true;
	}
	if (r->has_reservation)
		put_limit(s, "memory", "memory.soft_limit_in_bytes", r->reservation,
			  "-1");
	if (r->has_swappiness)
		put(s, true, "memory", "memory.swappiness", "%llu",
		    (unsigned long long)r->swappiness);
	if (r->oom_disable)
		put(s, false, "memory", "memory.oom_control", "1");
}

static void cpu_v2(struct settings *s, const struct resources *r)
{
	if (r->has_idle)
		put(s, false, "cpu", "cpu.idle", "%lld", (long long)r->idle);
	if (r->has_shares)
		put(s, false, "cpu", "cpu.weight", "%llu",
		    (unsigned long long)res_cpu_weight(r->shares));
	if (r->has_quota || r->has_period) {
		unsigned long long period = r->has_period ? r->period : 100000;

		if (r->has_quota && r->quota > 0)
			put(s, false, "cpu", "cpu.max", "%lld %llu", (long long)r->quota,
			    period);
		else
			put(s, false, "cpu", "cpu.max", "max %llu", period);
	}
	if (r->has_burst)
		put(s, false, "cpu", "cpu.max.burst", "%llu",
		    (unsigned long long)r->burst);
}

static void cpu_v1(struct settings *s, const struct resources *r)
{
	if (r->has_shares)
		put(s, false, "cpu", "cpu.shares", "%llu", (unsigned long long)r->shares);
	if (r->has_period)
		put(s, false, "cpu", "cpu.cfs_period_us", "%llu",
		    (unsigned long long)r->period);
	if (r->has_quota)
		put(s, false, "cpu", "cpu.cfs_quota_us", "%lld",
		    (long long)(r->quota < 0 ? -1 : r->quota));
	if (r->has_burst)
		put(s, false, "cpu", "cpu.cfs_burst_us", "%llu",
		    (unsigned long long)r->burst);
	if (r->has_idle)
		put(s, false, "cpu", "cpu.idle", "%lld", (long long)r->idle);
}

static void io(struct settings *s, const struct resources *r, bool v1)
{
	static const struct {
		const char *key, *v1;
	} files[] = {{"rbps", "blkio.throttle.read_bps_device"},
		     {"wbps", "blkio.throttle.write_bps_device"},
		     {"riops", "blkio.throttle.read_iops_device"},
		     {"wiops", "blkio.throttle.write_iops_device"}};

	if (r->has_weight && v1)
		put(s, true, "blkio", "blkio.weight", "%llu",
		    (unsigned long long)r->weight);
	else if (r->has_weight) {
		put(s, true, "io", "io.bfq.weight", "%llu",
		    (unsigned long long)r->weight);
		put(s, true, "io", "io.weight", "%llu",
		    (unsigned long long)res_io_weight(r->weight));
	}
	for (size_t i = 0; i < r->nthrottles; i++) {
		const struct res_throttle *t = &r->throttles[i];

		for (size_t j = 0; v1 && j < ARRAY_LEN(files); j++)
			if (str_eq(files[j].key, t->key))
				put(s, false, "blkio", files[j].v1, "%u:%u %llu",
				    t->major, t->minor, (unsigned long long)t->rate);
		if (!v1)
			put(s, false, "io", "io.max", "%u:%u %s=%llu", t->major, t->minor,
			    t->key, (unsigned long long)t->rate);
	}
}

static void hugepages(struct settings *s, const struct resources *r, bool v1)
{
	for (size_t i = 0; i < r->nhugepages; i++) {
		const struct res_hugepage *h = &r->hugepages[i];
		char *file = arena_fmt(&s->arena, "hugetlb.%s.%s", h->size,
				       v1 ? "limit_in_bytes" : "max");
		char *rsvd = arena_fmt(&s->arena, "hugetlb.%s.rsvd.%s", h->size,
				       v1 ? "limit_in_bytes" : "max");

		put(s, false, "hugetlb", file, "%llu", (unsigned long long)h->limit);
		put(s, true, "hugetlb", rsvd, "%llu", (unsigned long long)h->limit);
	}
}

/* huge_v1: a controller that version 1 does not mount is left to the unified tree. */
static void collect(struct settings *s, const struct resources *r, bool v1, bool huge_v1)
{
	if (r->has_pids)
		put_limit(s, "pids", "pids.max", r->pids < 0 ? -1 : r->pids, "max");
	if (v1)
		memory_v1(s, r);
	else
		memory_v2(s, r);
	io(s, r, v1);
	if (v1)
		cpu_v1(s, r);
	else
		cpu_v2(s, r);
	if (!str_empty(r->cpus))
		put(s, false, "cpuset", "cpuset.cpus", "%s", r->cpus);
	if (!str_empty(r->mems))
		put(s, false, "cpuset", "cpuset.mems", "%s", r->mems);
	hugepages(s, r, huge_v1);
	for (size_t i = 0; !v1 && i < r->nunified; i++)
		put(s, false,
		    arena_strndup(&s->arena, r->unified[i].key,
				  strcspn(r->unified[i].key, ".")),
		    r->unified[i].key, "%s", r->unified[i].value);
}

void resources_print(const struct resources *r, bool v1, struct buf *out)
{
	struct settings *s = xcalloc(1, sizeof(*s));

	collect(s, r, v1, v1);
	for (size_t i = 0; i < s->n; i++)
		buf_add_fmt(out, "cgroup %s %s\n", s->list[i].file, s->list[i].value);
	for (size_t i = 0; i < r->nrules; i++) {
		const struct device_rule *d = &r->rules[i];
		char major[24] = "*", minor[24] = "*";

		if (d->major >= 0)
			snprintf(major, sizeof(major), "%lld", (long long)d->major);
		if (d->minor >= 0)
			snprintf(minor, sizeof(minor), "%lld", (long long)d->minor);
		buf_add_fmt(out, "cgroup-device %s %c %s:%s %s%s%s\n",
			    d->allow ? "allow" : "deny", d->type, major, minor,
			    d->access & DEVICE_READ ? "r" : "",
			    d->access & DEVICE_WRITE ? "w" : "",
			    d->access & DEVICE_MKNOD ? "m" : "");
	}
	arena_done(&s->arena);
	free(s);
}

/* --- devices ------------------------------------------------------------------------ */

/* What every container may use (config-linux.md, Default Devices), after the spec's
 * rules. */
static const struct device_rule always[] = {
	{true, 'c', -1, -1, DEVICE_MKNOD}, {true, 'b', -1, -1, DEVICE_MKNOD},
	{true, 'c', 1, 3, DEVICE_ALL},	   {true, 'c', 1, 5, DEVICE_ALL},
	{true, 'c', 1, 7, DEVICE_ALL},	   {true, 'c', 1, 8, DEVICE_ALL},
	{true, 'c', 1, 9, DEVICE_ALL},	   {true, 'c', 5, 0, DEVICE_ALL},
	{true, 'c', 5, 2, DEVICE_ALL},	   {true, 'c', 136, -1, DEVICE_ALL},
};

static struct device_rule *all_rules(const struct resources *r, size_t *ret_n)
{
	struct device_rule *all = xmalloc((r->nrules + ARRAY_LEN(always)) * sizeof(*all));

	if (r->nrules)
		memcpy(all, r->rules, r->nrules * sizeof(*all));
	memcpy(all + r->nrules, always, sizeof(always));
	*ret_n = r->nrules + ARRAY_LEN(always);
	return all;
}

static int write_rule(const struct cgroups *g, const char *path,
		      const struct device_rule *d, struct err *err)
{
	char text[80], major[24] = "*", minor[24] = "*";

	if (d->type == 'a')
		return cgroup_write(g, "devices", path,
				    d->allow ? "devices.allow" : "devices.deny", "a",
				    err);
	if (d->major >= 0)
		snprintf(major, sizeof(major), "%lld", (long long)d->major);
	if (d->minor >= 0)
		snprintf(minor, sizeof(minor), "%lld", (long long)d->minor);
	snprintf(text, sizeof(text), "%c %s:%s %s%s%s", d->type, major, minor,
		 d->access & DEVICE_READ ? "r" : "", d->access & DEVICE_WRITE ? "w" : "",
		 d->access & DEVICE_MKNOD ? "m" : "");
	return cgroup_write(g, "devices", path,
			    d->allow ? "devices.allow" : "devices.deny", text, err);
}

static int apply_devices(const struct cgroups *g, const char *path,
			 const struct resources *r, struct err *err)
{
	struct device_rule *rules;
	size_t n;
	int rc = 0;

	if (!r->has_rules)
		return 0;
	rules = all_rules(r, &n);
	if (cgroups_mode(g) == CGROUPS_V2) {
		FD_AUTO dir =
			cgroup_open(g, "cgroup", path, ".", O_RDONLY | O_DIRECTORY, err);

		rc = dir < 0 ? -1 : device_attach(dir, rules, n, err);
	} else if (cgroups_has(g, "devices")) {
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = write_rule(g, path, &rules[i], err);
	}
	free(rules);
	return rc < 0 ? err_wrap(err, "linux.resources.devices") : 0;
}

/* --- applying ----------------------------------------------------------------------- */

static int apply_one(const struct cgroups *g, const char *path, const struct setting *s,
		     struct err *err)
{
	if (cgroup_write(g, s->controller, path, s->file, s->value, err) == 0)
		return 0;
	if (s->optional && (err->sys == ENOENT || err->sys == EOPNOTSUPP))
		return 0;
	if (err->sys == ENOENT || (err->code == ERR_NOT_FOUND && !err->sys))
		return err_set(err, ERR_INVALID,
			       "linux.resources: %s: this host has no cgroup controller "
			       "\"%s\" for it",
			       s->file, s->controller);
	return err_wrap(err, "linux.resources");
}

/* A limit is raised before, and lowered after, the one that it must not exceed. */
static int apply_swapped(const struct cgroups *g, const char *path, struct settings *s,
			 size_t i, struct err *err)
{
	if (i + 1 < s->n && strstr(s->list[i + 1].file, "memsw") &&
	    apply_one(g, path, &s->list[i + 1], err) == 0)
		return apply_one(g, path, &s->list[i], err);
	return -1;
}

int resources_apply(const struct cgroups *g, const char *path, const struct resources *r,
		    struct err *err)
{
	struct settings *s = xcalloc(1, sizeof(*s));
	int rc = 0;

	collect(s, r, cgroups_mode(g) != CGROUPS_V2, !cgroups_is_v2(g, "hugetlb"));
	for (size_t i = 0; rc == 0 && i < s->n; i++) {
		rc = apply_one(g, path, &s->list[i], err);
		if (rc < 0 && (err->sys == EINVAL || err->sys == EBUSY))
			rc = apply_swapped(g, path, s, i, err);
	}
	arena_done(&s->arena);
	free(s);
	return rc < 0 ? -1 : apply_devices(g, path, r, err);
}

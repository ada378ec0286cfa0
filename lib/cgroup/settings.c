/*
 * settings: resources to lines of cgroup files (config-linux.md, Control groups). A list
 * first: the same for a plan, for a test and for the host.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cgroup/cgroup-int.h"

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

static void put_text(struct settings *s, enum setting_kind kind, const char *controller,
		     const char *file, const char *value)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 32;
		s->list = xrealloc(s->list, s->cap * sizeof(*s->list));
	}
	s->list[s->n++] = (struct setting){controller, file, value, kind};
}

__attribute__((format(printf, 5, 6))) static void put(struct settings *s,
						      enum setting_kind kind,
						      const char *controller,
						      const char *file, const char *fmt,
						      ...)
{
	char value[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	put_text(s, kind, controller, file, arena_strdup(&s->arena, value));
}

static void put_limit(struct settings *s, enum setting_kind kind, const char *controller,
		      const char *file, int64_t v, const char *none)
{
	if (v == -1)
		put(s, kind, controller, file, "%s", none);
	else
		put(s, kind, controller, file, "%lld", (long long)v);
}

static void put_u64(struct settings *s, enum setting_kind kind, const char *controller,
		    const char *file, uint64_t v)
{
	put(s, kind, controller, file, "%llu", (unsigned long long)v);
}

static void memory_v2(struct settings *s, const struct resources *r)
{
	struct err ignored;
	int64_t swap;

	if (r->has_limit)
		put_limit(s, SET_REQUIRED, "memory", "memory.max", r->limit, "max");
	if (r->has_reservation)
		put_limit(s, SET_REQUIRED, "memory", "memory.low", r->reservation, "max");
	/* a kernel without swap has no such file, and nothing to limit */
	if ((r->has_swap || (r->has_limit && r->limit == -1)) &&
	    res_swap_max(r->limit, r->has_swap ? r->swap : 0, &swap, &ignored) == 0)
		put_limit(s, SET_OPTIONAL, "memory", "memory.swap.max", swap, "max");
}

static void memory_v1(struct settings *s, const struct resources *r)
{
	if (r->has_limit)
		put_limit(s, SET_REQUIRED, "memory", "memory.limit_in_bytes", r->limit,
			  "-1");
	if (r->has_swap || (r->has_limit && r->limit == -1))
		put_limit(s, SET_OPTIONAL, "memory", "memory.memsw.limit_in_bytes",
			  r->has_swap ? r->swap : -1, "-1");
	if (r->has_reservation)
		put_limit(s, SET_REQUIRED, "memory", "memory.soft_limit_in_bytes",
			  r->reservation, "-1");
	if (r->has_swappiness)
		put_u64(s, SET_REQUIRED, "memory", "memory.swappiness", r->swappiness);
	if (r->oom_disable)
		put_text(s, SET_REQUIRED, "memory", "memory.oom_control", "1");
}

static void cpu_v2(struct settings *s, const struct resources *r)
{
	char quota[24] = "?", period[24] = "?";

	if (r->has_idle)
		put(s, SET_REQUIRED, "cpu", "cpu.idle", "%lld", (long long)r->idle);
	if (r->has_shares)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.weight", res_cpu_weight(r->shares));
	if (r->has_burst)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.max.burst", r->burst);
	if (r->has_quota && r->quota > 0)
		snprintf(quota, sizeof(quota), "%lld", (long long)r->quota);
	else if (r->has_quota)
		str_copy(quota, sizeof(quota), "max");
	if (r->has_period)
		snprintf(period, sizeof(period), "%llu", (unsigned long long)r->period);
	if (r->has_quota || r->has_period)
		put(s, SET_CPU_MAX, "cpu", "cpu.max", "%s %s", quota, period);
}

static void cpu_v1(struct settings *s, const struct resources *r)
{
	if (r->has_rt_period)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.rt_period_us", r->rt_period);
	if (r->has_rt_runtime)
		put(s, SET_REQUIRED, "cpu", "cpu.rt_runtime_us", "%lld",
		    (long long)r->rt_runtime);
	if (r->has_idle)
		put(s, SET_REQUIRED, "cpu", "cpu.idle", "%lld", (long long)r->idle);
	if (r->has_shares)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.shares", r->shares);
	if (r->has_burst)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.cfs_burst_us", r->burst);
	if (r->has_period)
		put_u64(s, SET_REQUIRED, "cpu", "cpu.cfs_period_us", r->period);
	if (r->has_quota)
		put(s, SET_REQUIRED, "cpu", "cpu.cfs_quota_us", "%lld",
		    (long long)(r->quota < 0 ? -1 : r->quota));
}

/* BFQ has files of its own: where they are they count, as the peers have it. */
static void io_v2(struct settings *s, const struct resources *r)
{
	if (r->weight) {
		put_u64(s, SET_OR_NEXT, "io", "io.bfq.weight", r->weight);
		put_u64(s, SET_REQUIRED, "io", "io.weight", res_io_weight(r->weight));
	}
	for (size_t i = 0; i < r->nweights; i++) {
		const struct res_weight_device *w = &r->weights[i];

		if (!w->weight)
			continue;
		put(s, SET_OR_NEXT, "io", "io.bfq.weight", "%u:%u %llu", w->major,
		    w->minor, (unsigned long long)w->weight);
		put(s, SET_REQUIRED, "io", "io.weight", "%u:%u %llu", w->major, w->minor,
		    (unsigned long long)res_io_weight(w->weight));
	}
	for (size_t i = 0; i < r->nthrottles; i++) {
		const struct res_throttle *t = &r->throttles[i];

		put(s, SET_REQUIRED, "io", "io.max", "%u:%u %s=%llu", t->major, t->minor,
		    t->key, (unsigned long long)t->rate);
	}
}

static void io_v1(struct settings *s, const struct resources *r)
{
	static const struct {
		const char *key, *file;
	} files[] = {{"rbps", "blkio.throttle.read_bps_device"},
		     {"wbps", "blkio.throttle.write_bps_device"},
		     {"riops", "blkio.throttle.read_iops_device"},
		     {"wiops", "blkio.throttle.write_iops_device"}};

	if (r->weight) {
		put_u64(s, SET_OR_NEXT, "blkio", "blkio.weight", r->weight);
		put_u64(s, SET_REQUIRED, "blkio", "blkio.bfq.weight", r->weight);
	}
	if (r->leaf_weight)
		put_u64(s, SET_REQUIRED, "blkio", "blkio.leaf_weight", r->leaf_weight);
	for (size_t i = 0; i < r->nweights; i++) {
		const struct res_weight_device *w = &r->weights[i];
		char *text = arena_fmt(&s->arena, "%u:%u %llu", w->major, w->minor,
				       (unsigned long long)w->weight);

		if (w->weight) {
			put_text(s, SET_OR_NEXT, "blkio", "blkio.weight_device", text);
			put_text(s, SET_REQUIRED, "blkio", "blkio.bfq.weight_device",
				 text);
		}
		if (w->leaf_weight)
			put(s, SET_REQUIRED, "blkio", "blkio.leaf_weight_device",
			    "%u:%u %llu", w->major, w->minor,
			    (unsigned long long)w->leaf_weight);
	}
	for (size_t i = 0; i < r->nthrottles; i++) {
		const struct res_throttle *t = &r->throttles[i];

		for (size_t j = 0; j < ARRAY_LEN(files); j++)
			if (str_eq(files[j].key, t->key))
				put(s, SET_REQUIRED, "blkio", files[j].file, "%u:%u %llu",
				    t->major, t->minor, (unsigned long long)t->rate);
	}
}

static void hugepages(struct settings *s, const struct resources *r, bool v1)
{
	const char *end = v1 ? "limit_in_bytes" : "max";

	for (size_t i = 0; i < r->nhugepages; i++) {
		const struct res_hugepage *h = &r->hugepages[i];

		put_u64(s, SET_REQUIRED, "hugetlb",
			arena_fmt(&s->arena, "hugetlb.%s.%s", h->size, end), h->limit);
		put_u64(s, SET_OPTIONAL, "hugetlb",
			arena_fmt(&s->arena, "hugetlb.%s.rsvd.%s", h->size, end),
			h->limit);
	}
}

static void rdma(struct settings *s, const struct resources *r)
{
	for (size_t i = 0; i < r->nrdma; i++) {
		const struct res_rdma *d = &r->rdma[i];
		char handles[32] = "", objects[32] = "";

		if (d->has_handles)
			snprintf(handles, sizeof(handles), " hca_handle=%llu",
				 (unsigned long long)d->handles);
		if (d->has_objects)
			snprintf(objects, sizeof(objects), " hca_object=%llu",
				 (unsigned long long)d->objects);
		put(s, SET_REQUIRED, "rdma", "rdma.max", "%s%s%s", d->device, handles,
		    objects);
	}
}

static void network(struct settings *s, const struct resources *r)
{
	if (r->has_class && r->class_id)
		put_u64(s, SET_REQUIRED, "net_cls", "net_cls.classid", r->class_id);
	for (size_t i = 0; i < r->npriorities; i++)
		put(s, SET_REQUIRED, "net_prio", "net_prio.ifpriomap", "%s %llu",
		    r->priorities[i].name, (unsigned long long)r->priorities[i].priority);
}

/* A file that takes one line at a time ("io.max") gets one at a time. */
static void unified(struct settings *s, const struct resources *r)
{
	for (size_t i = 0; i < r->nunified; i++) {
		const char *key = r->unified[i].key, *at = r->unified[i].value;
		char *controller = arena_strndup(&s->arena, key, strcspn(key, "."));

		do {
			size_t n = strcspn(at, "\n");

			put_text(s, SET_REQUIRED, controller, key,
				 arena_strndup(&s->arena, at, n));
			at += n + (at[n] == '\n');
		} while (*at);
	}
}

void settings_collect(struct settings *s, const struct resources *r,
		      const struct res_versions *v)
{
	if (r->has_pids)
		put_limit(s, SET_REQUIRED, "pids", "pids.max", r->pids < 0 ? -1 : r->pids,
			  "max");
	if (v->memory_v1)
		memory_v1(s, r);
	else
		memory_v2(s, r);
	if (v->io_v1)
		io_v1(s, r);
	else
		io_v2(s, r);
	if (v->cpu_v1)
		cpu_v1(s, r);
	else
		cpu_v2(s, r);
	if (!str_empty(r->cpus))
		put_text(s, SET_REQUIRED, "cpuset", "cpuset.cpus", r->cpus);
	if (!str_empty(r->mems))
		put_text(s, SET_REQUIRED, "cpuset", "cpuset.mems", r->mems);
	hugepages(s, r, v->huge_v1);
	rdma(s, r);
	network(s, r);
	if (v->unified)
		unified(s, r);
}

void settings_done(struct settings *s)
{
	arena_done(&s->arena);
	free(s->list);
}

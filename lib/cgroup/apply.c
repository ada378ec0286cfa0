/* apply: resources to the files of a group, and what would be written, as text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup-int.h"

/* --- printing ----------------------------------------------------------------------- */

/* "? 50000" with the words of have ("max 100000") in place of each "?". */
static char *merge_cpu_max(const char *want, const char *have, struct arena *a)
{
	size_t quota = strcspn(have, " \n"), first = strcspn(want, " ");
	const char *period = have + quota + strspn(have + quota, " ");
	const char *rest = want + first + (want[first] == ' ');

	return arena_fmt(a, "%.*s %.*s", *want == '?' ? (int)quota : (int)first,
			 *want == '?' ? have : want,
			 *rest == '?' ? (int)strcspn(period, "\n") : (int)strlen(rest),
			 *rest == '?' ? period : rest);
}

void resources_print(const struct resources *r, bool v1, struct buf *out)
{
	const struct res_versions v = {.memory_v1 = v1,
				       .cpu_v1 = v1,
				       .io_v1 = v1,
				       .huge_v1 = v1,
				       .unified = !v1};
	struct settings s = {0};

	settings_collect(&s, r, &v);
	for (size_t i = 0; i < s.n; i++) {
		const struct setting *t = &s.list[i];

		/* a new group's file says "max 100000" */
		buf_add_fmt(out, "cgroup %s %s\n", t->file,
			    t->kind == SET_CPU_MAX
				    ? merge_cpu_max(t->value, "max 100000", &s.arena)
				    : t->value);
	}
	settings_done(&s);
	device_rules_print(r, out);
}

bool resources_any(const struct resources *r)
{
	static const struct res_versions versions[] = {
		{.unified = true},
		{.memory_v1 = true, .cpu_v1 = true, .io_v1 = true, .huge_v1 = true},
	};
	bool any = r->has_swap; /* alone, it needs the present limit of memory */

	for (size_t i = 0; i < ARRAY_LEN(versions) && !any; i++) {
		struct settings s = {0};

		settings_collect(&s, r, &versions[i]);
		any = s.n > 0;
		settings_done(&s);
	}
	return any;
}

/* --- writing ------------------------------------------------------------------------ */

struct target {
	const struct cgroups *g;
	const char *path;
};

static bool is_missing(const struct err *err)
{
	return err->sys == ENOENT || (err->code == ERR_NOT_FOUND && !err->sys);
}

static int explain(const struct target *t, const struct setting *s, struct err *err)
{
	BUF_AUTO have = {0};
	BUF_AUTO peak = {0};
	struct err ignored;

	if (is_missing(err) && cgroups_has(t->g, s->controller))
		return err_set(err, ERR_INVALID,
			       "linux.resources: this kernel has no %s: No such file or "
			       "directory",
			       s->file);
	if (is_missing(err))
		return err_set(err, ERR_INVALID,
			       "linux.resources: %s: this host has no cgroup controller "
			       "\"%s\" for it",
			       s->file, s->controller);
	if (err->sys == EBUSY && str_eq(s->file, "memory.limit_in_bytes") &&
	    cgroup_read(t->g, "memory", t->path, "memory.usage_in_bytes", &have,
			&ignored) == 0 &&
	    cgroup_read(t->g, "memory", t->path, "memory.max_usage_in_bytes", &peak,
			&ignored) == 0)
		return err_set(err, ERR_STATE,
			       "unable to set memory limit to %s (current usage: %.*s, "
			       "peak usage: %.*s)",
			       s->value, (int)strcspn(buf_str(&have), "\n"),
			       buf_str(&have), (int)strcspn(buf_str(&peak), "\n"),
			       buf_str(&peak));
	return err_wrap(err, "linux.resources");
}

static int write_one(const struct target *t, const struct setting *s, struct arena *a,
		     struct err *err)
{
	const char *value = s->value;

	if (s->kind == SET_CPU_MAX) {
		BUF_AUTO have = {0};

		if (cgroup_read(t->g, s->controller, t->path, s->file, &have, err) < 0)
			return -1;
		value = merge_cpu_max(value, buf_str(&have), a);
	}
	return cgroup_write(t->g, s->controller, t->path, s->file, value, err);
}

/*
 * All in order. What the kernel refuses because it does not fit the old value of another
 * (a limit above memory+swap, a burst above the quota) is tried again behind the rest.
 */
static int write_all(const struct target *t, struct settings *s, struct err *err)
{
	size_t again[16], nagain = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct setting *one = &s->list[i];
		bool missing;

		if (write_one(t, one, &s->arena, err) == 0) {
			i += one->kind == SET_OR_NEXT;
			continue;
		}
		missing = is_missing(err) || err->sys == EOPNOTSUPP;
		if (missing && (one->kind == SET_OPTIONAL || one->kind == SET_OR_NEXT))
			continue;
		if ((err->sys == EINVAL || err->sys == EBUSY) &&
		    nagain < ARRAY_LEN(again)) {
			again[nagain++] = i;
			i += one->kind == SET_OR_NEXT;
			continue;
		}
		return explain(t, one, err);
	}
	for (size_t i = 0; i < nagain; i++)
		if (write_one(t, &s->list[again[i]], &s->arena, err) < 0)
			return explain(t, &s->list[again[i]], err);
	return 0;
}

/* What the other version cannot do is refused, not left out. */
static int check_versions(const struct resources *r, const struct res_versions *v,
			  struct err *err)
{
	const char *what = NULL;

	if (!v->memory_v1 && r->has_swappiness)
		what = "memory.swappiness";
	else if (!v->memory_v1 && r->oom_disable)
		what = "memory.disableOOMKiller";
	else if (!v->cpu_v1 && (r->has_rt_runtime || r->has_rt_period))
		what = "cpu.realtimeRuntime";
	else if (!v->io_v1 && r->leaf_weight)
		what = "blockIO.leafWeight";
	if (what)
		return err_set(err, ERR_INVALID,
			       "linux.resources.%s: cgroup version 2 has no such thing",
			       what);
	if (!v->unified && r->nunified)
		return err_set(err, ERR_INVALID,
			       "linux.resources.unified: cannot be used on cgroup v1");
	return 0;
}

static int check_unified(const struct cgroups *g, const struct resources *r,
			 struct err *err)
{
	for (size_t i = 0; i < r->nunified; i++) {
		const char *key = r->unified[i].key;
		size_t n = strcspn(key, ".");
		STR_AUTO controller = xstrndup(key, n);

		if (!str_eq(controller, "cgroup") && !cgroups_has(g, controller))
			return err_set(err, ERR_INVALID,
				       "linux.resources.unified: unified resource "
				       "\"%.80s\" can't be set: controller \"%.40s\" not "
				       "available",
				       key, controller);
	}
	return 0;
}

static bool is_v1(const struct cgroups *g, const char *controller)
{
	return cgroups_mode(g) != CGROUPS_V2 && !cgroups_is_v2(g, controller);
}

static int apply(const struct target *t, const struct resources *r, struct err *err)
{
	const struct res_versions v = {
		.memory_v1 = is_v1(t->g, "memory"),
		.cpu_v1 = is_v1(t->g, "cpu"),
		.io_v1 = is_v1(t->g, "io"),
		.huge_v1 = is_v1(t->g, "hugetlb"),
		.unified = cgroups_mode(t->g) == CGROUPS_V2,
	};
	struct settings s = {0};
	int rc;

	if (check_versions(r, &v, err) < 0 || check_unified(t->g, r, err) < 0)
		return -1;
	settings_collect(&s, r, &v);
	rc = write_all(t, &s, err);
	settings_done(&s);
	return rc;
}

int resources_apply(const struct cgroups *g, const char *path, const struct resources *r,
		    struct err *err)
{
	const struct target t = {g, path};

	return apply(&t, r, err) < 0 ? -1 : device_rules_apply(g, path, r, err);
}

/* --- updates ------------------------------------------------------------------------ */

static bool read_number(const struct target *t, const char *controller, const char *file,
			uint64_t *ret)
{
	BUF_AUTO text = {0};
	struct text_line l;
	struct err ignored;
	const char *at;

	if (cgroup_read(t->g, controller, t->path, file, &text, &ignored) < 0)
		return false;
	at = buf_str(&text);
	return text_line(&at, &l) && l.n && text_u64(&l.word[0], ret);
}

/* memory.checkBeforeUpdate: version 2 would kill, version 1 refuses by itself. */
static int check_usage(const struct target *t, const struct resources *r, struct err *err)
{
	uint64_t now = 0, swap = 0;

	if (!r->check_usage || is_v1(t->g, "memory") ||
	    !read_number(t, "memory", "memory.current", &now))
		return 0;
	if (r->has_limit && r->limit > 0 && (uint64_t)r->limit < now)
		return err_set(err, ERR_INVALID,
			       "rejecting memory limit %lld < usage %llu",
			       (long long)r->limit, (unsigned long long)now);
	if (r->has_swap && r->swap > 0 &&
	    read_number(t, "memory", "memory.swap.current", &swap) &&
	    (uint64_t)r->swap < now + swap)
		return err_set(err, ERR_INVALID,
			       "rejecting memory+swap limit %lld < usage %llu",
			       (long long)r->swap, (unsigned long long)(now + swap));
	return 0;
}

/* A limit of memory and swap alone: version 2 needs the one of memory to take it off. */
static int complete_swap(const struct target *t, struct resources *r, struct err *err)
{
	uint64_t limit;
	int64_t ignored;

	if (!r->has_swap)
		return 0;
	if (!r->has_limit && !is_v1(t->g, "memory") &&
	    read_number(t, "memory", "memory.max", &limit))
		r->limit = limit > INT64_MAX ? -1 : (int64_t)limit;
	if ((r->has_limit || !is_v1(t->g, "memory")) &&
	    res_swap_max(r->limit, r->swap, &ignored, err) < 0)
		return err_wrap(err, "resources.memory.swap");
	return 0;
}

/* The period that the quota is of now. */
static bool read_period(const struct target *t, uint64_t *ret)
{
	BUF_AUTO text = {0};
	struct text_line l;
	struct err ignored;
	const char *at;

	if (is_v1(t->g, "cpu"))
		return read_number(t, "cpu", "cpu.cfs_period_us", ret);
	if (cgroup_read(t->g, "cpu", t->path, "cpu.max", &text, &ignored) < 0)
		return false;
	at = buf_str(&text);
	return text_line(&at, &l) && l.n == 2 && text_u64(&l.word[1], ret);
}

/* The quota that the period is of now: UINT64_MAX is none. */
static bool read_quota(const struct target *t, uint64_t *ret)
{
	/* "-1" of version 1 is no number */
	if (!is_v1(t->g, "cpu"))
		return read_number(t, "cpu", "cpu.max", ret);
	if (!read_number(t, "cpu", "cpu.cfs_quota_us", ret))
		*ret = UINT64_MAX;
	return true;
}

int resources_complete(const struct cgroups *g, const char *path, struct resources *r,
		       struct err *err)
{
	const struct target t = {g, path};
	uint64_t v;

	if (r->has_quota && !r->has_period)
		r->has_period = read_period(&t, &r->period);
	if (r->has_period && !r->has_quota && read_quota(&t, &v)) {
		r->has_quota = true;
		r->quota = v > INT64_MAX ? -1 : (int64_t)v;
	}
	return complete_swap(&t, r, err);
}

int resources_update(const struct cgroups *g, const char *path, const struct resources *r,
		     struct err *err)
{
	const struct target t = {g, path};
	struct resources whole = *r;

	if (complete_swap(&t, &whole, err) < 0 || check_usage(&t, r, err) < 0)
		return -1;
	return apply(&t, &whole, err);
}

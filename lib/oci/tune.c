/*
 * tune: how a process runs: scheduler, I/O priority, CPU affinity, personality, memory
 * policy (config.md, Linux Process; config-linux.md, Personality, Memory Policy). From
 * JSON, and to the kernel.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"

struct name_value {
	const char *name;
	uint64_t value;
};

static const struct name_value policies[] = {
	{"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},	      {"SCHED_BATCH", 3},
	{"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6},
};
enum { FIFO = 1, RR = 2, DEADLINE = 6 };

static const struct name_value sched_flags[] = {
	{"SCHED_FLAG_RESET_ON_FORK", 1},   {"SCHED_FLAG_RECLAIM", 2},
	{"SCHED_FLAG_DL_OVERRUN", 4},	   {"SCHED_FLAG_KEEP_POLICY", 8},
	{"SCHED_FLAG_KEEP_PARAMS", 16},	   {"SCHED_FLAG_UTIL_CLAMP_MIN", 32},
	{"SCHED_FLAG_UTIL_CLAMP_MAX", 64},
};

static const struct name_value io_classes[] = {
	{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};

static const struct name_value domains[] = {{"LINUX", PER_LINUX},
					    {"LINUX32", PER_LINUX32}};

enum { MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL };
static const struct name_value mempolicies[] = {
	{"MPOL_DEFAULT", MPOL_DEFAULT},	 {"MPOL_PREFERRED", MPOL_PREFERRED},
	{"MPOL_BIND", MPOL_BIND},	 {"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
	{"MPOL_LOCAL", MPOL_LOCAL},	 {"MPOL_PREFERRED_MANY", 5},
	{"MPOL_WEIGHTED_INTERLEAVE", 6},
};

enum { BALANCING = 1 << 13, RELATIVE = 1 << 14, STATIC = 1 << 15 };
static const struct name_value mempolicy_flags[] = {
	{"MPOL_F_NUMA_BALANCING", BALANCING},
	{"MPOL_F_RELATIVE_NODES", RELATIVE},
	{"MPOL_F_STATIC_NODES", STATIC},
};

static int lookup(const struct name_value *list, size_t n, const char *name,
		  const char *where, const char *key, uint64_t *ret, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i].name, name)) {
			*ret = list[i].value;
			return 0;
		}
	return err_set(err, ERR_INVALID, "%s.%s: unknown \"%.80s\"", where, key, name);
}

static int lookup_all(yyjson_val *obj, const char *where, const struct name_value *list,
		      size_t n, struct arena *a, uint64_t *ret, struct err *err)
{
	const char *const *names = NULL;
	size_t nnames = 0;
	uint64_t bit;

	if (json_opt_strs(obj, where, "flags", a, &names, &nnames, err) < 0)
		return -1;
	for (size_t i = 0; i < nnames; i++) {
		if (lookup(list, n, names[i], where, "flags", &bit, err) < 0)
			return -1;
		*ret |= bit;
	}
	return 0;
}

/* --- lists -------------------------------------------------------------------------- */

int oci_parse_list(const char *text, const char *where, struct oci_bits *ret,
		   struct err *err)
{
	STR_AUTO copy = xstrdup(text);
	char *at = copy, *word;

	memset(ret, 0, sizeof(*ret));
	while ((word = strsep(&at, ","))) {
		char *dash = strchr(word, '-');
		uint64_t first, last;

		if (dash)
			*dash++ = 0;
		if (num_u64(word, 0, OCI_BITS - 1, &first) < 0 ||
		    num_u64(dash ? dash : word, first, OCI_BITS - 1, &last) < 0)
			return err_set(err, ERR_INVALID,
				       "%s: \"%.80s\" is not a list like 0-3,7", where,
				       text);
		for (uint64_t i = first; i <= last; i++)
			ret->words[i / OCI_WORD] |= 1UL << i % OCI_WORD;
	}
	return 0;
}

/* --- from JSON ---------------------------------------------------------------------- */

static int check_scheduler(const struct oci_scheduler *s, yyjson_val *obj,
			   const char *where, struct err *err)
{
	static const char *const deadline[] = {"runtime", "deadline", "period"};

	if (s->priority && s->policy != FIFO && s->policy != RR)
		return err_set(
			err, ERR_INVALID,
			"%s.priority: scheduler.priority can only be specified for "
			"SCHED_FIFO or SCHED_RR policy",
			where);
	for (size_t i = 0; i < ARRAY_LEN(deadline); i++)
		if (json_u64(obj, deadline[i], 0) && s->policy != DEADLINE)
			return err_set(err, ERR_INVALID,
				       "%s.%s: scheduler runtime/deadline/period can "
				       "only be specified for SCHED_DEADLINE policy",
				       where, deadline[i]);
	if (s->policy != DEADLINE)
		return 0;
	/* sched_setattr(2); a period that is not given is the deadline */
	if (!s->runtime || !s->deadline)
		return err_set(err, ERR_INVALID, "%s.%s: SCHED_DEADLINE needs one", where,
			       s->runtime ? "deadline" : "runtime");
	if (s->runtime > s->deadline || (s->period && s->deadline > s->period))
		return err_set(err, ERR_INVALID,
			       "%s: SCHED_DEADLINE needs runtime <= deadline <= period",
			       where);
	return 0;
}

static int parse_scheduler(yyjson_val *p, const char *process, struct arena *a,
			   struct oci_process *ret, struct err *err)
{
	char *where = arena_fmt(a, "%s.scheduler", process);
	struct oci_scheduler *s;
	const char *policy = NULL;
	int64_t nice = 0, priority = 0;
	yyjson_val *obj;

	if (json_opt_obj(p, process, "scheduler", &obj, err) < 0)
		return -1;
	if (!obj)
		return 0;
	s = arena_alloc(a, sizeof(*s));
	if (json_opt_str(obj, where, "policy", a, &policy, err) < 0)
		return -1;
	if (str_empty(policy))
		return err_set(err, ERR_INVALID,
			       "%s.policy: scheduler policy is required", where);
	if (lookup(policies, ARRAY_LEN(policies), policy, where, "policy", &s->policy,
		   err) < 0 ||
	    lookup_all(obj, where, sched_flags, ARRAY_LEN(sched_flags), a, &s->flags,
		       err) < 0 ||
	    json_opt_i64(obj, where, "nice", -20, 19, &nice, NULL, err) < 0 ||
	    json_opt_i64(obj, where, "priority", 0, 99, &priority, NULL, err) < 0 ||
	    json_opt_u64(obj, where, "runtime", INT64_MAX, &s->runtime, NULL, err) < 0 ||
	    json_opt_u64(obj, where, "deadline", INT64_MAX, &s->deadline, NULL, err) <
		    0 ||
	    json_opt_u64(obj, where, "period", INT64_MAX, &s->period, NULL, err) < 0)
		return -1;
	s->nice = (int32_t)nice;
	s->priority = (uint32_t)priority;
	ret->scheduler = s;
	return check_scheduler(s, obj, where, err);
}

static int parse_io_priority(yyjson_val *p, const char *process, struct arena *a,
			     struct oci_process *ret, struct err *err)
{
	char *where = arena_fmt(a, "%s.ioPriority", process);
	const char *class = NULL;
	uint64_t priority = 0, kind;
	yyjson_val *obj;

	if (json_opt_obj(p, process, "ioPriority", &obj, err) < 0)
		return -1;
	if (!obj)
		return 0;
	if (json_want_str(obj, where, "class", &class, err) < 0 ||
	    lookup(io_classes, ARRAY_LEN(io_classes), class, where, "class", &kind, err) <
		    0 ||
	    json_opt_u64(obj, where, "priority", 7, &priority, NULL, err) < 0)
		return -1;
	ret->has_io_priority = true;
	ret->io_priority = (int)(kind << 13 | priority);
	return 0;
}

int oci_parse_tuning(yyjson_val *p, const char *process, struct arena *a,
		     struct oci_process *ret, struct err *err)
{
	char *where = arena_fmt(a, "%s.execCPUAffinity", process);
	struct oci_bits ignored;
	yyjson_val *obj;

	if (parse_scheduler(p, process, a, ret, err) < 0 ||
	    parse_io_priority(p, process, a, ret, err) < 0 ||
	    json_opt_obj(p, process, "execCPUAffinity", &obj, err) < 0 ||
	    json_opt_str(obj, where, "initial", a, &ret->cpus_initial, err) < 0 ||
	    json_opt_str(obj, where, "final", a, &ret->cpus_final, err) < 0)
		return -1;
	if (!str_empty(ret->cpus_initial) &&
	    oci_parse_list(ret->cpus_initial, arena_fmt(a, "%s.initial", where), &ignored,
			   err) < 0)
		return -1;
	if (!str_empty(ret->cpus_final) &&
	    oci_parse_list(ret->cpus_final, arena_fmt(a, "%s.final", where), &ignored,
			   err) < 0)
		return -1;
	return 0;
}

int oci_parse_personality(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			  struct err *err)
{
	const char *where = "linux.personality", *domain = NULL;
	const char *const *flags = NULL;
	uint64_t value;
	size_t n = 0;
	yyjson_val *obj;

	if (json_opt_obj(lin, "linux", "personality", &obj, err) < 0)
		return -1;
	if (!obj)
		return 0;
	if (json_want_str(obj, where, "domain", &domain, err) < 0 ||
	    lookup(domains, ARRAY_LEN(domains), domain, where, "domain", &value, err) <
		    0 ||
	    json_opt_strs(obj, where, "flags", a, &flags, &n, err) < 0)
		return -1;
	if (n)
		return err_set(err, ERR_INVALID,
			       "%s.flags: no flag is defined, \"%.80s\" is given", where,
			       flags[0]);
	s->has_personality = true;
	s->personality = value;
	return 0;
}

static int check_mempolicy(const struct oci_mempolicy *m, const char *where,
			   struct err *err)
{
	bool without = m->mode == MPOL_DEFAULT || m->mode == MPOL_LOCAL;

	if (without && m->nodes)
		return err_set(err, ERR_INVALID, "%s.nodes: not for this mode", where);
	if (without && m->flags)
		return err_set(err, ERR_INVALID, "%s.flags: not for this mode", where);
	if (!without && m->mode != MPOL_PREFERRED && !m->nodes)
		return err_set(err, ERR_INVALID, "%s.nodes: missing for this mode",
			       where);
	if (m->mode == MPOL_PREFERRED && !m->nodes && m->flags)
		return err_set(err, ERR_INVALID, "%s.flags: not without nodes", where);
	if ((m->flags & RELATIVE) && (m->flags & STATIC))
		return err_set(err, ERR_INVALID,
			       "%s.flags: MPOL_F_RELATIVE_NODES and "
			       "MPOL_F_STATIC_NODES exclude each other",
			       where);
	return 0;
}

int oci_parse_mempolicy(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			struct err *err)
{
	const char *where = "linux.memoryPolicy", *mode = NULL;
	struct oci_mempolicy *m;
	struct oci_bits ignored;
	yyjson_val *obj;

	if (json_opt_obj(lin, "linux", "memoryPolicy", &obj, err) < 0)
		return -1;
	if (!obj)
		return 0;
	m = arena_alloc(a, sizeof(*m));
	if (json_want_str(obj, where, "mode", &mode, err) < 0 ||
	    lookup(mempolicies, ARRAY_LEN(mempolicies), mode, where, "mode", &m->mode,
		   err) < 0 ||
	    json_opt_str(obj, where, "nodes", a, &m->nodes, err) < 0 ||
	    lookup_all(obj, where, mempolicy_flags, ARRAY_LEN(mempolicy_flags), a,
		       &m->flags, err) < 0)
		return -1;
	if (str_empty(m->nodes))
		m->nodes = NULL;
	if (m->nodes &&
	    oci_parse_list(m->nodes, "linux.memoryPolicy.nodes", &ignored, err) < 0)
		return -1;
	s->mempolicy = m;
	return check_mempolicy(m, where, err);
}

/* --- as text ------------------------------------------------------------------------ */

static const char *name_of(const struct name_value *list, size_t n, uint64_t value)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].value == value)
			return list[i].name;
	return "?";
}

static void print_flags(const struct name_value *list, size_t n, uint64_t bits,
			struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		if (list[i].value & bits)
			buf_add_fmt(out, " %s", list[i].name);
}

void oci_print_tuning(const struct oci_spec *s, const struct oci_process *p,
		      struct buf *out)
{
	const struct oci_scheduler *c = p->scheduler;
	const struct oci_mempolicy *m = s->mempolicy;

	if (c) {
		buf_add_fmt(out, "scheduler %s nice=%d priority=%u %llu/%llu/%llu",
			    name_of(policies, ARRAY_LEN(policies), c->policy),
			    (int)c->nice, (unsigned)c->priority,
			    (unsigned long long)c->runtime,
			    (unsigned long long)c->deadline,
			    (unsigned long long)c->period);
		print_flags(sched_flags, ARRAY_LEN(sched_flags), c->flags, out);
		buf_add_char(out, '\n');
	}
	if (p->has_io_priority)
		buf_add_fmt(out, "io-priority %s %d\n",
			    name_of(io_classes, ARRAY_LEN(io_classes),
				    (uint64_t)p->io_priority >> 13),
			    p->io_priority & 7);
	if (!str_empty(p->cpus_initial))
		buf_add_fmt(out, "exec-cpus initial %s\n", p->cpus_initial);
	if (!str_empty(p->cpus_final))
		buf_add_fmt(out, "exec-cpus final %s\n", p->cpus_final);
	if (s->has_personality)
		buf_add_fmt(out, "personality %s\n",
			    name_of(domains, ARRAY_LEN(domains), s->personality));
	if (m) {
		buf_add_fmt(out, "memory-policy %s",
			    name_of(mempolicies, ARRAY_LEN(mempolicies), m->mode));
		if (m->nodes)
			buf_add_fmt(out, " nodes=%s", m->nodes);
		print_flags(mempolicy_flags, ARRAY_LEN(mempolicy_flags), m->flags, out);
		buf_add_char(out, '\n');
	}
}

/* --- to the kernel ------------------------------------------------------------------ */

/* struct sched_attr (sched_setattr(2)), which libc lacks. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

int oci_tune(const struct oci_process *p, pid_t pid, struct err *err)
{
	enum { WHO_PROCESS = 1 };
	const struct oci_scheduler *s = p->scheduler;

	if (s) {
		struct sched_attributes at = {
			.size = sizeof(at),
			.policy = (uint32_t)s->policy,
			.flags = s->flags,
			.nice = s->nice,
			.priority = s->priority,
			.runtime = s->runtime,
			.deadline = s->deadline,
			.period = s->period,
		};

		if (syscall(SYS_sched_setattr, pid, &at, 0) < 0)
			return err_sys(err, errno, "process.scheduler %s",
				       name_of(policies, ARRAY_LEN(policies), s->policy));
	}
	if (p->has_io_priority &&
	    syscall(SYS_ioprio_set, WHO_PROCESS, pid, p->io_priority) < 0 &&
	    /* the starter, with more rights, may have done it */
	    (errno != EPERM ||
	     syscall(SYS_ioprio_get, WHO_PROCESS, pid) != p->io_priority))
		return err_sys(err, errno, "process.ioPriority");
	return 0;
}

int oci_set_cpus(const char *list, const char *what, struct err *err)
{
	struct oci_bits bits;

	if (str_empty(list))
		memset(&bits, 0xff, sizeof(bits));
	else if (oci_parse_list(list, what, &bits, err) < 0)
		return -1;
	/* for "all" the kernel takes those that there are */
	if (syscall(SYS_sched_setaffinity, 0, sizeof(bits), &bits) < 0 &&
	    !str_empty(list))
		return err_sys(err, errno, "%s %s", what, list);
	return 0;
}

int oci_apply_memory(const struct oci_spec *s, struct err *err)
{
	const struct oci_mempolicy *m = s->mempolicy;
	struct oci_bits nodes;

	if (s->has_personality && personality((unsigned long)s->personality) < 0)
		return err_sys(err, errno, "linux.personality %s",
			       name_of(domains, ARRAY_LEN(domains), s->personality));
	if (!m)
		return 0;
	if (m->nodes &&
	    oci_parse_list(m->nodes, "linux.memoryPolicy.nodes", &nodes, err) < 0)
		return -1;
	if (syscall(SYS_set_mempolicy, (int)(m->mode | m->flags),
		    m->nodes ? nodes.words : NULL, m->nodes ? OCI_BITS + 1 : 0) < 0)
		return err_sys(err, errno, "linux.memoryPolicy %s",
			       name_of(mempolicies, ARRAY_LEN(mempolicies), m->mode));
	return 0;
}

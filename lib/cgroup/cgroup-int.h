/* cgroup-int: what the parts of cgroup share. */
#ifndef CGROUP_CGROUP_INT_H
#define CGROUP_CGROUP_INT_H

#include "cgroup/cgroup.h"

/* --- conversions -------------------------------------------------------------------- */

/* cpu.weight for cpu.shares: ceil(10^((l^2+125l)/612-7/34)), l = log2(shares). */
uint64_t res_cpu_weight(uint64_t shares);
/* io.weight for blkio's weight. */
uint64_t res_io_weight(uint64_t weight);
/* memory.swap.max from memory+swap and memory. 0 or -1; *ret -1 is "max". */
int res_swap_max(int64_t limit, int64_t swap, int64_t *ret, struct err *err);

/*
 * What r does not say but depends on is read from the group: the period of a quota, the
 * quota of a period, the limit that one of memory and swap is above. 0 or -1.
 */
int resources_complete(const struct cgroups *g, const char *path, struct resources *r,
		       struct err *err);

/* --- settings ----------------------------------------------------------------------- */

/* A line to be written to a file. */
struct setting {
	const char *controller, *file;
	const char *value;
	enum setting_kind {
		SET_REQUIRED,
		SET_OPTIONAL, /* a file that not every kernel has, and can be missed */
		SET_OR_NEXT,  /* if it is missing, the next one takes its place */
		SET_CPU_MAX,  /* "?" in it stands for what the file says now */
	} kind;
};

struct settings {
	struct arena arena;
	struct setting *list;
	size_t n, cap;
};

/* Which version has what, on a host that may have both. */
struct res_versions {
	bool memory_v1, cpu_v1, io_v1, huge_v1;
	bool unified; /* there is nothing of version 1 */
};

/* What is to be written for r, in order. */
void settings_collect(struct settings *s, const struct resources *r,
		      const struct res_versions *v);
void settings_done(struct settings *s);

/* --- devices ------------------------------------------------------------------------ */

/* r's rules, and what every container may use behind them. Allocated; the caller frees. */
struct device_rule *device_rules(const struct resources *r, size_t *ret_n);
void device_rules_print(const struct resources *r, struct buf *out);
int device_rules_apply(const struct cgroups *g, const char *path,
		       const struct resources *r, struct err *err);

/*
 * Whether the lists of version 1 can say what the rules mean: they cannot deny a part of
 * what an earlier rule allows. 0 or -1.
 */
int device_rules_check_v1(const struct device_rule *rules, size_t n, struct err *err);

/* The device program of version 2: struct bpf_insn[]. */
void device_program(const struct device_rule *rules, size_t n, struct buf *ret);
/* Attaches it to a group; programs that were there before are replaced. 0 or -1. */
int device_attach(int cgroup_fd, const struct device_rule *rules, size_t n,
		  struct err *err);

/* --- text --------------------------------------------------------------------------- */

/* A line's words, at most 8 of them: parts of the text, not ended by NUL. */
struct text_word {
	const char *s;
	size_t len;
};
struct text_line {
	struct text_word word[8];
	size_t n;
};

/* The line at *at, and *at behind it. False at the end. */
bool text_line(const char **at, struct text_line *ret);
bool text_is(const struct text_word *w, const char *s);
/* A number; "max" is UINT64_MAX. */
bool text_u64(const struct text_word *w, uint64_t *ret);
/* "8:16" */
bool text_device(const struct text_word *w, uint32_t *ret_major, uint32_t *ret_minor);
/* The value of "key=value". */
bool text_value(const struct text_word *w, const char *key, struct text_word *ret);
/* A pressure file (PSI). */
void text_pressure(const char *text, struct cgroup_pressure *ret);

/* Whether it is a list of cpus or memory nodes, "0-3,8" (cpuset(7)). 0 or -1. */
int cpuset_check(const char *text);

#endif

/* events: what a container uses, and when it runs out of memory, as runc tells it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "base/time.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "wire/json.h"

/* --- statistics as JSON ------------------------------------------------------------- */

/* What is zero is left out (runc's omitempty). */
static void add_some(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, uint64_t v)
{
	if (v)
		json_add_u64(d, obj, key, v);
}

static void add_stall(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		      const struct cgroup_stall *s)
{
	yyjson_mut_val *v = json_add_obj(d, obj, key);

	yyjson_mut_obj_add_real(d, v, "avg10", s->avg10 / 100.0);
	yyjson_mut_obj_add_real(d, v, "avg60", s->avg60 / 100.0);
	yyjson_mut_obj_add_real(d, v, "avg300", s->avg300 / 100.0);
	json_add_u64(d, v, "total", s->total);
}

static void add_pressure(yyjson_mut_doc *d, yyjson_mut_val *obj,
			 const struct cgroup_pressure *p)
{
	yyjson_mut_val *v;

	if (!p->present)
		return;
	v = json_add_obj(d, obj, "psi");
	add_stall(d, v, "some", &p->some);
	add_stall(d, v, "full", &p->full);
}

static void add_cpu(yyjson_mut_doc *d, yyjson_mut_val *data, const struct cgroup_stats *s)
{
	yyjson_mut_val *cpu = json_add_obj(d, data, "cpu");
	yyjson_mut_val *usage = json_add_obj(d, cpu, "usage"), *throttling, *all, *kernel,
		       *user;

	add_some(d, usage, "total", s->cpu_total);
	if (s->npercpu) {
		all = json_add_arr(d, usage, "percpu");
		kernel = json_add_arr(d, usage, "percpu_kernel");
		user = json_add_arr(d, usage, "percpu_user");
		for (size_t i = 0; i < s->npercpu; i++) {
			const struct cgroup_cpu *c = &s->percpu[i];

			yyjson_mut_arr_add_uint(d, all, c->user + c->kernel);
			yyjson_mut_arr_add_uint(d, kernel, c->kernel);
			yyjson_mut_arr_add_uint(d, user, c->user);
		}
	}
	json_add_u64(d, usage, "kernel", s->cpu_kernel);
	json_add_u64(d, usage, "user", s->cpu_user);
	throttling = json_add_obj(d, cpu, "throttling");
	add_some(d, throttling, "periods", s->periods);
	add_some(d, throttling, "throttledPeriods", s->throttled_periods);
	add_some(d, throttling, "throttledTime", s->throttled_time);
	add_pressure(d, cpu, &s->cpu_pressure);
}

static void add_list(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
		     const char *text)
{
	uint8_t bits[CPUSET_MAX / 8];
	yyjson_mut_val *arr;

	if (!*text || cpuset_parse(text, bits) < 0)
		return;
	arr = json_add_arr(d, obj, key);
	for (uint64_t i = 0; i < CPUSET_MAX; i++)
		if (bits[i / 8] >> i % 8 & 1)
			yyjson_mut_arr_add_uint(d, arr, i);
}

static void add_cpuset(yyjson_mut_doc *d, yyjson_mut_val *data,
		       const struct cgroup_stats *s)
{
	static const char *const flags[] = {
		"cpu_exclusive",   "mem_hardwall",	 "mem_exclusive",
		"memory_migrate",  "memory_spread_page", "memory_spread_slab",
		"memory_pressure", "sched_load_balance", "sched_relax_domain_level",
	};
	yyjson_mut_val *v = json_add_obj(d, data, "cpuset");

	add_list(d, v, "cpus", s->cpus);
	add_list(d, v, "mems", s->mems);
	for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
		uint64_t value = 0;

		for (size_t i = 0; i < s->ncpuset; i++)
			if (str_eq(s->cpuset[i].key, flags[k]))
				value = s->cpuset[i].value;
		if (value == UINT64_MAX)
			json_add_i64(d, v, flags[k], -1);
		else
			json_add_u64(d, v, flags[k], value);
	}
}

static void add_memory_entry(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
			     const struct cgroup_mem *m)
{
	yyjson_mut_val *v = json_add_obj(d, obj, key);

	json_add_u64(d, v, "limit", m->limit);
	add_some(d, v, "usage", m->usage);
	add_some(d, v, "max", m->peak);
	json_add_u64(d, v, "failcnt", m->failures);
}

static void add_memory(yyjson_mut_doc *d, yyjson_mut_val *data,
		       const struct cgroup_stats *s)
{
	yyjson_mut_val *v = json_add_obj(d, data, "memory"), *raw;

	add_some(d, v, "cache", s->cache);
	add_memory_entry(d, v, "usage", &s->memory);
	add_memory_entry(d, v, "swap", &s->swap);
	add_memory_entry(d, v, "kernel", &s->kernel);
	add_memory_entry(d, v, "kernelTCP", &s->kernel_tcp);
	if (s->nmemory_stat) {
		raw = json_add_obj(d, v, "raw");
		for (size_t i = 0; i < s->nmemory_stat; i++)
			json_add_u64(d, raw, s->memory_stat[i].key,
				     s->memory_stat[i].value);
	}
	add_pressure(d, v, &s->memory_pressure);
}

static void add_blkio(yyjson_mut_doc *d, yyjson_mut_val *data,
		      const struct cgroup_stats *s)
{
	static const char *const names[CGROUP_IO_KINDS] = {
		[CGROUP_IO_BYTES] = "ioServiceBytesRecursive",
		[CGROUP_IO_OPS] = "ioServicedRecursive",
		[CGROUP_IO_QUEUED] = "ioQueueRecursive",
		[CGROUP_IO_SERVICE_TIME] = "ioServiceTimeRecursive",
		[CGROUP_IO_WAIT_TIME] = "ioWaitTimeRecursive",
		[CGROUP_IO_MERGED] = "ioMergedRecursive",
		[CGROUP_IO_TIME] = "ioTimeRecursive",
		[CGROUP_IO_SECTORS] = "sectorsRecursive",
	};
	yyjson_mut_val *lists[CGROUP_IO_KINDS] = {NULL},
		       *v = json_add_obj(d, data, "blkio"), *e;

	for (size_t i = 0; i < s->nio; i++) {
		const struct cgroup_io *io = &s->io[i];

		if (!lists[io->kind])
			lists[io->kind] = json_add_arr(d, v, names[io->kind]);
		e = yyjson_mut_arr_add_obj(d, lists[io->kind]);
		add_some(d, e, "major", io->major);
		add_some(d, e, "minor", io->minor);
		if (*io->op)
			json_add_str(d, e, "op", io->op);
		add_some(d, e, "value", io->value);
	}
	add_pressure(d, v, &s->io_pressure);
}

static void add_stats(yyjson_mut_doc *d, yyjson_mut_val *data,
		      const struct cgroup_stats *s)
{
	yyjson_mut_val *v;

	add_cpu(d, data, s);
	add_cpuset(d, data, s);
	add_memory(d, data, s);
	v = json_add_obj(d, data, "pids");
	add_some(d, v, "current", s->pids);
	add_some(d, v, "limit", s->pids_limit == UINT64_MAX ? 0 : s->pids_limit);
	add_blkio(d, data, s);
	v = json_add_obj(d, data, "hugetlb");
	for (size_t i = 0; i < s->nhuge; i++) {
		yyjson_mut_val *e = json_add_obj(d, v, s->huge[i].size);

		add_some(d, e, "usage", s->huge[i].usage);
		add_some(d, e, "max", s->huge[i].peak);
		json_add_u64(d, e, "failcnt", s->huge[i].failures);
	}
	json_add_obj(d, data, "intel_rdt");
	yyjson_mut_obj_add_null(d, data, "network_interfaces");
}

/* --- events ------------------------------------------------------------------------- */

struct watch {
	const struct ctr *c;
	const struct cgroups *g;
	int pidfd;
	int oom;	/* readable when the kernel has something to say; -1 */
	uint64_t kills; /* how many have been told */
	unsigned again; /* looks that are still due: version 1 tells before it kills */
};

enum { AGAIN = 25, AGAIN_MS = 20 };

static int print_event(const struct watch *w, const char *type, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	struct cgroup_stats s;
	ARENA_AUTO a = {0};
	BUF_AUTO out = {0};

	json_add_str(d, root, "type", type);
	json_add_str(d, root, "id", w->c->id);
	if (str_eq(type, "stats")) {
		if (cgroup_stats(w->g, w->c->cgroup, CGROUP_STATS_ALL, &a, &s, err) < 0)
			return -1;
		add_stats(d, json_add_obj(d, root, "data"), &s);
	}
	json_write(d, false, &out);
	buf_add_char(&out, '\n');
	return cli_print(&out, err);
}

/* Version 1: an eventfd that counts (cgroup-v1/memory.rst, OOM Control). */
static int watch_v1(const struct watch *w)
{
	FD_AUTO control = -1;
	FD_AUTO event = -1;
	struct err ignored;
	char text[32];

	control = cgroup_open(w->g, "memory", w->c->cgroup, "memory.oom_control",
			      O_RDONLY, &ignored);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control < 0 || event < 0)
		return -1;
	snprintf(text, sizeof(text), "%d %d", event, control);
	if (cgroup_write(w->g, "memory", w->c->cgroup, "cgroup.event_control", text,
			 &ignored) < 0)
		return -1;
	return fd_take(&event);
}

/* Version 2: memory.events is modified (cgroup-v2.rst, Memory). */
static int watch_v2(const struct watch *w)
{
	FD_AUTO file = -1;
	FD_AUTO fd = -1;
	struct err ignored;
	char path[FD_PATH];

	file = cgroup_open(w->g, "memory", w->c->cgroup, "memory.events", O_RDONLY,
			   &ignored);
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (file < 0 || fd < 0 ||
	    inotify_add_watch(fd, fd_path(path, file), IN_MODIFY) < 0)
		return -1;
	return fd_take(&fd);
}

/* Each kill is an event. Version 1 also tells when the group goes. */
static int tell_kills(struct watch *w, struct err *err)
{
	uint64_t kills = cgroup_oom_kills(w->g, w->c->cgroup);

	for (; w->kills < kills; w->kills++, w->again = 0)
		if (print_event(w, "oom", err) < 0)
			return -1;
	return 0;
}

static void on_oom(struct watch *w)
{
	char drain[4096];

	while (read(w->oom, drain, sizeof(drain)) > 0)
		;
	w->again = AGAIN;
}

static int follow(struct watch *w, int64_t interval, struct err *err)
{
	int64_t next = time_mono() + interval;

	for (;;) {
		struct pollfd p[] = {{.fd = w->pidfd, .events = POLLIN},
				     {.fd = w->oom, .events = POLLIN}};
		int64_t left = (next - time_mono() + NS_PER_MS - 1) / NS_PER_MS;

		left = MIN(MAX(left, 0), w->again ? AGAIN_MS : INT32_MAX);
		if (poll(p, ARRAY_LEN(p), (int)left) < 0 && errno != EINTR)
			return err_sys(err, errno, "poll");
		w->again -= w->again > 0;
		if (p[1].revents)
			on_oom(w);
		if (tell_kills(w, err) < 0)
			return -1;
		if (p[0].revents)
			return 0; /* the container has ended */
		if (time_mono() < next)
			continue;
		if (print_event(w, "stats", err) < 0)
			return -1;
		next += interval;
	}
}

static int events(const struct ctr *c, const struct cgroups *g, int64_t interval,
		  bool once, struct err *err)
{
	struct watch w = {.c = c, .g = g, .oom = -1};
	FD_AUTO pidfd = -1;
	FD_AUTO oom = -1;

	pidfd = ctr_pidfd(c, err);
	if (pidfd < 0)
		return err_set(err, ERR_STATE, "container with id %s is not running",
			       c->id);
	if (!g || !*c->cgroup)
		return err_set(err, ERR_STATE, "container %s has no cgroup", c->id);
	if (once)
		return print_event(&w, "stats", err);
	oom = cgroups_is_v2(g, "memory") ? watch_v2(&w) : watch_v1(&w);
	w.oom = oom;
	w.pidfd = pidfd;
	w.kills = cgroup_oom_kills(g, c->cgroup);
	return follow(&w, interval, err);
}

int cmd_events(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	static const struct option flags[] = {
		{"interval", 1, NULL, 'i'}, {"stats", 2, NULL, 's'}, {NULL, 0, NULL, 0}};
	int64_t interval = 5 * NS_PER_SEC;
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	bool once = false;
	int f, r = -1;

	while ((f = cli_flag(argc, argv, "", flags, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 's')
			once = cli_switch(optarg);
		else if (num_duration(optarg, &interval) < 0 || interval <= 0)
			return err_set(err, ERR_INVALID,
				       "duration interval must be greater than 0: %.40s",
				       optarg);
	}
	if (ctr_open(cli, argc, argv, &c, &g, err) == 0)
		r = events(&c, g, interval, once, err);
	ctr_close(&c, g);
	return r;
}

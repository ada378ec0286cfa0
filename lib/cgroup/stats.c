/* stats: what a group has used, of either version. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "cgroup/cgroup-int.h"
#include "os/fd.h"

enum { MAX_ENTRIES = 4096, USEC = 1000 /* ns */ };

struct reader {
	const struct cgroups *g;
	const char *path;
	struct arena *arena;
	struct cgroup_stats *s;
	struct buf text;
};

/* The text of a file; NULL if there is none. Good until the next call. */
static const char *read_file(struct reader *r, const char *controller, const char *file)
{
	struct err ignored;

	buf_reset(&r->text);
	if (cgroup_read(r->g, controller, r->path, file, &r->text, &ignored) < 0)
		return NULL;
	return buf_str(&r->text);
}

static uint64_t read_u64(struct reader *r, const char *controller, const char *file)
{
	const char *text = read_file(r, controller, file);
	struct text_line l;
	uint64_t v;

	return text && text_line(&text, &l) && l.n && text_u64(&l.word[0], &v) ? v : 0;
}

/* The limits of version 1 that mean none: just below 2^63, rounded to a page. */
static uint64_t limit_v1(uint64_t v)
{
	return v >= (uint64_t)INT64_MAX - 65536 ? UINT64_MAX : v;
}

static uint64_t value_of(const struct text_line *l, const char *key, uint64_t old)
{
	uint64_t v;

	return l->n == 2 && text_is(&l->word[0], key) && text_u64(&l->word[1], &v) ? v
										   : old;
}

/* A list of n entries with room for one more; it doubles when it is full. */
static void *grow(struct arena *a, void *list, size_t n, size_t size)
{
	void *more;

	if (n && (n < 16 || (n & (n - 1))))
		return list;
	more = arena_array(a, n ? 2 * n : 16, size);
	if (n)
		memcpy(more, list, n * size);
	return more;
}

static struct cgroup_count *add_count(struct reader *r, struct cgroup_count **list,
				      size_t *n)
{
	*list = grow(r->arena, *list, *n, sizeof(**list));
	return &(*list)[(*n)++];
}

/* --- cpu ---------------------------------------------------------------------------- */

static void cpu_v2(struct reader *r)
{
	const char *text = read_file(r, "cpu", "cpu.stat");
	struct cgroup_stats *s = r->s;
	struct text_line l;

	/* without the controller the times are told all the same */
	if (!text)
		text = read_file(r, "", "cpu.stat");
	while (text && text_line(&text, &l)) {
		s->cpu_total = value_of(&l, "usage_usec", s->cpu_total);
		s->cpu_user = value_of(&l, "user_usec", s->cpu_user);
		s->cpu_kernel = value_of(&l, "system_usec", s->cpu_kernel);
		s->periods = value_of(&l, "nr_periods", s->periods);
		s->throttled_periods = value_of(&l, "nr_throttled", s->throttled_periods);
		s->throttled_time = value_of(&l, "throttled_usec", s->throttled_time);
	}
	s->cpu_total *= USEC;
	s->cpu_user *= USEC;
	s->cpu_kernel *= USEC;
	s->throttled_time *= USEC;
}

/* "cpu user system", then a line for each processor. */
static void percpu_v1(struct reader *r)
{
	const char *text = read_file(r, "cpuacct", "cpuacct.usage_all");
	struct cgroup_stats *s = r->s;
	uint64_t cpu, user, kernel;
	struct text_line l;

	if (!text || !text_line(&text, &l))
		return;
	while (text_line(&text, &l) && s->npercpu < MAX_ENTRIES) {
		if (l.n != 3 || !text_u64(&l.word[0], &cpu) ||
		    !text_u64(&l.word[1], &user) || !text_u64(&l.word[2], &kernel))
			continue;
		s->percpu = grow(r->arena, s->percpu, s->npercpu, sizeof(*s->percpu));
		s->percpu[s->npercpu++] = (struct cgroup_cpu){user, kernel};
	}
}

static void cpu_v1(struct reader *r)
{
	uint64_t tick = NS_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	const char *text = read_file(r, "cpuacct", "cpuacct.stat");
	struct cgroup_stats *s = r->s;
	struct text_line l;

	while (text && text_line(&text, &l)) {
		s->cpu_user = value_of(&l, "user", s->cpu_user);
		s->cpu_kernel = value_of(&l, "system", s->cpu_kernel);
	}
	s->cpu_user *= tick;
	s->cpu_kernel *= tick;
	s->cpu_total = read_u64(r, "cpuacct", "cpuacct.usage");
	text = read_file(r, "cpu", "cpu.stat");
	while (text && text_line(&text, &l)) {
		s->periods = value_of(&l, "nr_periods", s->periods);
		s->throttled_periods = value_of(&l, "nr_throttled", s->throttled_periods);
		s->throttled_time = value_of(&l, "throttled_time", s->throttled_time);
	}
}

/* --- memory ------------------------------------------------------------------------- */

static void memory_stat(struct reader *r, const char *cache)
{
	const char *text = read_file(r, "memory", "memory.stat");
	struct cgroup_stats *s = r->s;
	struct text_line l;
	uint64_t v;

	while (text && text_line(&text, &l) && s->nmemory_stat < MAX_ENTRIES)
		if (l.n == 2 && text_u64(&l.word[1], &v)) {
			struct cgroup_count *c =
				add_count(r, &s->memory_stat, &s->nmemory_stat);

			c->key = arena_strndup(r->arena, l.word[0].s, l.word[0].len);
			c->value = v;
		}
	s->cache = cgroup_memory_stat(s, cache);
}

static void memory_v2(struct reader *r)
{
	struct cgroup_mem *m = &r->s->memory, *swap = &r->s->swap;
	const char *text;
	struct text_line l;

	memory_stat(r, "file");
	m->usage = read_u64(r, "memory", "memory.current");
	m->peak = read_u64(r, "memory", "memory.peak");
	m->limit = read_u64(r, "memory", "memory.max");
	text = read_file(r, "memory", "memory.events");
	while (text && text_line(&text, &l))
		m->failures = value_of(&l, "max", m->failures);
	swap->usage = read_u64(r, "memory", "memory.swap.current") + m->usage;
	swap->peak = read_u64(r, "memory", "memory.swap.peak");
	swap->limit = read_u64(r, "memory", "memory.swap.max");
	if (swap->limit != UINT64_MAX)
		swap->limit = m->limit == UINT64_MAX ? m->limit : swap->limit + m->limit;
}

static void memory_entry_v1(struct reader *r, const char *prefix, struct cgroup_mem *ret)
{
	char file[64];

	*ret = (struct cgroup_mem){0};
	snprintf(file, sizeof(file), "%susage_in_bytes", prefix);
	ret->usage = read_u64(r, "memory", file);
	snprintf(file, sizeof(file), "%smax_usage_in_bytes", prefix);
	ret->peak = read_u64(r, "memory", file);
	snprintf(file, sizeof(file), "%slimit_in_bytes", prefix);
	ret->limit = limit_v1(read_u64(r, "memory", file));
	snprintf(file, sizeof(file), "%sfailcnt", prefix);
	ret->failures = read_u64(r, "memory", file);
}

static void memory_v1(struct reader *r)
{
	memory_stat(r, "cache");
	memory_entry_v1(r, "memory.", &r->s->memory);
	memory_entry_v1(r, "memory.memsw.", &r->s->swap);
	memory_entry_v1(r, "memory.kmem.", &r->s->kernel);
	memory_entry_v1(r, "memory.kmem.tcp.", &r->s->kernel_tcp);
}

uint64_t cgroup_memory_stat(const struct cgroup_stats *s, const char *key)
{
	for (size_t i = 0; i < s->nmemory_stat; i++)
		if (str_eq(s->memory_stat[i].key, key))
			return s->memory_stat[i].value;
	return 0;
}

/* --- block devices ------------------------------------------------------------------ */

static void add_io(struct reader *r, enum cgroup_io_kind kind, const uint32_t device[2],
		   const char *op, size_t op_len, uint64_t value)
{
	struct cgroup_stats *s = r->s;

	if (s->nio >= MAX_ENTRIES)
		return;
	s->io = grow(r->arena, s->io, s->nio, sizeof(*s->io));
	s->io[s->nio++] = (struct cgroup_io){kind, device[0], device[1],
					     arena_strndup(r->arena, op, op_len), value};
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" */
static void io_v2(struct reader *r)
{
	static const struct {
		const char *key;
		enum cgroup_io_kind kind;
		const char *op;
	} kinds[] = {{"rbytes", CGROUP_IO_BYTES, "Read"},
		     {"wbytes", CGROUP_IO_BYTES, "Write"},
		     {"rios", CGROUP_IO_OPS, "Read"},
		     {"wios", CGROUP_IO_OPS, "Write"}};
	const char *text = read_file(r, "io", "io.stat");
	struct text_line l;
	uint32_t device[2];

	while (text && text_line(&text, &l)) {
		if (l.n < 2 || !text_device(&l.word[0], &device[0], &device[1]))
			continue;
		for (size_t i = 1; i < l.n; i++)
			for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
				struct text_word w;
				uint64_t v;

				if (text_value(&l.word[i], kinds[k].key, &w) &&
				    text_u64(&w, &v))
					add_io(r, kinds[k].kind, device, kinds[k].op,
					       strlen(kinds[k].op), v);
			}
	}
}

/* "8:0 Read 123", or "8:0 123" */
static bool io_file_v1(struct reader *r, const char *file, enum cgroup_io_kind kind)
{
	const char *text = read_file(r, "blkio", file);
	struct text_line l;
	uint32_t device[2];
	bool any = false;
	uint64_t v;

	while (text && text_line(&text, &l)) {
		if (l.n < 2 || l.n > 3 || !text_u64(&l.word[l.n - 1], &v) ||
		    !text_device(&l.word[0], &device[0], &device[1]))
			continue;
		add_io(r, kind, device, l.n == 3 ? l.word[1].s : "",
		       l.n == 3 ? l.word[1].len : 0, v);
		any = true;
	}
	return any;
}

static void io_v1(struct reader *r)
{
	static const struct {
		const char *file;
		enum cgroup_io_kind kind;
	} files[] = {{"blkio.bfq.io_queued_recursive", CGROUP_IO_QUEUED},
		     {"blkio.bfq.io_service_time_recursive", CGROUP_IO_SERVICE_TIME},
		     {"blkio.bfq.io_wait_time_recursive", CGROUP_IO_WAIT_TIME},
		     {"blkio.bfq.io_merged_recursive", CGROUP_IO_MERGED},
		     {"blkio.bfq.time_recursive", CGROUP_IO_TIME},
		     {"blkio.bfq.sectors_recursive", CGROUP_IO_SECTORS}};

	/* what BFQ does not schedule is counted by the throttle alone */
	if (!io_file_v1(r, "blkio.bfq.io_service_bytes_recursive", CGROUP_IO_BYTES))
		io_file_v1(r, "blkio.throttle.io_service_bytes_recursive",
			   CGROUP_IO_BYTES);
	if (!io_file_v1(r, "blkio.bfq.io_serviced_recursive", CGROUP_IO_OPS))
		io_file_v1(r, "blkio.throttle.io_serviced_recursive", CGROUP_IO_OPS);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		io_file_v1(r, files[i].file, files[i].kind);
}

/* --- the rest ----------------------------------------------------------------------- */

static void add_huge(struct reader *r, const char *size, bool v1)
{
	struct cgroup_stats *s = r->s;
	struct cgroup_huge h = {.size = arena_strdup(r->arena, size)};
	char file[128];

	if (s->nhuge >= 16)
		return;
	s->huge = grow(r->arena, s->huge, s->nhuge, sizeof(*s->huge));
	snprintf(file, sizeof(file), "hugetlb.%s.%s", size,
		 v1 ? "usage_in_bytes" : "current");
	h.usage = read_u64(r, "hugetlb", file);
	snprintf(file, sizeof(file), "hugetlb.%s.%s", size, v1 ? "failcnt" : "events");
	if (v1)
		h.failures = read_u64(r, "hugetlb", file);
	else
		h.failures = cgroup_stat(r->g, "hugetlb", r->path, file, "max", 0);
	if (v1) {
		snprintf(file, sizeof(file), "hugetlb.%s.max_usage_in_bytes", size);
		h.peak = read_u64(r, "hugetlb", file);
	}
	s->huge[s->nhuge++] = h;
}

/* The sizes are found by the names of the files. */
static void huge(struct reader *r)
{
	bool v1 = !cgroups_is_v2(r->g, "hugetlb");
	const char *end = v1 ? ".usage_in_bytes" : ".current";
	struct err ignored;
	struct dirent *e;
	DIR *d;
	int fd;

	if (!cgroups_has(r->g, "hugetlb"))
		return;
	fd = cgroup_open(r->g, "hugetlb", r->path, ".", O_RDONLY | O_DIRECTORY, &ignored);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return;
	while ((e = readdir(d))) {
		const char *size = e->d_name + strlen("hugetlb.");
		STR_AUTO name = NULL;

		if (!str_starts(e->d_name, "hugetlb.") || !str_ends(size, end))
			continue;
		name = xstrndup(size, strlen(size) - strlen(end));
		if (!strchr(name, '.')) /* "2MB.rsvd" */
			add_huge(r, name, v1);
	}
	closedir(d);
}

static void cpuset(struct reader *r)
{
	static const char *const flags[] = {
		"cpu_exclusive",   "mem_hardwall",	 "mem_exclusive",
		"memory_migrate",  "memory_spread_page", "memory_spread_slab",
		"memory_pressure", "sched_load_balance", "sched_relax_domain_level",
	};
	struct cgroup_stats *s = r->s;
	const char *text;

	if (cgroups_is_v2(r->g, "cpuset") || !cgroups_has(r->g, "cpuset"))
		return;
	if ((text = read_file(r, "cpuset", "cpuset.cpus")))
		s->cpus = arena_strndup(r->arena, text, strcspn(text, "\n"));
	if ((text = read_file(r, "cpuset", "cpuset.mems")))
		s->mems = arena_strndup(r->arena, text, strcspn(text, "\n"));
	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		struct cgroup_count *c = add_count(r, &s->cpuset, &s->ncpuset);
		char file[64];

		snprintf(file, sizeof(file), "cpuset.%s", flags[i]);
		c->key = flags[i];
		text = read_file(r, "cpuset", file);
		c->value = text && *text == '-' ? UINT64_MAX /* -1: the default */
						: read_u64(r, "cpuset", file);
	}
}

static void pids(struct reader *r)
{
	r->s->has_pids = cgroups_has(r->g, "pids");
	r->s->pids = read_u64(r, "pids", "pids.current");
	r->s->pids_limit = read_u64(r, "pids", "pids.max");
}

static void pressure(struct reader *r, const char *file, struct cgroup_pressure *ret)
{
	const char *text = read_file(r, "", file);

	if (text)
		text_pressure(text, ret);
}

int cgroup_stats(const struct cgroups *g, const char *path, unsigned what,
		 struct arena *a, struct cgroup_stats *ret, struct err *err)
{
	struct reader r = {.g = g, .path = path, .arena = a, .s = ret};

	*ret = (struct cgroup_stats){.cpus = "", .mems = ""};
	if (!cgroup_exists(g, path))
		return err_set(err, ERR_NOT_FOUND, "cgroup %s does not exist", path);
	if (what & CGROUP_STATS_CPU)
		(cgroups_has(g, "cpuacct") ? cpu_v1 : cpu_v2)(&r);
	if (what & CGROUP_STATS_MEMORY)
		(cgroups_is_v2(g, "memory") ? memory_v2 : memory_v1)(&r);
	if (what & CGROUP_STATS_PIDS)
		pids(&r);
	if (what & CGROUP_STATS_IO)
		(cgroups_is_v2(g, "io") ? io_v2 : io_v1)(&r);
	if (what & CGROUP_STATS_OTHER) {
		percpu_v1(&r);
		huge(&r);
		cpuset(&r);
	}
	if (what & CGROUP_STATS_PRESSURE) {
		pressure(&r, "cpu.pressure", &ret->cpu_pressure);
		pressure(&r, "memory.pressure", &ret->memory_pressure);
		pressure(&r, "io.pressure", &ret->io_pressure);
	}
	buf_done(&r.text);
	return 0;
}

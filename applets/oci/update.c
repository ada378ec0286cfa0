/* update: a running container's limits. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/rdt.h"
#include "oci/cli.h"
#include "os/fd.h"
#include "os/file.h"
#include "wire/json.h"

enum { MAX_RESOURCES = 1 << 20 };

/* How a flag's value is written, and where in the resources object it belongs. */
enum value_kind { NUMBER, SIZE, TEXT, IGNORED, L3, MB };

static const struct update_flag {
	const char *flag, *object, *member;
	enum value_kind kind;
} flags[] = {
	{"blkio-weight", "blockIO", "weight", NUMBER},
	{"cpu-burst", "cpu", "burst", NUMBER},
	{"cpu-idle", "cpu", "idle", NUMBER},
	{"cpu-period", "cpu", "period", NUMBER},
	{"cpu-quota", "cpu", "quota", NUMBER},
	{"cpu-rt-period", "cpu", "realtimePeriod", NUMBER},
	{"cpu-rt-runtime", "cpu", "realtimeRuntime", NUMBER},
	{"cpu-share", "cpu", "shares", NUMBER},
	{"cpuset-cpus", "cpu", "cpus", TEXT},
	{"cpuset-mems", "cpu", "mems", TEXT},
	{"kernel-memory", "memory", "kernel", IGNORED},
	{"kernel-memory-tcp", "memory", "kernelTCP", IGNORED},
	{"memory", "memory", "limit", SIZE},
	{"memory-reservation", "memory", "reservation", SIZE},
	{"memory-swap", "memory", "swap", SIZE},
	{"pids-limit", "pids", "limit", NUMBER},
	{"l3-cache-schema", NULL, NULL, L3},
	{"mem-bw-schema", NULL, NULL, MB},
};

enum { FLAG_FIRST = 256, NFLAGS = ARRAY_LEN(flags) };

struct update {
	const char *file; /* "-": standard input */
	yyjson_mut_doc *doc;
	struct rdt rdt;
};

static int add(struct update *u, const struct update_flag *f, const char *text,
	       struct err *err)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(u->doc), *obj;
	uint64_t size = 0;
	int64_t n = -1;

	if (f->kind == L3)
		u->rdt.l3 = text;
	if (f->kind == MB)
		u->rdt.mb = text;
	if (!f->object || f->kind == IGNORED)
		return 0;
	obj = yyjson_mut_obj_get(root, f->object);
	if (!obj)
		obj = json_add_obj(u->doc, root, f->object);
	yyjson_mut_obj_remove_key(obj, f->member);
	if (f->kind == TEXT) {
		json_add_str(u->doc, obj, f->member, text);
		return 0;
	}
	if (f->kind == SIZE && !str_eq(text, "-1")) {
		if (num_size(text, &size) < 0 || size > INT64_MAX)
			return err_set(err, ERR_INVALID,
				       "invalid value for %s: \"%.40s\" is no size",
				       f->flag, text);
		n = (int64_t)size;
	} else if (num_i64(text, INT64_MIN, INT64_MAX, &n) < 0) {
		return err_set(err, ERR_INVALID,
			       "invalid value for %s: \"%.40s\" is no number", f->flag,
			       text);
	}
	if (n < 0)
		json_add_i64(u->doc, obj, f->member, n);
	else
		json_add_u64(u->doc, obj, f->member, (uint64_t)n);
	return 0;
}

static int parse(struct update *u, int argc, char **argv, struct err *err)
{
	struct option longs[NFLAGS + 2] = {{"resources", 1, NULL, 'r'}};
	int f;

	for (int i = 0; i < (int)NFLAGS; i++)
		longs[i + 1] = (struct option){flags[i].flag, 1, NULL, FLAG_FIRST + i};
	while ((f = cli_flag(argc, argv, "r:", longs, err)) != -1) {
		if (f == -2)
			return -1;
		if (f == 'r')
			u->file = optarg;
		else if (add(u, &flags[f - FLAG_FIRST], optarg, err) < 0)
			return -1;
	}
	return 0;
}

/* The resources object: the file's, else the flags'. */
static int read_resources(struct update *u, struct buf *text, struct err *err)
{
	if (!u->file) {
		json_write(u->doc, false, text);
		return 0;
	}
	if (str_eq(u->file, "-"))
		return fd_read_all(0, MAX_RESOURCES, text, err);
	return file_read(AT_FDCWD, u->file, MAX_RESOURCES, text, err);
}

static int update_rdt(const struct update *u, struct ctr *c, struct err *err)
{
	const struct rdt *has;
	struct rdt r = u->rdt;

	if (!r.l3 && !r.mb)
		return 0;
	if (ctr_load_spec(c, err) < 0)
		return -1;
	has = oci_spec_rdt(c->spec);
	if (!has || !rdt_available())
		return err_set(err, ERR_INVALID,
			       "updating l3-cache-schema or mem-bw-schema: the container "
			       "has no Intel RDT group");
	r.clos_id = has->clos_id;
	return rdt_update(&r, c->id, err);
}

static int update(struct update *u, struct ctr *c, const struct cgroups *g,
		  struct err *err)
{
	struct resources r;
	BUF_AUTO text = {0};

	if (ctr_status(c, NULL) == CTR_STOPPED)
		return err_set(err, ERR_STATE, "container not running");
	if (read_resources(u, &text, err) < 0 ||
	    resources_parse(text.data, text.len, &c->arena, &r, err) < 0)
		return -1;
	/* what a container may open does not change behind its back */
	r.has_rules = false;
	r.nrules = 0;
	if (resources_any(&r) && group_update(c, g, &r, err) < 0)
		return -1;
	return update_rdt(u, c, err);
}

int cmd_update(const struct oci_cli *cli, int argc, char **argv, struct err *err)
{
	JSON_MUT_AUTO doc = json_new();
	struct update u = {.doc = doc};
	struct cgroups *g = NULL;
	struct ctr c = {.dir = -1};
	int r = -1;

	if (parse(&u, argc, argv, err) == 0 &&
	    ctr_open(cli, argc, argv, &c, &g, err) == 0)
		r = update(&u, &c, g, err);
	ctr_close(&c, g);
	return r;
}

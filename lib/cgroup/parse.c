/* parse: the runtime-spec's "resources" object (config-linux.md, Control groups). */
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/cgroup-int.h"
#include "wire/json_opt.h"

static int parse_access(const char *text, const char *at, unsigned *ret, struct err *err)
{
	*ret = 0;
	for (const char *p = text; *p; p++) {
		if (!strchr("rwm", *p))
			return err_set(err, ERR_INVALID, "%s.access: \"%s\"", at, text);
		*ret |= *p == 'r' ? DEVICE_READ : *p == 'w' ? DEVICE_WRITE : DEVICE_MKNOD;
	}
	if (!*text)
		*ret = DEVICE_ALL;
	return 0;
}

static int parse_rules(yyjson_val *obj, const char *where, struct arena *a,
		       struct resources *r, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "devices", &arr, err) < 0)
		return -1;
	r->has_rules = arr != NULL;
	r->rules = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->rules));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.devices[%zu]", where, r->nrules);
		struct device_rule *d = &r->rules[r->nrules++];
		const char *type = "a", *access = "";

		d->major = d->minor = -1;
		if (json_opt_bool(v, at, "allow", &d->allow, err) < 0 ||
		    json_opt_str(v, at, "type", a, &type, err) < 0 ||
		    json_opt_str(v, at, "access", a, &access, err) < 0 ||
		    json_opt_i64(v, at, "major", -1, 0xfff, &d->major, NULL, err) < 0 ||
		    json_opt_i64(v, at, "minor", -1, 0xfffff, &d->minor, NULL, err) < 0 ||
		    parse_access(access, at, &d->access, err) < 0)
			return -1;
		if (!*type)
			type = "a";
		if (strlen(type) != 1 || !strchr("acb", *type))
			return err_set(err, ERR_INVALID, "%s.type: unknown \"%s\"", at,
				       type);
		d->type = *type;
	}
	return 0;
}

static int parse_memory(yyjson_val *obj, const char *where, struct arena *a,
			struct resources *r, struct err *err)
{
	char *at = arena_fmt(a, "%s.memory", where);
	int64_t ignored;
	yyjson_val *v;

	if (json_opt_obj(obj, where, "memory", &v, err) < 0 ||
	    json_opt_i64(v, at, "limit", -1, INT64_MAX, &r->limit, &r->has_limit, err) <
		    0 ||
	    json_opt_i64(v, at, "reservation", -1, INT64_MAX, &r->reservation,
			 &r->has_reservation, err) < 0 ||
	    json_opt_i64(v, at, "swap", -1, INT64_MAX, &r->swap, &r->has_swap, err) < 0 ||
	    json_opt_u64(v, at, "swappiness", 100, &r->swappiness, &r->has_swappiness,
			 err) < 0 ||
	    json_opt_bool(v, at, "disableOOMKiller", &r->oom_disable, err) < 0 ||
	    json_opt_bool(v, at, "checkBeforeUpdate", &r->check_usage, err) < 0 ||
	    /* kernels have none of these any more (config-linux.md: not recommended) */
	    json_opt_i64(v, at, "kernel", -1, INT64_MAX, &ignored, NULL, err) < 0 ||
	    json_opt_i64(v, at, "kernelTCP", -1, INT64_MAX, &ignored, NULL, err) < 0 ||
	    json_opt_bool(v, at, "useHierarchy", &(bool){false}, err) < 0)
		return -1;
	/* 0 is "not given", as runc has it */
	r->has_limit = r->has_limit && r->limit != 0;
	r->has_reservation = r->has_reservation && r->reservation != 0;
	r->has_swap = r->has_swap && r->swap != 0;
	return 0;
}

static int parse_cpu(yyjson_val *obj, const char *where, struct arena *a,
		     struct resources *r, struct err *err)
{
	char *at = arena_fmt(a, "%s.cpu", where);
	yyjson_val *v;

	if (json_opt_obj(obj, where, "cpu", &v, err) < 0 ||
	    json_opt_u64(v, at, "shares", INT64_MAX, &r->shares, &r->has_shares, err) <
		    0 ||
	    json_opt_i64(v, at, "quota", INT64_MIN, INT64_MAX, &r->quota, &r->has_quota,
			 err) < 0 ||
	    json_opt_u64(v, at, "period", INT64_MAX, &r->period, &r->has_period, err) <
		    0 ||
	    json_opt_u64(v, at, "burst", INT64_MAX, &r->burst, &r->has_burst, err) < 0 ||
	    json_opt_i64(v, at, "idle", 0, 1, &r->idle, &r->has_idle, err) < 0 ||
	    json_opt_i64(v, at, "realtimeRuntime", -1, INT64_MAX, &r->rt_runtime,
			 &r->has_rt_runtime, err) < 0 ||
	    json_opt_u64(v, at, "realtimePeriod", INT64_MAX, &r->rt_period,
			 &r->has_rt_period, err) < 0 ||
	    json_opt_str(v, at, "cpus", a, &r->cpus, err) < 0 ||
	    json_opt_str(v, at, "mems", a, &r->mems, err) < 0)
		return -1;
	r->has_shares = r->has_shares && r->shares != 0;
	r->has_quota = r->has_quota && r->quota != 0;
	r->has_period = r->has_period && r->period != 0;
	r->has_rt_runtime = r->has_rt_runtime && r->rt_runtime != 0;
	r->has_rt_period = r->has_rt_period && r->rt_period != 0;
	if (!str_empty(r->cpus) && cpuset_check(r->cpus) < 0)
		return err_set(err, ERR_INVALID, "%s.cpus: \"%.80s\" is no list of cpus",
			       at, r->cpus);
	if (!str_empty(r->mems) && cpuset_check(r->mems) < 0)
		return err_set(err, ERR_INVALID,
			       "%s.mems: \"%.80s\" is no list of memory nodes", at,
			       r->mems);
	return 0;
}

/* --- block devices ------------------------------------------------------------------ */

static int parse_number(yyjson_val *v, const char *at, uint32_t *ret_major,
			uint32_t *ret_minor, struct err *err)
{
	uint64_t major = 0, minor = 0;

	if (json_opt_u64(v, at, "major", 0xfff, &major, NULL, err) < 0 ||
	    json_opt_u64(v, at, "minor", 0xfffff, &minor, NULL, err) < 0)
		return -1;
	*ret_major = (uint32_t)major;
	*ret_minor = (uint32_t)minor;
	return 0;
}

static int parse_weight(yyjson_val *v, const char *at, const char *key, uint64_t *ret,
			struct err *err)
{
	if (json_opt_u64(v, at, key, UINT16_MAX, ret, NULL, err) < 0)
		return -1;
	if (*ret && (*ret < 10 || *ret > 1000))
		return err_set(err, ERR_INVALID, "%s.%s: %u is not between 10 and 1000",
			       at, key, (unsigned)*ret);
	return 0;
}

static int parse_throttle(yyjson_val *blkio, const char *at, const char *member,
			  const char *key, struct arena *a, struct resources *r,
			  struct err *err)
{
	yyjson_val *arr, *v;
	size_t i = 0;

	if (json_opt_arr(blkio, at, member, &arr, err) < 0)
		return -1;
	json_each (v, arr) {
		struct res_throttle *t = &r->throttles[r->nthrottles++];
		char *where = arena_fmt(a, "%s.%s[%zu]", at, member, i++);

		t->key = key;
		if (parse_number(v, where, &t->major, &t->minor, err) < 0 ||
		    json_opt_u64(v, where, "rate", UINT64_MAX, &t->rate, NULL, err) < 0)
			return -1;
	}
	return 0;
}

static int parse_weights(yyjson_val *blkio, const char *at, struct arena *a,
			 struct resources *r, struct err *err)
{
	yyjson_val *arr, *v;

	if (parse_weight(blkio, at, "weight", &r->weight, err) < 0 ||
	    parse_weight(blkio, at, "leafWeight", &r->leaf_weight, err) < 0 ||
	    json_opt_arr(blkio, at, "weightDevice", &arr, err) < 0)
		return -1;
	r->weights = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->weights));
	json_each (v, arr) {
		char *where = arena_fmt(a, "%s.weightDevice[%zu]", at, r->nweights);
		struct res_weight_device *w = &r->weights[r->nweights++];

		if (parse_number(v, where, &w->major, &w->minor, err) < 0 ||
		    parse_weight(v, where, "weight", &w->weight, err) < 0 ||
		    parse_weight(v, where, "leafWeight", &w->leaf_weight, err) < 0)
			return -1;
	}
	return 0;
}

static int parse_blkio(yyjson_val *obj, const char *where, struct arena *a,
		       struct resources *r, struct err *err)
{
	static const struct {
		const char *member, *key;
	} kinds[] = {{"throttleReadBpsDevice", "rbps"},
		     {"throttleWriteBpsDevice", "wbps"},
		     {"throttleReadIOPSDevice", "riops"},
		     {"throttleWriteIOPSDevice", "wiops"}};
	char *at = arena_fmt(a, "%s.blockIO", where);
	yyjson_val *v;
	size_t n = 1;

	if (json_opt_obj(obj, where, "blockIO", &v, err) < 0 ||
	    parse_weights(v, at, a, r, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		n += yyjson_arr_size(json_get(v, kinds[i].member));
	r->throttles = arena_array(a, n, sizeof(*r->throttles));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (parse_throttle(v, at, kinds[i].member, kinds[i].key, a, r, err) < 0)
			return -1;
	return 0;
}

/* --- the rest ----------------------------------------------------------------------- */

static int parse_hugepages(yyjson_val *obj, const char *where, struct arena *a,
			   struct resources *r, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "hugepageLimits", &arr, err) < 0)
		return -1;
	r->hugepages = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->hugepages));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.hugepageLimits[%zu]", where, r->nhugepages);
		struct res_hugepage *h = &r->hugepages[r->nhugepages++];
		size_t digits;

		if (json_want_str(v, at, "pageSize", &h->size, err) < 0 ||
		    json_opt_u64(v, at, "limit", UINT64_MAX, &h->limit, NULL, err) < 0)
			return -1;
		digits = strspn(h->size, "0123456789");
		if (!digits ||
		    (!str_eq(h->size + digits, "KB") && !str_eq(h->size + digits, "MB") &&
		     !str_eq(h->size + digits, "GB")))
			return err_set(err, ERR_INVALID, "%s.pageSize: \"%s\"", at,
				       h->size);
		h->size = arena_strdup(a, h->size);
	}
	return 0;
}

/* A word that goes into a line of a cgroup file. */
static bool is_word(const char *s)
{
	return *s && !strpbrk(s, " \t\n=") && strlen(s) < 256;
}

static int parse_rdma(yyjson_val *obj, const char *where, struct arena *a,
		      struct resources *r, struct err *err)
{
	yyjson_val *v, *k, *value;

	if (json_opt_obj(obj, where, "rdma", &v, err) < 0)
		return -1;
	r->rdma = arena_array(a, yyjson_obj_size(v) + 1, sizeof(*r->rdma));
	json_each_member (k, value, v) {
		char *at = arena_fmt(a, "%s.rdma.%.80s", where, yyjson_get_str(k));
		struct res_rdma *d = &r->rdma[r->nrdma++];

		d->device = arena_strdup(a, yyjson_get_str(k));
		if (!is_word(d->device))
			return err_set(err, ERR_INVALID, "%s: not a device's name", at);
		if (!yyjson_is_obj(value))
			return err_set(err, ERR_INVALID, "%s: not an object", at);
		if (json_opt_u64(value, at, "hcaHandles", UINT32_MAX, &d->handles,
				 &d->has_handles, err) < 0 ||
		    json_opt_u64(value, at, "hcaObjects", UINT32_MAX, &d->objects,
				 &d->has_objects, err) < 0)
			return -1;
	}
	return 0;
}

static int parse_network(yyjson_val *obj, const char *where, struct arena *a,
			 struct resources *r, struct err *err)
{
	char *at = arena_fmt(a, "%s.network", where);
	yyjson_val *net, *arr, *v;

	if (json_opt_obj(obj, where, "network", &net, err) < 0 ||
	    json_opt_u64(net, at, "classID", UINT32_MAX, &r->class_id, &r->has_class,
			 err) < 0 ||
	    json_opt_arr(net, at, "priorities", &arr, err) < 0)
		return -1;
	r->priorities = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->priorities));
	json_each (v, arr) {
		char *one = arena_fmt(a, "%s.priorities[%zu]", at, r->npriorities);
		struct res_priority *p = &r->priorities[r->npriorities++];

		if (json_want_str(v, one, "name", &p->name, err) < 0 ||
		    json_opt_u64(v, one, "priority", UINT32_MAX, &p->priority, NULL,
				 err) < 0)
			return -1;
		if (!is_word(p->name))
			return err_set(err, ERR_INVALID, "%s.name: not an interface's",
				       one);
		p->name = arena_strdup(a, p->name);
	}
	return 0;
}

static int parse_unified(yyjson_val *obj, const char *where, struct arena *a,
			 struct resources *r, struct err *err)
{
	yyjson_val *v, *k, *value;

	if (json_opt_obj(obj, where, "unified", &v, err) < 0)
		return -1;
	r->unified = arena_array(a, yyjson_obj_size(v) + 1, sizeof(*r->unified));
	json_each_member (k, value, v) {
		const char *key = yyjson_get_str(k);

		if (!yyjson_is_str(value))
			return err_set(err, ERR_INVALID, "%s.unified.%s: not a string",
				       where, key);
		if (strchr(key, '/'))
			return err_set(err, ERR_INVALID,
				       "%s.unified: unified resource \"%.80s\" must be "
				       "a file name (no slashes)",
				       where, key);
		if (!strchr(key, '.') || *key == '.')
			return err_set(err, ERR_INVALID,
				       "%s.unified: unified resource \"%.80s\" must be "
				       "in the form CONTROLLER.PARAMETER",
				       where, key);
		r->unified[r->nunified++] = (struct res_pair){
			arena_strdup(a, key), arena_strdup(a, yyjson_get_str(value))};
	}
	return 0;
}

static int parse(yyjson_val *obj, const char *where, struct arena *a,
		 struct resources *ret, struct err *err)
{
	char *at = arena_fmt(a, "%s.pids", where);
	struct resources r = {0};
	yyjson_val *v;

	if (parse_rules(obj, where, a, &r, err) < 0 ||
	    parse_memory(obj, where, a, &r, err) < 0 ||
	    parse_cpu(obj, where, a, &r, err) < 0 ||
	    json_opt_obj(obj, where, "pids", &v, err) < 0 ||
	    json_opt_i64(v, at, "limit", INT64_MIN, INT64_MAX, &r.pids, &r.has_pids,
			 err) < 0 ||
	    parse_blkio(obj, where, a, &r, err) < 0 ||
	    parse_hugepages(obj, where, a, &r, err) < 0 ||
	    parse_rdma(obj, where, a, &r, err) < 0 ||
	    parse_network(obj, where, a, &r, err) < 0 ||
	    parse_unified(obj, where, a, &r, err) < 0)
		return -1;
	/* systemd takes no 0, and a group of one cannot fork either */
	if (r.has_pids && r.pids == 0)
		r.pids = 1;
	*ret = r;
	return 0;
}

int resources_parse_val(yyjson_val *obj, const char *where, struct arena *a,
			struct resources *ret, struct err *err)
{
	struct resources r;
	int64_t ignored;

	if (parse(obj, where, a, &r, err) < 0)
		return -1;
	if (res_swap_max(r.has_limit ? r.limit : 0, r.has_swap ? r.swap : 0, &ignored,
			 err) < 0)
		return err_wrap(err, "%s.memory.swap", where);
	*ret = r;
	return 0;
}

int resources_parse(const void *json, size_t n, struct arena *a, struct resources *ret,
		    struct err *err)
{
	JSON_AUTO doc = json_parse(json, n, err);

	if (!doc)
		return err_wrap(err, "resources");
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		return err_set(err, ERR_INVALID, "resources: not an object");
	return parse(yyjson_doc_get_root(doc), "resources", a, ret, err);
}

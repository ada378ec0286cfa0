/* spec-linux: config.json's "linux" (config-linux.md). */
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

const struct oci_ns_type oci_ns_types[OCI_NS_COUNT] = {
	[OCI_NS_USER] = {CLONE_NEWUSER, "user", "user"},
	[OCI_NS_CGROUP] = {CLONE_NEWCGROUP, "cgroup", "cgroup"},
	[OCI_NS_IPC] = {CLONE_NEWIPC, "ipc", "ipc"},
	[OCI_NS_UTS] = {CLONE_NEWUTS, "uts", "uts"},
	[OCI_NS_NET] = {CLONE_NEWNET, "network", "net"},
	[OCI_NS_PID] = {CLONE_NEWPID, "pid", "pid"},
	[OCI_NS_MNT] = {CLONE_NEWNS, "mount", "mnt"},
};

static int parse_namespaces(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			    struct err *err)
{
	yyjson_val *arr, *v;
	size_t i = 0;

	if (json_opt_arr(lin, "linux", "namespaces", &arr, err) < 0)
		return -1;
	json_each (v, arr) {
		char *at = arena_fmt(a, "linux.namespaces[%zu]", i++);
		const char *type = NULL, *path = NULL;
		size_t t;

		if (json_want_str(v, at, "type", &type, err) < 0 ||
		    json_opt_str(v, at, "path", a, &path, err) < 0)
			return -1;
		if (str_eq(type, "time"))
			return err_set(err, ERR_UNIMPLEMENTED,
				       "%s: time namespaces are not supported yet", at);
		for (t = 0; t < OCI_NS_COUNT; t++)
			if (str_eq(oci_ns_types[t].name, type))
				break;
		if (t == OCI_NS_COUNT)
			return err_set(err, ERR_INVALID, "%s.type: unknown \"%s\"", at,
				       type);
		if (s->ns[t].present)
			return err_set(err, ERR_INVALID,
				       "%s: malformed spec file: duplicated ns \"%s\"",
				       at, type);
		if (!str_empty(path) && *path != '/')
			return err_set(err, ERR_INVALID, "%s.path: not absolute", at);
		s->ns[t] = (struct oci_namespace){true, str_empty(path) ? NULL : path};
	}
	return 0;
}

static int parse_devices(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			 struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(lin, "linux", "devices", &arr, err) < 0)
		return -1;
	s->devices_cap = yyjson_arr_size(arr) + 1;
	s->devices = arena_array(a, s->devices_cap, sizeof(*s->devices));
	json_each (v, arr) {
		char *at = arena_fmt(a, "linux.devices[%zu]", s->ndevices);
		struct oci_device *d = &s->devices[s->ndevices++];
		uint64_t major = 0, minor = 0, mode = 0666, uid = 0, gid = 0;
		const char *type = NULL;

		if (json_want_str(v, at, "path", &d->path, err) < 0 ||
		    json_want_str(v, at, "type", &type, err) < 0 ||
		    json_opt_u64(v, at, "major", 0xfff, &major, NULL, err) < 0 ||
		    json_opt_u64(v, at, "minor", 0xfffff, &minor, NULL, err) < 0 ||
		    json_opt_u64(v, at, "fileMode", UINT32_MAX, &mode, NULL, err) < 0 ||
		    json_opt_u64(v, at, "uid", UINT32_MAX - 1, &uid, NULL, err) < 0 ||
		    json_opt_u64(v, at, "gid", UINT32_MAX - 1, &gid, NULL, err) < 0)
			return -1;
		if (strlen(type) != 1 || !strchr("cubp", *type))
			return err_set(err, ERR_INVALID, "%s.type: unknown \"%s\"", at,
				       type);
		if (*d->path != '/')
			return err_set(err, ERR_INVALID, "%s.path: not absolute", at);
		d->path = arena_strdup(a, d->path);
		d->type = *type == 'u' ? 'c' : *type;
		d->major = (uint32_t)major;
		d->minor = (uint32_t)minor;
		d->mode = (mode_t)mode & 07777;
		d->uid = (uid_t)uid;
		d->gid = (gid_t)gid;
	}
	return 0;
}

/* --- resources ---------------------------------------------------------------------- */

static int parse_access(const char *text, const char *at, unsigned *ret, struct err *err)
{
	*ret = 0;
	for (const char *p = text; *p; p++) {
		if (!strchr("rwm", *p))
			return err_set(err, ERR_INVALID, "%s.access: \"%s\"", at, text);
		*ret |= *p == 'r'   ? OCI_DEV_READ
			: *p == 'w' ? OCI_DEV_WRITE
				    : OCI_DEV_MKNOD;
	}
	if (!*text)
		*ret = OCI_DEV_ALL;
	return 0;
}

static int parse_rules(yyjson_val *obj, const char *where, struct arena *a,
		       struct oci_resources *r, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "devices", &arr, err) < 0)
		return -1;
	r->has_rules = arr != NULL;
	r->rules = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->rules));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.devices[%zu]", where, r->nrules);
		struct oci_device_rule *d = &r->rules[r->nrules++];
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
			struct oci_resources *r, struct err *err)
{
	char *at = arena_fmt(a, "%s.memory", where);
	yyjson_val *v;

	if (json_opt_obj(obj, where, "memory", &v, err) < 0 ||
	    json_opt_i64(v, at, "limit", -1, INT64_MAX, &r->limit, &r->has_limit, err) <
		    0 ||
	    json_opt_i64(v, at, "reservation", -1, INT64_MAX, &r->reservation,
			 &r->has_reservation, err) < 0 ||
	    json_opt_i64(v, at, "swap", -1, INT64_MAX, &r->swap, &r->has_swap, err) < 0 ||
	    json_opt_u64(v, at, "swappiness", 200, &r->swappiness, &r->has_swappiness,
			 err) < 0 ||
	    json_opt_bool(v, at, "disableOOMKiller", &r->oom_disable, err) < 0)
		return -1;
	/* 0 is "not given", as runc has it */
	r->has_limit = r->has_limit && r->limit != 0;
	r->has_reservation = r->has_reservation && r->reservation != 0;
	r->has_swap = r->has_swap && r->swap != 0;
	return 0;
}

static int parse_cpu(yyjson_val *obj, const char *where, struct arena *a,
		     struct oci_resources *r, struct err *err)
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
	    json_opt_str(v, at, "cpus", a, &r->cpus, err) < 0 ||
	    json_opt_str(v, at, "mems", a, &r->mems, err) < 0)
		return -1;
	r->has_shares = r->has_shares && r->shares != 0;
	r->has_quota = r->has_quota && r->quota != 0;
	r->has_period = r->has_period && r->period != 0;
	return 0;
}

static int parse_throttle(yyjson_val *blkio, const char *at, const char *member,
			  const char *key, struct arena *a, struct oci_resources *r,
			  struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(blkio, at, member, &arr, err) < 0)
		return -1;
	json_each (v, arr) {
		struct oci_throttle *t = &r->throttles[r->nthrottles];
		char *where = arena_fmt(a, "%s.%s", at, member);
		uint64_t major = 0, minor = 0;

		if (json_opt_u64(v, where, "major", 0xfff, &major, NULL, err) < 0 ||
		    json_opt_u64(v, where, "minor", 0xfffff, &minor, NULL, err) < 0 ||
		    json_opt_u64(v, where, "rate", UINT64_MAX, &t->rate, NULL, err) < 0)
			return -1;
		t->key = key;
		t->major = (uint32_t)major;
		t->minor = (uint32_t)minor;
		r->nthrottles++;
	}
	return 0;
}

static int parse_blkio(yyjson_val *obj, const char *where, struct arena *a,
		       struct oci_resources *r, struct err *err)
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
	    json_opt_u64(v, at, "weight", 1000, &r->weight, &r->has_weight, err) < 0)
		return -1;
	r->has_weight = r->has_weight && r->weight != 0;
	if (r->has_weight && r->weight < 10)
		return err_set(err, ERR_INVALID, "%s.weight: not between 10 and 1000",
			       at);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		n += yyjson_arr_size(json_get(v, kinds[i].member));
	r->throttles = arena_array(a, n, sizeof(*r->throttles));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (parse_throttle(v, at, kinds[i].member, kinds[i].key, a, r, err) < 0)
			return -1;
	return 0;
}

static int parse_hugepages(yyjson_val *obj, const char *where, struct arena *a,
			   struct oci_resources *r, struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(obj, where, "hugepageLimits", &arr, err) < 0)
		return -1;
	r->hugepages = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*r->hugepages));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.hugepageLimits[%zu]", where, r->nhugepages);
		struct oci_hugepage *h = &r->hugepages[r->nhugepages++];
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

static int parse_unified(yyjson_val *obj, const char *where, struct arena *a,
			 struct oci_resources *r, struct err *err)
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
		if (!*key || strchr(key, '/') || !strchr(key, '.') || *key == '.')
			return err_set(err, ERR_INVALID,
				       "%s.unified: \"%s\" is not a cgroup file", where,
				       key);
		r->unified[r->nunified++] = (struct oci_pair){
			arena_strdup(a, key), arena_strdup(a, yyjson_get_str(value))};
	}
	return 0;
}

int oci_parse_resources(yyjson_val *obj, const char *where, struct arena *a,
			struct oci_resources *ret, struct err *err)
{
	char *at = arena_fmt(a, "%s.pids", where);
	struct oci_resources r = {0};
	int64_t ignored;
	yyjson_val *v;

	if (parse_rules(obj, where, a, &r, err) < 0 ||
	    parse_memory(obj, where, a, &r, err) < 0 ||
	    parse_cpu(obj, where, a, &r, err) < 0 ||
	    json_opt_obj(obj, where, "pids", &v, err) < 0 ||
	    json_opt_i64(v, at, "limit", INT64_MIN, INT64_MAX, &r.pids, &r.has_pids,
			 err) < 0 ||
	    parse_blkio(obj, where, a, &r, err) < 0 ||
	    parse_hugepages(obj, where, a, &r, err) < 0 ||
	    parse_unified(obj, where, a, &r, err) < 0)
		return -1;
	/* 0 has meant "no limit" for longer than it has meant 0 */
	if (r.has_pids && r.pids == 0)
		r.has_pids = false;
	/* a swap limit without a memory limit, or below it, is seen here once */
	if (oci_swap_max(r.has_limit ? r.limit : 0, r.has_swap ? r.swap : 0, &ignored,
			 err) < 0)
		return err_wrap(err, "%s.memory.swap", where);
	*ret = r;
	return 0;
}

/* --- the rest ----------------------------------------------------------------------- */

/* R17: a name of words, in a namespace of the container's own; no control characters. */
static int check_sysctl(const struct oci_spec *s, const struct oci_pair *p,
			struct err *err)
{
	static const char *const ipc[] = {"kernel.msgmax", "kernel.msgmnb",
					  "kernel.msgmni", "kernel.sem",
					  "kernel.shmall", "kernel.shmmax",
					  "kernel.shmmni", "kernel.shm_rmid_forced"};
	bool is_ipc = str_starts(p->key, "fs.mqueue."), ok = false;

	for (const char *c = p->key; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"
			    "89._-/",
			    *c))
			return err_set(err, ERR_INVALID, "linux.sysctl: bad name \"%s\"",
				       p->key);
	if (strstr(p->key, "..") || *p->key == '.' || *p->key == '/')
		return err_set(err, ERR_INVALID, "linux.sysctl: bad name \"%s\"", p->key);
	for (const char *c = p->value; *c; c++)
		if ((unsigned char)*c < 0x20 && *c != '\t')
			return err_set(err, ERR_INVALID,
				       "linux.sysctl.%s: the value holds a control "
				       "character",
				       p->key);
	for (size_t i = 0; i < ARRAY_LEN(ipc); i++)
		is_ipc = is_ipc || str_eq(p->key, ipc[i]);
	if (is_ipc)
		ok = s->ns[OCI_NS_IPC].present;
	else if (str_starts(p->key, "net.") || str_starts(p->key, "net/"))
		ok = s->ns[OCI_NS_NET].present;
	else if (str_eq(p->key, "kernel.domainname"))
		ok = s->ns[OCI_NS_UTS].present;
	else if (str_eq(p->key, "kernel.hostname"))
		return err_set(err, ERR_INVALID,
			       "linux.sysctl.kernel.hostname: conflicts with hostname");
	else if (str_starts(p->key, "user."))
		ok = s->ns[OCI_NS_USER].present;
	if (!ok)
		return err_set(err, ERR_INVALID,
			       "linux.sysctl: \"%s\" is not in a separate kernel "
			       "namespace",
			       p->key);
	return 0;
}

static int parse_sysctls(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			 struct err *err)
{
	yyjson_val *v, *k, *value;

	if (json_opt_obj(lin, "linux", "sysctl", &v, err) < 0)
		return -1;
	s->sysctls = arena_array(a, yyjson_obj_size(v) + 1, sizeof(*s->sysctls));
	json_each_member (k, value, v) {
		struct oci_pair *p = &s->sysctls[s->nsysctls++];

		if (!yyjson_is_str(value))
			return err_set(err, ERR_INVALID, "linux.sysctl.%s: not a string",
				       yyjson_get_str(k));
		p->key = arena_strdup(a, yyjson_get_str(k));
		p->value = arena_strdup(a, yyjson_get_str(value));
		if (check_sysctl(s, p, err) < 0)
			return -1;
	}
	return 0;
}

static int refuse(yyjson_val *lin, struct err *err)
{
	static const char *const members[] = {"intelRdt", "memoryPolicy", "netDevices",
					      "personality", "timeOffsets"};

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		yyjson_val *v = json_get(lin, members[i]);

		if (v && yyjson_get_len(v) > 0)
			return err_set(err, ERR_UNIMPLEMENTED,
				       "linux.%s: not supported yet", members[i]);
	}
	return 0;
}

static int check_paths(const char *field, const char *const *paths, size_t n,
		       struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (*paths[i] != '/')
			return err_set(err, ERR_INVALID,
				       "linux.%s[%zu]: \"%s\" is not absolute", field, i,
				       paths[i]);
	return 0;
}

static int parse_propagation(yyjson_val *lin, struct arena *a, struct oci_spec *s,
			     struct err *err)
{
	const char *text = NULL;
	bool rec;

	if (json_opt_str(lin, "linux", "rootfsPropagation", a, &text, err) < 0)
		return -1;
	if (str_empty(text))
		return 0;
	s->root_propagation = oci_propagation(text, &rec);
	if (!s->root_propagation)
		return err_set(err, ERR_INVALID,
			       "linux.rootfsPropagation: unknown \"%s\"", text);
	return 0;
}

int oci_parse_linux(yyjson_val *lin, struct arena *a, struct oci_spec *s, struct err *err)
{
	yyjson_val *v;

	if (refuse(lin, err) < 0 || parse_namespaces(lin, a, s, err) < 0 ||
	    oci_parse_maps(lin, "linux", "uidMappings", a, &s->uids, &s->nuids, err) <
		    0 ||
	    oci_parse_maps(lin, "linux", "gidMappings", a, &s->gids, &s->ngids, err) <
		    0 ||
	    parse_devices(lin, a, s, err) < 0 ||
	    json_opt_str(lin, "linux", "cgroupsPath", a, &s->cgroups_path, err) < 0 ||
	    json_opt_str(lin, "linux", "mountLabel", a, &s->mount_label, err) < 0 ||
	    parse_propagation(lin, a, s, err) < 0 ||
	    json_opt_strs(lin, "linux", "maskedPaths", a, &s->masked, &s->nmasked, err) <
		    0 ||
	    json_opt_strs(lin, "linux", "readonlyPaths", a, &s->readonly, &s->nreadonly,
			  err) < 0 ||
	    check_paths("maskedPaths", s->masked, s->nmasked, err) < 0 ||
	    check_paths("readonlyPaths", s->readonly, s->nreadonly, err) < 0 ||
	    parse_sysctls(lin, a, s, err) < 0)
		return -1;
	if (json_opt_obj(lin, "linux", "resources", &v, err) < 0 ||
	    oci_parse_resources(v, "linux.resources", a, &s->res, err) < 0)
		return -1;
	if (json_opt_obj(lin, "linux", "seccomp", &v, err) < 0)
		return -1;
	return v ? oci_parse_seccomp(v, "linux.seccomp", a, &s->seccomp, err) : 0;
}

/* spec: config.json's root, process, mounts, annotations; the rest is in spec-linux.c. */
#include <errno.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "base/map.h"
#include "base/num.h"
#include "base/str.h"
#include "oci/oci-int.h"

enum { MAX_SPEC = 16 << 20 };

/* --- process ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int resource;
} rlimits[] = {
	{"RLIMIT_AS", RLIMIT_AS},
	{"RLIMIT_CORE", RLIMIT_CORE},
	{"RLIMIT_CPU", RLIMIT_CPU},
	{"RLIMIT_DATA", RLIMIT_DATA},
	{"RLIMIT_FSIZE", RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", RLIMIT_NICE},
	{"RLIMIT_NOFILE", RLIMIT_NOFILE},
	{"RLIMIT_NPROC", RLIMIT_NPROC},
	{"RLIMIT_RSS", RLIMIT_RSS},
	{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", RLIMIT_STACK},
};

static int parse_rlimits(yyjson_val *obj, const char *where, struct arena *a,
			 struct oci_process *p, struct err *err)
{
	struct oci_rlimit *list;
	yyjson_val *arr, *v;
	size_t n = 0;

	if (json_opt_arr(obj, where, "rlimits", &arr, err) < 0)
		return -1;
	if (!arr)
		return 0;
	list = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*list));
	json_each (v, arr) {
		char *at = arena_fmt(a, "%s.rlimits[%zu]", where, n);
		const char *type = NULL;

		if (json_want_str(v, at, "type", &type, err) < 0 ||
		    json_opt_u64(v, at, "soft", UINT64_MAX, &list[n].soft, NULL, err) <
			    0 ||
		    json_opt_u64(v, at, "hard", UINT64_MAX, &list[n].hard, NULL, err) < 0)
			return -1;
		list[n].resource = -1;
		for (size_t i = 0; i < ARRAY_LEN(rlimits); i++)
			if (str_eq(rlimits[i].name, type))
				list[n].resource = rlimits[i].resource;
		if (list[n].resource < 0)
			return err_set(err, ERR_INVALID, "%s.type: unknown \"%s\"", at,
				       type);
		if (list[n].soft > list[n].hard)
			return err_set(err, ERR_INVALID,
				       "%s: the soft limit is above the hard one", at);
		for (size_t i = 0; i < n; i++)
			if (list[i].resource == list[n].resource)
				return err_set(err, ERR_INVALID, "%s: %s is given twice",
					       at, type);
		n++;
	}
	p->rlimits = list;
	p->nrlimits = n;
	return 0;
}

static int parse_cap_set(yyjson_val *obj, const char *where, const char *key,
			 struct arena *a, uint64_t *ret, struct err *err)
{
	const char *const *names = NULL;
	size_t n = 0;

	if (json_opt_strs(obj, where, key, a, &names, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint64_t bit = caps_bit(names[i]);

		if (!bit)
			return err_set(err, ERR_INVALID,
				       "%s.%s[%zu]: unknown capability \"%s\"", where,
				       key, i, names[i]);
		*ret |= bit;
	}
	return 0;
}

static int parse_caps(yyjson_val *obj, const char *where, struct arena *a,
		      struct oci_process *p, struct err *err)
{
	char *at = arena_fmt(a, "%s.capabilities", where);
	struct caps c = {0};
	yyjson_val *v;

	if (json_opt_obj(obj, where, "capabilities", &v, err) < 0)
		return -1;
	if (!v)
		return 0;
	if (parse_cap_set(v, at, "bounding", a, &c.bounding, err) < 0 ||
	    parse_cap_set(v, at, "effective", a, &c.effective, err) < 0 ||
	    parse_cap_set(v, at, "permitted", a, &c.permitted, err) < 0 ||
	    parse_cap_set(v, at, "inheritable", a, &c.inheritable, err) < 0 ||
	    parse_cap_set(v, at, "ambient", a, &c.ambient, err) < 0)
		return -1;
	/* the kernel gives no other, and buildah asks for them all the same */
	c.ambient &= c.permitted & c.inheritable;
	p->caps = c;
	p->has_caps = true;
	return 0;
}

static int parse_user(yyjson_val *obj, const char *where, struct arena *a,
		      struct oci_process *p, struct err *err)
{
	char *at = arena_fmt(a, "%s.user", where);
	yyjson_val *user, *arr, *v;
	uint64_t uid = 0, gid = 0, mask = 0;
	gid_t *groups;
	size_t n = 0;

	if (json_opt_obj(obj, where, "user", &user, err) < 0 ||
	    json_opt_u64(user, at, "uid", UINT32_MAX - 1, &uid, NULL, err) < 0 ||
	    json_opt_u64(user, at, "gid", UINT32_MAX - 1, &gid, NULL, err) < 0 ||
	    json_opt_u64(user, at, "umask", 07777, &mask, &p->has_umask, err) < 0 ||
	    json_opt_arr(user, at, "additionalGids", &arr, err) < 0)
		return -1;
	p->uid = (uid_t)uid;
	p->gid = (gid_t)gid;
	p->umask = (mode_t)mask;
	groups = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*groups));
	json_each (v, arr) {
		if (!yyjson_is_uint(v) || yyjson_get_uint(v) > UINT32_MAX - 1)
			return err_set(err, ERR_INVALID,
				       "%s.additionalGids[%zu]: not a group id", at, n);
		groups[n++] = (gid_t)yyjson_get_uint(v);
	}
	p->groups = groups;
	p->ngroups = n;
	return 0;
}

static int parse_size(yyjson_val *obj, const char *where, struct arena *a,
		      struct oci_process *p, struct err *err)
{
	char *at = arena_fmt(a, "%s.consoleSize", where);
	uint64_t rows = 0, cols = 0;
	yyjson_val *v;

	if (json_opt_obj(obj, where, "consoleSize", &v, err) < 0 ||
	    json_opt_u64(v, at, "height", UINT16_MAX, &rows, NULL, err) < 0 ||
	    json_opt_u64(v, at, "width", UINT16_MAX, &cols, NULL, err) < 0)
		return -1;
	p->rows = (unsigned short)rows;
	p->cols = (unsigned short)cols;
	return 0;
}

static int check_process(const struct oci_process *p, const char *where, size_t nenv,
			 struct err *err)
{
	if (str_empty(p->cwd))
		return err_set(err, ERR_INVALID, "Cwd property must not be empty");
	if (*p->cwd != '/')
		return err_set(err, ERR_INVALID, "Cwd must be an absolute path");
	if (!p->args || !p->args[0])
		return err_set(err, ERR_INVALID, "args must not be empty");
	for (size_t i = 0; i < nenv; i++)
		if (!strchr(p->env[i], '=') || *p->env[i] == '=')
			return err_set(err, ERR_INVALID,
				       "%s.env[%zu]: \"%.80s\" is not KEY=value", where,
				       i, p->env[i]);
	return 0;
}

/* Of variables of one name the last one counts (runc's rule): libc would take the first. */
static char *const *keep_last(char *const *env, size_t n, struct arena *a)
{
	char **kept = arena_array(a, n + 1, sizeof(*kept));
	struct map names = {0};
	size_t at = n;

	for (size_t i = n; i-- > 0;) {
		char *name = arena_strndup(a, env[i], strcspn(env[i], "="));

		if (!map_put(&names, name, name))
			kept[--at] = env[i];
	}
	map_done(&names);
	return kept + at;
}

int oci_parse_process(yyjson_val *obj, const char *where, const struct oci_process *base,
		      struct arena *a, struct oci_process **ret, struct err *err)
{
	struct oci_process *p = arena_alloc(a, sizeof(*p));
	const char *const *args = NULL, *const *env = NULL;
	size_t nargs = 0, nenv = 0;
	int64_t oom = 0;

	if (base) { /* what an exec takes from the container */
		p->has_caps = base->has_caps;
		p->caps = base->caps;
		p->rlimits = base->rlimits;
		p->nrlimits = base->nrlimits;
		p->apparmor = base->apparmor;
		p->selinux = base->selinux;
		p->has_oom = base->has_oom;
		p->oom_score_adj = base->oom_score_adj;
		p->has_umask = base->has_umask;
		p->umask = base->umask;
		p->scheduler = base->scheduler;
		p->has_io_priority = base->has_io_priority;
		p->io_priority = base->io_priority;
		p->cpus_initial = base->cpus_initial;
		p->cpus_final = base->cpus_final;
	}
	if (json_opt_strs(obj, where, "args", a, &args, &nargs, err) < 0 ||
	    json_opt_strs(obj, where, "env", a, &env, &nenv, err) < 0 ||
	    json_opt_str(obj, where, "cwd", a, &p->cwd, err) < 0 ||
	    json_opt_bool(obj, where, "terminal", &p->terminal, err) < 0 ||
	    parse_size(obj, where, a, p, err) < 0 ||
	    parse_user(obj, where, a, p, err) < 0 ||
	    parse_caps(obj, where, a, p, err) < 0 ||
	    parse_rlimits(obj, where, a, p, err) < 0 ||
	    json_opt_bool(obj, where, "noNewPrivileges", &p->no_new_privs, err) < 0 ||
	    json_opt_i64(obj, where, "oomScoreAdj", -1000, 1000, &oom, &p->has_oom, err) <
		    0 ||
	    json_opt_str(obj, where, "apparmorProfile", a, &p->apparmor, err) < 0 ||
	    json_opt_str(obj, where, "selinuxLabel", a, &p->selinux, err) < 0)
		return -1;
	if (json_get(obj, "oomScoreAdj"))
		p->oom_score_adj = (int)oom;
	if (oci_parse_tuning(obj, where, a, p, err) < 0)
		return -1;
	p->args = (char *const *)(uintptr_t)args;
	p->env = (char *const *)(uintptr_t)(env ? env : arena_alloc(a, sizeof(*env)));
	if (check_process(p, where, nenv, err) < 0)
		return -1;
	p->env = keep_last(p->env, nenv, a);
	*ret = p;
	return 0;
}

int oci_process_parse(const void *json, size_t n, const struct oci_process *base,
		      struct arena *a, struct oci_process **ret, struct err *err)
{
	JSON_AUTO doc = n > MAX_SPEC ? NULL : json_parse(json, n, err);

	if (!doc)
		return n > MAX_SPEC ? err_set(err, ERR_INVALID, "process: too large")
				    : err_wrap(err, "process");
	if (!yyjson_is_obj(yyjson_doc_get_root(doc)))
		return err_set(err, ERR_INVALID, "process: not an object");
	return oci_parse_process(yyjson_doc_get_root(doc), "process", base, a, ret, err);
}

void oci_process_setenv(struct oci_process *p, struct arena *a, const char *key,
			const char *value)
{
	char *entry = arena_fmt(a, "%s=%s", key, value);
	size_t n = 0, len = strlen(key) + 1;
	char **env;

	while (p->env && p->env[n])
		n++;
	env = arena_array(a, n + 2, sizeof(*env));
	for (size_t i = 0; i < n; i++)
		env[i] = p->env[i];
	p->env = env;
	for (size_t i = 0; i < n; i++)
		if (strncmp(env[i], entry, len) == 0) {
			env[i] = entry;
			return;
		}
	env[n] = entry;
}

/* --- the whole ---------------------------------------------------------------------- */

static int parse_root(yyjson_val *root, struct arena *a, struct oci_spec *s,
		      struct err *err)
{
	yyjson_val *v;

	if (json_opt_obj(root, "", "root", &v, err) < 0)
		return -1;
	if (!v)
		return err_set(err, ERR_INVALID, "root: missing");
	if (json_opt_str(v, "root", "path", a, &s->root, err) < 0 ||
	    json_opt_bool(v, "root", "readonly", &s->root_readonly, err) < 0)
		return -1;
	if (str_empty(s->root))
		return err_set(err, ERR_INVALID, "root.path: missing");
	return 0;
}

static int parse_mounts(yyjson_val *root, struct arena *a, struct oci_spec *s,
			struct err *err)
{
	yyjson_val *arr, *v;

	if (json_opt_arr(root, "", "mounts", &arr, err) < 0)
		return -1;
	s->mounts = arena_array(a, yyjson_arr_size(arr) + 1, sizeof(*s->mounts));
	json_each (v, arr) {
		char *where = arena_fmt(a, "mounts[%zu]", s->nmounts);

		if (!yyjson_is_obj(v))
			return err_set(err, ERR_INVALID, "%s: not an object", where);
		if (oci_parse_mount(v, where, a, &s->mounts[s->nmounts++], err) < 0)
			return -1;
	}
	return 0;
}

static int parse_annotations(yyjson_val *root, struct arena *a, struct oci_spec *s,
			     struct err *err)
{
	yyjson_val *obj, *k, *v;

	if (json_opt_obj(root, "", "annotations", &obj, err) < 0)
		return -1;
	s->annotations =
		arena_array(a, yyjson_obj_size(obj) + 1, sizeof(*s->annotations));
	json_each_member (k, v, obj) {
		struct oci_pair *p = &s->annotations[s->nannotations++];

		if (!yyjson_is_str(v))
			return err_set(err, ERR_INVALID, "annotations.%s: not a string",
				       yyjson_get_str(k));
		p->key = arena_strdup(a, yyjson_get_str(k));
		p->value = arena_strdup(a, yyjson_get_str(v));
	}
	return 0;
}

/* What must agree between parts (config.md, config-linux.md). */
static int check(const struct oci_spec *s, struct err *err)
{
	bool user = s->ns[OCI_NS_USER].present;

	if (s->hostname && !s->ns[OCI_NS_UTS].present)
		return err_set(err, ERR_INVALID,
			       "hostname: unable to set hostname without a private UTS "
			       "namespace");
	if (s->domainname && !s->ns[OCI_NS_UTS].present)
		return err_set(err, ERR_INVALID,
			       "domainname: unable to set domainname without a private "
			       "UTS namespace");
	if ((s->nmasked || s->nreadonly) && !s->ns[OCI_NS_MNT].present)
		return err_set(err, ERR_INVALID,
			       "linux.%s: unable to restrict sys entries without "
			       "a private MNT namespace",
			       s->nmasked ? "maskedPaths" : "readonlyPaths");
	if ((s->monotonic.given || s->boottime.given) &&
	    (!s->ns[OCI_NS_TIME].present || s->ns[OCI_NS_TIME].path))
		return err_set(err, ERR_INVALID,
			       "linux.timeOffsets: without a new time namespace");
	if (s->nnetdevs && !s->ns[OCI_NS_NET].present)
		return err_set(err, ERR_INVALID,
			       "linux.netDevices: unable to move network devices without "
			       "a private NET namespace");
	if (user && !s->ns[OCI_NS_USER].path && (!s->nuids || !s->ngids))
		return err_set(err, ERR_INVALID,
			       "linux.uidMappings: a user namespace needs uid and gid "
			       "mappings");
	if (!user && (s->nuids || s->ngids))
		return err_set(err, ERR_INVALID,
			       "linux.uidMappings: mappings without a user namespace");
	return 0;
}

static int parse(yyjson_val *root, struct arena *a, struct oci_spec *s, struct err *err)
{
	yyjson_val *v;

	if (!yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "not an object");
	if (json_opt_str(root, "", "ociVersion", a, &s->version, err) < 0)
		return -1;
	if (str_empty(s->version))
		return err_set(err, ERR_INVALID, "ociVersion: missing");
	if (!str_starts(s->version, "1."))
		return err_set(err, ERR_INVALID, "ociVersion: unknown version \"%s\"",
			       s->version);
	if (parse_root(root, a, s, err) < 0 ||
	    json_opt_str(root, "", "hostname", a, &s->hostname, err) < 0 ||
	    json_opt_str(root, "", "domainname", a, &s->domainname, err) < 0 ||
	    json_opt_obj(root, "", "process", &v, err) < 0)
		return -1;
	if (str_empty(s->hostname))
		s->hostname = NULL;
	if (str_empty(s->domainname))
		s->domainname = NULL;
	if (v && oci_parse_process(v, "process", NULL, a, &s->process, err) < 0)
		return -1;
	if (parse_mounts(root, a, s, err) < 0 || parse_annotations(root, a, s, err) < 0 ||
	    oci_parse_hooks(root, a, s, err) < 0 ||
	    json_opt_obj(root, "", "linux", &v, err) < 0)
		return -1;
	if (!v)
		return err_set(err, ERR_INVALID, "linux: missing");
	if (oci_parse_linux(v, a, s, err) < 0)
		return -1;
	return check(s, err);
}

int oci_spec_parse(const void *json, size_t n, struct arena *a, struct oci_spec **ret,
		   struct err *err)
{
	JSON_AUTO doc = n > MAX_SPEC ? NULL : json_parse(json, n, err);
	struct oci_spec *s;

	if (n > MAX_SPEC)
		return err_set(err, ERR_INVALID, "config.json: larger than %d bytes",
			       MAX_SPEC);
	if (!doc)
		return err_wrap(err, "config.json");
	s = arena_alloc(a, sizeof(*s));
	if (parse(yyjson_doc_get_root(doc), a, s, err) < 0)
		return err_wrap(err, "config.json");
	*ret = s;
	return 0;
}

struct oci_process *oci_spec_process(struct oci_spec *s)
{
	return s->process;
}

bool oci_spec_has_ns(const struct oci_spec *s, enum oci_ns ns)
{
	return s->ns[ns].present;
}

const char *oci_spec_version(const struct oci_spec *s)
{
	return s->version;
}

const char *oci_spec_root(const struct oci_spec *s)
{
	return s->root;
}

const struct resources *oci_spec_resources(const struct oci_spec *s)
{
	return &s->res;
}

const char *oci_spec_cgroups_path(const struct oci_spec *s)
{
	return str_or_empty(s->cgroups_path);
}

const char *oci_annotation(const struct oci_spec *s, const char *key)
{
	for (size_t i = 0; i < s->nannotations; i++) {
		const char *v = s->annotations[i].value;

		if (str_eq(s->annotations[i].key, key))
			return *v && !str_eq(v, "0") && !str_eq(v, "false") ? v : NULL;
	}
	return NULL;
}

bool oci_spec_annotation(const struct oci_spec *s, size_t i, const char **ret_key,
			 const char **ret_value)
{
	if (i >= s->nannotations)
		return false;
	*ret_key = s->annotations[i].key;
	*ret_value = s->annotations[i].value;
	return true;
}

void oci_spec_seccomp_default(struct oci_spec *s, struct arena *a)
{
	s->seccomp =
		seccomp_profile_default(s->process ? s->process->caps.bounding : 0, a);
}

int oci_spec_seccomp_parse(struct oci_spec *s, const void *json, size_t n,
			   struct arena *a, struct err *err)
{
	return seccomp_profile_read(json, n, a, &s->seccomp, err);
}

int oci_seccomp_compile(const struct oci_spec *s, const char *cache, struct buf *ret,
			struct err *err)
{
	return s->seccomp ? seccomp_compile(s->seccomp, cache, ret, err) : 0;
}

const struct rdt *oci_spec_rdt(const struct oci_spec *s)
{
	return s->rdt;
}

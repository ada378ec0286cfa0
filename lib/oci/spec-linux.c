/* spec-linux: config.json's "linux" (config-linux.md). */
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "base/str.h"
#include "cgroup/rdt.h"
#include "oci/oci-int.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

const struct oci_ns_type oci_ns_types[OCI_NS_COUNT] = {
	[OCI_NS_USER] = {CLONE_NEWUSER, "user", "user"},
	[OCI_NS_CGROUP] = {CLONE_NEWCGROUP, "cgroup", "cgroup"},
	[OCI_NS_IPC] = {CLONE_NEWIPC, "ipc", "ipc"},
	[OCI_NS_UTS] = {CLONE_NEWUTS, "uts", "uts"},
	[OCI_NS_NET] = {CLONE_NEWNET, "network", "net"},
	[OCI_NS_PID] = {CLONE_NEWPID, "pid", "pid"},
	[OCI_NS_MNT] = {CLONE_NEWNS, "mount", "mnt"},
	[OCI_NS_TIME] = {CLONE_NEWTIME, "time", "time"},
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
		for (size_t n = strlen(d->path); n > 1 && d->path[n - 1] == '/'; n--)
			d->path = arena_strndup(a, d->path, n - 1);
		d->type = *type == 'u' ? 'c' : *type;
		d->major = (uint32_t)major;
		d->minor = (uint32_t)minor;
		d->mode = (mode_t)mode & 07777;
		d->uid = (uid_t)uid;
		d->gid = (gid_t)gid;
	}
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
	else if (str_eq(p->key, "kernel.domainname") && s->domainname &&
		 !str_eq(s->domainname, p->value))
		return err_set(
			err, ERR_INVALID,
			"linux.sysctl.kernel.domainname: conflicts with domainname");
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

static int parse_rdt(yyjson_val *lin, struct arena *a, struct oci_spec *s,
		     struct err *err)
{
	yyjson_val *v;

	if (json_opt_obj(lin, "linux", "intelRdt", &v, err) < 0)
		return -1;
	return v ? rdt_parse(v, "linux.intelRdt", a, &s->rdt, err) : 0;
}

int oci_parse_linux(yyjson_val *lin, struct arena *a, struct oci_spec *s, struct err *err)
{
	yyjson_val *v;

	if (parse_namespaces(lin, a, s, err) < 0 ||
	    oci_parse_time_offsets(lin, a, s, err) < 0 ||
	    oci_parse_personality(lin, a, s, err) < 0 ||
	    oci_parse_mempolicy(lin, a, s, err) < 0 ||
	    oci_parse_netdevs(lin, a, s, err) < 0 || parse_rdt(lin, a, s, err) < 0 ||
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
	    resources_parse_val(v, "linux.resources", a, &s->res, err) < 0)
		return -1;
	if (json_opt_obj(lin, "linux", "seccomp", &v, err) < 0)
		return -1;
	return v ? seccomp_profile_parse(v, "linux.seccomp", a, &s->seccomp, err) : 0;
}

/* ctrspec: CreateContainer to the runtime-spec config and "ctr.create". */
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cri/spec.h"
#include "cri/specparts.h"
#include "wire/base64.h"

/* What the pieces below share. */
struct ctx {
	const struct cri_ctr_source *src;
	const Cri__LinuxContainerSecurityContext *sec; /* never NULL */
	const Cri__LinuxContainerResources *res;       /* may be NULL */
	const Cri__NamespaceOption *ns;		       /* of the pod; may be NULL */
	bool privileged;
	bool host_net;
	yyjson_mut_doc *d;
	yyjson_mut_val *process, *lin; /* of the spec */
};

static void add_list(yyjson_mut_doc *d, yyjson_mut_val *arr, size_t n,
		     const char *const *list)
{
	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_add_strcpy(d, arr, list[i]);
}

/* command replaces the image's entrypoint and command, args its command. */
static int add_args(struct ctx *x, struct err *err)
{
	const Cri__ContainerConfig *c = x->src->config;
	const struct image_config *im = x->src->image;
	yyjson_mut_val *arr = json_add_arr(x->d, x->process, "args");
	const char *first;

	if (c->n_command) {
		add_list(x->d, arr, c->n_command, (const char *const *)c->command);
		add_list(x->d, arr, c->n_args, (const char *const *)c->args);
	} else {
		add_list(x->d, arr, im->entrypoint.n, im->entrypoint.v);
		if (c->n_args)
			add_list(x->d, arr, c->n_args, (const char *const *)c->args);
		else
			add_list(x->d, arr, im->cmd.n, im->cmd.v);
	}
	first = yyjson_mut_get_str(yyjson_mut_arr_get_first(arr));
	if (!first || !*first)
		return err_set(err, ERR_INVALID,
			       "no command specified, and the image has none");
	return 0;
}

/* Adds KEY=value; a later one replaces an earlier one of the same key. */
static void put_env(struct ctx *x, yyjson_mut_val *arr, const char *key, size_t key_len,
		    const void *value, size_t value_len)
{
	BUF_AUTO text = {0};
	yyjson_mut_val *v;
	size_t i, max;

	buf_add(&text, key, key_len);
	buf_add_char(&text, '=');
	buf_add(&text, value, value_len);
	yyjson_mut_arr_foreach(arr, i, max, v)
	{
		const char *s = yyjson_mut_get_str(v);

		if (strncmp(s, buf_str(&text), key_len + 1) == 0) {
			yyjson_mut_arr_replace(arr, i,
					       yyjson_mut_strncpy(x->d, buf_str(&text),
								  text.len));
			return;
		}
	}
	yyjson_mut_arr_add_strncpy(x->d, arr, buf_str(&text), text.len);
}

/* A value that JSON cannot hold. */
static void put_raw_env(struct ctx *x, yyjson_mut_val *raw, const Cri__KeyValue *e)
{
	yyjson_mut_val *v = yyjson_mut_arr_add_obj(x->d, raw);
	BUF_AUTO text = {0};

	base64_encode(&text, e->value.data, e->value.len);
	json_add_str(x->d, v, "key", e->key);
	json_add_str(x->d, v, "value", buf_str(&text));
}

static int add_env(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	static const char path[] =
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	const Cri__ContainerConfig *c = x->src->config;
	const struct image_config *im = x->src->image;
	yyjson_mut_val *arr = json_add_arr(x->d, x->process, "env");
	yyjson_mut_val *raw = json_add_arr(x->d, obj, "raw_env");

	put_env(x, arr, "PATH", 4, path, sizeof(path) - 1);
	if (*x->src->pod->hostname)
		put_env(x, arr, "HOSTNAME", 8, x->src->pod->hostname,
			strlen(x->src->pod->hostname));
	if (c->tty)
		put_env(x, arr, "TERM", 4, "xterm", 5);
	for (size_t i = 0; i < im->env.n; i++) {
		const char *eq = strchr(im->env.v[i], '=');

		if (eq) /* R15: one without a value is not looked up anywhere */
			put_env(x, arr, im->env.v[i], (size_t)(eq - im->env.v[i]), eq + 1,
				strlen(eq + 1));
	}
	for (size_t i = 0; i < c->n_envs; i++) {
		const Cri__KeyValue *e = c->envs[i];

		if (!*e->key || strchr(e->key, '='))
			return err_set(err, ERR_INVALID, "envs[%zu].key \"%s\"", i,
				       e->key);
		if (e->value.len && memchr(e->value.data, 0, e->value.len))
			return err_set(err, ERR_INVALID, "envs[%zu] %s: holds a NUL", i,
				       e->key);
		if (!str_is_utf8((const char *)e->value.data, e->value.len)) {
			put_raw_env(x, raw, e);
			continue;
		}
		put_env(x, arr, e->key, strlen(e->key), e->value.data, e->value.len);
	}
	return 0;
}

static int add_process(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	const Cri__ContainerConfig *c = x->src->config;
	const char *cwd = *c->working_dir ? c->working_dir
			  : str_empty(x->src->image->working_dir)
				  ? "/"
				  : x->src->image->working_dir;
	yyjson_mut_val *limit;

	json_add_bool(x->d, x->process, "terminal", c->tty);
	if (add_args(x, err) < 0 || add_env(x, obj, err) < 0)
		return -1;
	if (*cwd != '/')
		return err_set(err, ERR_INVALID, "working_dir \"%s\" is not absolute",
			       cwd);
	json_add_str(x->d, x->process, "cwd", cwd);
	json_add_bool(x->d, x->process, "noNewPrivileges", x->sec->no_new_privs);
	if (x->res)
		json_add_i64(x->d, x->process, "oomScoreAdj", x->res->oom_score_adj);
	/* never inherited: what the daemon was given is not what a service expects */
	limit = yyjson_mut_arr_add_obj(x->d, json_add_arr(x->d, x->process, "rlimits"));
	json_add_str(x->d, limit, "type", "RLIMIT_NOFILE");
	json_add_u64(x->d, limit, "hard", 524288);
	json_add_u64(x->d, limit, "soft", 1024);
	return spec_add_capabilities(x->sec->capabilities, x->privileged, x->d,
				     x->process, err);
}

static int add_user(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *s = x->sec;
	yyjson_mut_val *u = json_add_obj(x->d, obj, "user"), *groups;

	if (s->run_as_group && !s->run_as_user && !*s->run_as_username)
		return err_set(err, ERR_INVALID,
			       "run_as_group needs run_as_user or run_as_username");
	if ((s->run_as_user &&
	     (s->run_as_user->value < 0 || s->run_as_user->value > UINT32_MAX - 1)) ||
	    (s->run_as_group &&
	     (s->run_as_group->value < 0 || s->run_as_group->value > UINT32_MAX - 1)))
		return err_set(err, ERR_INVALID,
			       "run_as_user or run_as_group: out of range");
	if (*s->run_as_username)
		json_add_str(x->d, u, "username", s->run_as_username);
	else if (s->run_as_user)
		json_add_i64(x->d, u, "uid", s->run_as_user->value);
	else
		json_add_str(x->d, u, "image_user", str_or_empty(x->src->image->user));
	if (s->run_as_group)
		json_add_i64(x->d, u, "gid", s->run_as_group->value);
	groups = json_add_arr(x->d, u, "groups");
	for (size_t i = 0; i < s->n_supplemental_groups; i++) {
		if (s->supplemental_groups[i] < 0 ||
		    s->supplemental_groups[i] > UINT32_MAX - 1)
			return err_set(err, ERR_INVALID,
				       "supplemental_groups[%zu]: out of range", i);
		yyjson_mut_arr_add_int(x->d, groups, s->supplemental_groups[i]);
	}
	json_add_bool(x->d, u, "strict",
		      s->supplemental_groups_policy ==
			      CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict);
	return 0;
}

/* The pod's own namespaces are joined by the shim, which holds them; the rest are new. */
static int add_namespaces(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	static const char *const types[] = {"mount", "pid", "network",
					    "ipc",   "uts", "user"};
	const Cri__NamespaceOption *o = x->sec->namespace_options;
	Cri__NamespaceMode pid = o	 ? o->pid
				 : x->ns ? x->ns->pid
					 : CRI__NAMESPACE_MODE__POD;
	const Cri__NamespaceOption *eff = o ? o : x->ns;
	yyjson_mut_val *arr = json_add_arr(x->d, x->lin, "namespaces");

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if ((str_eq(types[i], "pid") && pid == CRI__NAMESPACE_MODE__NODE) ||
		    ((str_eq(types[i], "network") || str_eq(types[i], "uts")) &&
		     x->host_net) ||
		    (str_eq(types[i], "ipc") && eff &&
		     eff->ipc == CRI__NAMESPACE_MODE__NODE) ||
		    (str_eq(types[i], "user") && !cri_userns(x->ns)))
			continue;
		json_add_str(x->d, yyjson_mut_arr_add_obj(x->d, arr), "type", types[i]);
	}
	if (!x->privileged)
		json_add_str(x->d, yyjson_mut_arr_add_obj(x->d, arr), "type", "cgroup");
	json_add_str(x->d, obj, "pid",
		     pid == CRI__NAMESPACE_MODE__POD	     ? "pod"
		     : pid == CRI__NAMESPACE_MODE__CONTAINER ? "container"
							     : "node");
	if (pid != CRI__NAMESPACE_MODE__TARGET)
		return 0;
	if (!o || !*o->target_id)
		return err_set(err, ERR_INVALID,
			       "namespace_options.target_id is needed with pid TARGET");
	json_add_str(x->d, obj, "pid_target", o->target_id);
	return 0;
}

static void add_maps(struct ctx *x, const char *key, size_t n, Cri__IDMapping **maps)
{
	yyjson_mut_val *arr = json_add_arr(x->d, x->lin, key);

	for (size_t i = 0; i < n; i++) {
		yyjson_mut_val *m = yyjson_mut_arr_add_obj(x->d, arr);

		json_add_u64(x->d, m, "containerID", maps[i]->container_id);
		json_add_u64(x->d, m, "hostID", maps[i]->host_id);
		json_add_u64(x->d, m, "size", maps[i]->length);
	}
}

static int same_map(size_t n, Cri__IDMapping **a, size_t m, Cri__IDMapping **b)
{
	if (n != m)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (a[i]->container_id != b[i]->container_id ||
		    a[i]->host_id != b[i]->host_id || a[i]->length != b[i]->length)
			return 0;
	return 1;
}

/* A container has the user namespace of its pod: what it asks for must agree. */
static int add_userns(struct ctx *x, struct err *err)
{
	const Cri__UserNamespace *pod = cri_userns(x->ns), *own;
	const Cri__NamespaceOption *o = x->sec->namespace_options;

	own = o ? o->userns_options : NULL;
	if (own && own->mode != CRI__NAMESPACE_MODE__POD &&
	    own->mode != CRI__NAMESPACE_MODE__NODE)
		return err_set(err, ERR_INVALID, "userns_options.mode is not supported");
	own = cri_userns(o);
	if (own && (!pod || !same_map(own->n_uids, own->uids, pod->n_uids, pod->uids) ||
		    !same_map(own->n_gids, own->gids, pod->n_gids, pod->gids)))
		return err_set(err, ERR_INVALID,
			       "userns_options differ from those of the pod");
	if (!pod)
		return 0;
	if (x->privileged)
		return err_set(err, ERR_INVALID,
			       "a privileged container cannot have a user namespace");
	add_maps(x, "uidMappings", pod->n_uids, pod->uids);
	add_maps(x, "gidMappings", pod->n_gids, pod->gids);
	return 0;
}

static int add_security(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	const Cri__LinuxContainerSecurityContext *s = x->sec;

	if (!x->privileged) {
		add_list(x->d, json_add_arr(x->d, x->lin, "maskedPaths"),
			 s->n_masked_paths, (const char *const *)s->masked_paths);
		add_list(x->d, json_add_arr(x->d, x->lin, "readonlyPaths"),
			 s->n_readonly_paths, (const char *const *)s->readonly_paths);
	}
	if (s->apparmor &&
	    s->apparmor->profile_type == CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost &&
	    !x->privileged) {
		const char *name = s->apparmor->localhost_ref;

		if (str_starts(name, "localhost/"))
			name += strlen("localhost/");
		if (!*name)
			return err_set(err, ERR_INVALID,
				       "apparmor.localhost_ref is empty");
		json_add_str(x->d, x->process, "apparmorProfile", name);
	}
	if (!s->seccomp || x->privileged)
		return 0;
	switch (s->seccomp->profile_type) {
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined:
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault:
		json_add_str(x->d, obj, "seccomp", "default");
		return 0;
	case CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost:
		if (*s->seccomp->localhost_ref != '/') /* R13: never "unconfined" */
			return err_set(
				err, ERR_INVALID,
				"seccomp.localhost_ref \"%s\" is not an absolute path",
				s->seccomp->localhost_ref);
		json_add_str(x->d, obj, "seccomp", s->seccomp->localhost_ref);
		return 0;
	default:
		return err_set(err, ERR_INVALID, "seccomp.profile_type: %d",
			       (int)s->seccomp->profile_type);
	}
}

static void add_annotations(struct ctx *x, yyjson_mut_val *spec)
{
	const Cri__PodSandboxMetadata *m = x->src->pod->metadata;
	yyjson_mut_val *a = json_add_obj(x->d, spec, "annotations");

	/* what hooks and sandboxed runtimes look for */
	json_add_str(x->d, a, "io.kubernetes.cri.container-type", "container");
	json_add_str(x->d, a, "io.kubernetes.cri.container-name",
		     x->src->config->metadata->name);
	json_add_str(x->d, a, "io.kubernetes.cri.sandbox-id", x->src->pod_id);
	json_add_str(x->d, a, "io.kubernetes.cri.sandbox-name", m->name);
	json_add_str(x->d, a, "io.kubernetes.cri.sandbox-namespace", m->namespace_);
	json_add_str(x->d, a, "io.kubernetes.cri.sandbox-uid", m->uid);
}

static int add_spec(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	yyjson_mut_val *spec = json_add_obj(x->d, obj, "spec"), *root;

	json_add_str(x->d, spec, "ociVersion", "1.2.0");
	x->process = json_add_obj(x->d, spec, "process");
	root = json_add_obj(x->d, spec, "root");
	json_add_str(x->d, root, "path", "rootfs");
	json_add_bool(x->d, root, "readonly", x->sec->readonly_rootfs);
	x->lin = json_add_obj(x->d, spec, "linux");
	if (add_process(x, obj, err) < 0 || add_namespaces(x, obj, err) < 0 ||
	    add_userns(x, err) < 0 || add_security(x, obj, err) < 0 ||
	    spec_add_mounts(x->src, x->privileged, x->host_net, x->d, spec, x->lin, err) <
		    0 ||
	    spec_add_devices(x->src->config, x->privileged, x->d, obj, x->lin, err) < 0 ||
	    spec_add_resources(x->res, x->d, yyjson_mut_obj_get(x->lin, "resources"),
			       err) < 0)
		return -1;
	add_annotations(x, spec);
	return 0;
}

static int add_log(struct ctx *x, yyjson_mut_val *obj, struct err *err)
{
	const char *dir = x->src->pod->log_directory, *path = x->src->config->log_path;
	STR_AUTO all = NULL;

	if (!*dir || !*path)
		return json_add_str(x->d, obj, "log_path", ""), 0;
	if (*path == '/' || str_eq(path, "..") || str_starts(path, "../") ||
	    strstr(path, "/../") || str_ends(path, "/.."))
		return err_set(err, ERR_INVALID,
			       "log_path \"%s\" leaves the log directory", path);
	all = xasprintf("%s/%s", dir, path);
	json_add_str(x->d, obj, "log_path", all);
	return 0;
}

int cri_ctr_spec(const struct cri_ctr_source *src, yyjson_mut_doc *d, yyjson_mut_val *obj,
		 struct err *err)
{
	static const Cri__LinuxContainerSecurityContext none =
		CRI__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
	const Cri__ContainerConfig *c = src->config;
	const Cri__LinuxPodSandboxConfig *pod = src->pod->linux;
	const Cri__LinuxSandboxSecurityContext *psec = pod ? pod->security_context : NULL;
	struct ctx x = {.src = src, .d = d, .sec = &none};
	int stop;

	if (!c || !c->metadata || !*c->metadata->name)
		return err_set(err, ERR_INVALID, "config.metadata.name is missing");
	if (c->linux && c->linux->security_context)
		x.sec = c->linux->security_context;
	x.res = c->linux ? c->linux->resources : NULL;
	x.ns = psec ? psec->namespace_options : NULL;
	x.privileged = x.sec->privileged;
	x.host_net = x.ns && x.ns->network == CRI__NAMESPACE_MODE__NODE;
	if (x.privileged && (!psec || !psec->privileged))
		return err_set(err, ERR_INVALID,
			       "a privileged container needs a privileged pod");
	stop = cri_signal_number(c->stop_signal);
	if (!stop)
		stop = cri_signal_parse(str_or_empty(src->image->stop_signal));
	json_add_i64(d, obj, "stop_signal", stop ? stop : 15);
	json_add_bool(d, obj, "tty", c->tty);
	json_add_bool(d, obj, "stdin", c->stdin);
	json_add_bool(d, obj, "stdin_once", c->stdin_once);
	if (add_log(&x, obj, err) < 0 || add_user(&x, obj, err) < 0)
		return -1;
	return add_spec(&x, obj, err);
}

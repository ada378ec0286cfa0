/* The plugins' side of the protocol: which there are, and running one of ours. */
#include "cni/cni-int.h"

#include <string.h>

#include "base/str.h"

/* Error codes of CNI SPEC section 5, "Error". */
enum {
	CODE_VERSION = 1,
	CODE_ENV = 4,
	CODE_DECODE = 6,
	CODE_CONF = 7,
	CODE_TRY_LATER = 11,
	CODE_INTERNAL = 999
};

static const struct {
	const char *name;
	cni_plugin_fn *run;
} plugins[] = {
	{"bridge", plugin_bridge},
	{"host-local", plugin_host_local},
	{"loopback", plugin_loopback},
	{"portmap", plugin_portmap},
};

static cni_plugin_fn *find(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(plugins); i++)
		if (str_eq(plugins[i].name, type))
			return plugins[i].run;
	return NULL;
}

bool cni_plugin_known(const char *type)
{
	return find(type);
}

yyjson_val *plugin_get(yyjson_val *obj, const char *key)
{
	yyjson_val *found = json_get(obj, key), *k, *v;

	if (found)
		return found;
	json_each_member (k, v, obj)
		if (!found && strcasecmp(yyjson_get_str(k), key) == 0 &&
		    !yyjson_is_null(v))
			found = v;
	return found;
}

const char *plugin_str(yyjson_val *obj, const char *key)
{
	return yyjson_get_str(plugin_get(obj, key));
}

uint64_t plugin_u64(yyjson_val *obj, const char *key)
{
	yyjson_val *v = plugin_get(obj, key);

	return yyjson_is_uint(v) ? yyjson_get_uint(v) : 0;
}

char *plugin_arg(const struct cni_call *call, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = call->args; *p;) {
		size_t len = strcspn(p, ";");

		if (len > n && p[n] == '=' && strncmp(p, key, n) == 0)
			return xstrndup(p + n + 1, len - n - 1);
		p += len + (p[len] == ';');
	}
	return NULL;
}

size_t plugin_valid(const struct cni_plugin_args *p, struct arena *a, const char *kind,
		    struct rules_owner **ret)
{
	yyjson_val *list = json_arr(p->conf, "cni.dev/valid-attachments"), *v;
	struct rules_owner *o = arena_array(a, yyjson_arr_size(list), sizeof(*o));
	size_t n = 0;

	json_each (v, list)
		o[n++] = (struct rules_owner){
			.kind = kind,
			.net = p->net,
			.container_id = str_or_empty(json_str(v, "containerID")),
			.ifname = str_or_empty(json_str(v, "ifname"))};
	*ret = o;
	return n;
}

/* Parses a configuration and runs a plugin of ours with it. *code says what failed. */
static int run_builtin(const struct cni_call *call, cni_plugin_fn *fn, const void *conf,
		       size_t n, struct buf *out, int *code, struct err *err)
{
	struct cni_plugin_args p = {.call = call, .text = conf, .text_len = n};
	JSON_AUTO doc = json_parse(conf, n, err);
	ARENA_AUTO arena = {0};
	struct res res = {.arena = &arena};

	*code = CODE_DECODE;
	if (!doc)
		return err_wrap(err, "network configuration");
	p.conf = yyjson_doc_get_root(doc);
	if (!yyjson_is_obj(p.conf))
		return err_set(err, ERR_INVALID,
			       "network configuration: not a JSON object");
	*code = CODE_VERSION;
	if (cni_version_parse(json_str(p.conf, "cniVersion"), &p.version, err) < 0)
		return -1;
	if (p.version < CNI_1_1_0 &&
	    (call->command == CNI_STATUS || call->command == CNI_GC))
		return err_set(err, ERR_INVALID,
			       "cniVersion %s of the configuration has no %s",
			       cni_version_names[p.version],
			       cni_command_names[call->command]);
	*code = CODE_CONF;
	p.net = str_or_empty(json_str(p.conf, "name"));
	if (*p.net ? !conf_name_ok(p.net) : call->command != CNI_STATUS)
		return err_set(err, ERR_INVALID,
			       "\"%.64s\" cannot be the name of a network", p.net);
	*code = CODE_INTERNAL;
	if (fn(&p, &res, err) < 0)
		return -1;
	if (call->command == CNI_ADD)
		res_write(&res, p.version, out);
	return 0;
}

int cni_invoke(const struct cni_call *call, const char *type, const void *conf, size_t n,
	       struct buf *out, struct err *err)
{
	STR_AUTO program = call->builtin_only ? NULL : exec_find(type, call->path);
	cni_plugin_fn *fn = find(type);
	int code, r;

	if (program)
		r = exec_plugin(call, program, conf, n, out, err);
	else if (fn)
		r = run_builtin(call, fn, conf, n, out, &code, err);
	else
		return err_set(err, ERR_NOT_FOUND,
			       "plugin %.64s is not in %s and not built in", type,
			       call->path);
	return r < 0 ? err_wrap(err, "plugin %s", type) : 0;
}

/* --- called by somebody else's runtime ------------------------------------------------- */

static int fail(struct buf *out, const char *version, int code, const char *msg)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);

	json_add_str(d, root, "cniVersion", version);
	json_add_i64(d, root, "code", code);
	json_add_str(d, root, "msg", msg);
	json_write(d, true, out);
	buf_add_char(out, '\n');
	return 1;
}

/* cniVersion of a configuration that may be anything; the newest if it has none. */
static const char *version_of(const void *conf, size_t n)
{
	struct err ignored;
	JSON_AUTO doc = json_parse(conf, n, &ignored);
	enum cni_version v;

	if (cni_version_parse(json_str(yyjson_doc_get_root(doc), "cniVersion"), &v,
			      &ignored) < 0 ||
	    v == CNI_0_1_0)
		v = CNI_1_1_0;
	return cni_version_names[v];
}

static void print_versions(struct buf *out, const char *version)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *arr;

	json_add_str(d, root, "cniVersion", version);
	arr = json_add_arr(d, root, "supportedVersions");
	for (int i = 0; i < CNI_VERSIONS; i++)
		yyjson_mut_arr_add_str(d, arr, cni_version_names[i]);
	json_write(d, false, out);
	buf_add_char(out, '\n');
}

/* What each command needs of the environment; NULL if it is there, else what is wrong. */
static const char *check_env(const struct cni_call *call)
{
	bool attachment = call->command == CNI_ADD || call->command == CNI_DEL ||
			  call->command == CNI_CHECK;

	if (attachment && !conf_name_ok(call->container_id))
		return "CNI_CONTAINERID is missing or not valid";
	if (attachment && !rtnl_name_ok(call->ifname))
		return "CNI_IFNAME is missing or not valid";
	if (attachment && call->command != CNI_DEL && !*call->netns)
		return "CNI_NETNS is missing";
	return NULL;
}

int cni_plugin_run(const char *type, const struct cni_env *env, const void *conf,
		   size_t n, struct buf *out)
{
	const char *command = str_or_empty(env->command), *wrong;
	struct cni_call call = {.container_id = str_or_empty(env->container_id),
				.netns = str_or_empty(env->netns),
				.ifname = str_or_empty(env->ifname),
				.args = str_or_empty(env->args),
				.path = str_or_empty(env->path)};
	const char *version = version_of(conf, n);
	int i = 0, code = CODE_INTERNAL;
	struct err err;

	while (i < CNI_COMMANDS && !str_eq(command, cni_command_names[i]))
		i++;
	if (i == CNI_COMMANDS)
		return fail(out, version, CODE_ENV,
			    *command ? "CNI_COMMAND is not one that is known"
				     : "CNI_COMMAND is missing");
	call.command = (enum cni_command)i;
	if (call.command == CNI_VERSION) {
		print_versions(out, version);
		return 0;
	}
	wrong = check_env(&call);
	if (wrong)
		return fail(out, version, CODE_ENV, wrong);
	if (run_builtin(&call, find(type), conf, n, out, &code, &err) < 0) {
		if (code == CODE_INTERNAL && err.code == ERR_INVALID)
			code = CODE_CONF;
		if (code == CODE_INTERNAL && err.code == ERR_UNAVAILABLE)
			code = CODE_TRY_LATER;
		return fail(out, version, code, err.msg);
	}
	if (out->len)
		buf_add_char(out, '\n');
	return 0;
}

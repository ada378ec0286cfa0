/* Network configuration lists (CNI SPEC section 1). */
#include "cni/cni-int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/rtnetlink.h>

#include "base/num.h"
#include "base/str.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/netlink.h"

static const char builtin_name[] = "cribox", builtin_bridge[] = "cribox0";

const char *conf_dir(const struct cni_dirs *dirs)
{
	return str_empty(dirs->conf_dir) ? "/etc/cni/net.d" : dirs->conf_dir;
}

const char *conf_bin_dirs(const struct cni_dirs *dirs)
{
	return str_empty(dirs->bin_dirs) ? "/opt/cni/bin" : dirs->bin_dirs;
}

const char *conf_cache_dir(const struct cni_dirs *dirs)
{
	return str_empty(dirs->cache_dir) ? "/var/lib/cni" : dirs->cache_dir;
}

bool conf_name_ok(const char *s)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	return *s && !strchr("_.-", *s) && s[strspn(s, alnum)] == 0 &&
	       strlen(s) <= CNI_TEXT_MAX;
}

void cni_net_free(struct cni_net **net)
{
	if (!*net)
		return;
	json_free(&(*net)->doc);
	free((*net)->name);
	free((*net)->file);
	free((*net)->text);
	free(*net);
	*net = NULL;
}

const char *cni_net_name(const struct cni_net *net)
{
	return net->name;
}

const char *cni_net_file(const struct cni_net *net)
{
	return net->file;
}

/* --- reading a list -------------------------------------------------------------------- */

/* cniVersion, or the newest of cniVersions (1.1.0) that we know. */
static int take_version(yyjson_val *root, enum cni_version *ret, struct err *err)
{
	yyjson_val *v;
	struct err ignored;
	enum cni_version best = CNI_0_1_0, one;

	if (cni_version_parse(json_str(root, "cniVersion"), &best, err) < 0 &&
	    !json_arr(root, "cniVersions"))
		return -1;
	json_each (v, json_arr(root, "cniVersions"))
		if (yyjson_is_str(v) &&
		    cni_version_parse(yyjson_get_str(v), &one, &ignored) == 0)
			best = MAX(best, one);
	*ret = best;
	return 0;
}

static int check_plugins(yyjson_val *plugins, struct err *err)
{
	const char *type;
	yyjson_val *v;

	if (yyjson_arr_size(plugins) == 0)
		return err_set(err, ERR_INVALID, "no plugins");
	if (yyjson_arr_size(plugins) > CNI_LIST_MAX)
		return err_set(err, ERR_INVALID, "more than %d plugins", CNI_LIST_MAX);
	json_each (v, plugins) {
		if (json_want_str(v, "plugins[]", "type", &type, err) < 0)
			return -1;
		if (!exec_type_ok(type))
			return err_set(err, ERR_INVALID,
				       "plugin type \"%.64s\" is not a plain file name",
				       type);
	}
	return 0;
}

/* A configuration of one plugin as a list of one. */
static char *as_list(yyjson_val *root)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *list = yyjson_mut_doc_get_root(d), *arr;
	BUF_AUTO out = {0};

	json_add_str(d, list, "cniVersion", json_str(root, "cniVersion"));
	json_add_str(d, list, "name", json_str(root, "name"));
	arr = json_add_arr(d, list, "plugins");
	yyjson_mut_arr_append(arr, yyjson_val_mut_copy(d, root));
	json_write(d, false, &out);
	return buf_detach(&out);
}

static int take_list(struct cni_net *net, struct err *err)
{
	yyjson_val *root;
	const char *name;

	net->doc = json_parse(net->text, strlen(net->text), err);
	if (!net->doc)
		return -1;
	root = yyjson_doc_get_root(net->doc);
	if (!yyjson_is_obj(root))
		return err_set(err, ERR_INVALID, "not a JSON object");
	if (!json_get(root, "plugins") && json_get(root, "type")) {
		char *list = as_list(root);

		json_free(&net->doc);
		free(net->text);
		net->text = list;
		return take_list(net, err);
	}
	if (json_want_str(root, "network", "name", &name, err) < 0 ||
	    take_version(root, &net->version, err) < 0)
		return -1;
	if (!conf_name_ok(name))
		return err_set(err, ERR_INVALID, "\"%.64s\" cannot be a network's name",
			       name);
	net->name = xstrdup(name);
	net->disable_check = json_bool(root, "disableCheck", false);
	net->builtin_only = json_bool(root, "cribox.builtin", false);
	net->plugins = json_arr(root, "plugins");
	return check_plugins(net->plugins, err);
}

int conf_parse(const char *text, size_t n, const char *file, struct cni_net **ret,
	       struct err *err)
{
	CNI_NET_AUTO net = xcalloc(1, sizeof(*net));

	net->text = xstrndup(text, n);
	net->file = file ? xstrdup(file) : NULL;
	if (take_list(net, err) < 0)
		return -1;
	*ret = net;
	net = NULL;
	return 0;
}

static int load_file(const char *dir, const char *name, struct cni_net **ret,
		     struct err *err)
{
	STR_AUTO path = xasprintf("%s/%s", dir, name);
	BUF_AUTO text = {0};

	if (file_read(AT_FDCWD, path, CNI_CONF_MAX, &text, err) < 0)
		return -1;
	if (conf_parse(buf_str(&text), text.len, path, ret, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

/* --- the built-in network -------------------------------------------------------------- */

static const char *const candidates[] = {"10.244.0.0/16",    "10.88.0.0/16",
					 "10.132.0.0/16",    "172.30.0.0/16",
					 "192.168.244.0/24", NULL};

/* *ret: the candidate that our bridge has its address from, or NULL. 0 or -1. */
static int subnet_in_use(int rt, const char **ret, struct err *err)
{
	struct rtnl_link bridge = {0};
	struct ip_net have[8], net;
	struct err ignored;
	int n = 0;

	*ret = NULL;
	if (link_get(rt, builtin_bridge, &bridge, err) < 0)
		return -1;
	if (bridge.index)
		n = link_addrs(rt, bridge.index, have, ARRAY_LEN(have), &ignored);
	for (int k = 0; k < n; k++)
		for (int i = 0; candidates[i] && !*ret; i++)
			if (ip_net_parse(candidates[i], &net) == 0 &&
			    net.prefix == have[k].prefix && ip_in(&net, &have[k].ip))
				*ret = candidates[i];
	return 0;
}

/* Marks the candidates that one of the routes in a reply overlaps. */
static void mark_used(const struct buf *reply, bool *used)
{
	struct nl_view v = {reply->data, reply->len};
	struct ip_net dst, net;
	struct nl_msg m;
	uint32_t index;

	while (nl_next(&v, &m)) {
		if (!rtnl_route_parse(&m, &dst, &index) || !dst.prefix)
			continue;
		for (int i = 0; candidates[i]; i++)
			if (ip_net_parse(candidates[i], &net) == 0 &&
			    ip_overlap(&net, &dst))
				used[i] = true;
	}
}

/* Routes are only looked at for the first pod: a router may have a million of them. */
static int choose_subnet(const char **ret, struct err *err)
{
	FD_AUTO rt = netlink_open(NETLINK_ROUTE, err);
	bool used[ARRAY_LEN(candidates)] = {false};
	BUF_AUTO req = {0}, reply = {0};
	int i = 0;

	if (rt < 0 || subnet_in_use(rt, ret, err) < 0)
		return -1;
	if (*ret)
		return 0;
	rtnl_routes_dump(&req, false);
	if (netlink_call(rt, req.data, req.len, &reply, err) < 0)
		return err_wrap(err, "list routes");
	mark_used(&reply, used);
	/* a pod that starts beside us may have made the bridge, and a route, meanwhile */
	if (subnet_in_use(rt, ret, err) < 0)
		return -1;
	if (*ret)
		return 0;
	while (candidates[i] && used[i])
		i++;
	if (!candidates[i])
		return err_set(
			err, ERR_EXHAUSTED,
			"built-in network: all subnets that it may take are routed "
			"by this host: configure one");
	*ret = candidates[i];
	return 0;
}

static void add_range(yyjson_mut_doc *d, yyjson_mut_val *ranges, yyjson_mut_val *routes,
		      const char *subnet, bool v6)
{
	yyjson_mut_val *set = yyjson_mut_arr_add_arr(d, ranges);

	json_add_str(d, yyjson_mut_arr_add_obj(d, set), "subnet", subnet);
	json_add_str(d, yyjson_mut_arr_add_obj(d, routes), "dst",
		     v6 ? "::/0" : "0.0.0.0/0");
}

/* Adds what is allotted from: one or two subnets separated by a comma. */
static int add_subnets(yyjson_mut_doc *d, yyjson_mut_val *ipam, const char *subnets,
		       struct err *err)
{
	yyjson_mut_val *ranges = json_add_arr(d, ipam, "ranges");
	yyjson_mut_val *routes = json_add_arr(d, ipam, "routes");
	STR_AUTO copy = xstrdup(subnets);
	char *rest = copy, *one;
	bool seen[2] = {false};
	struct ip_net net;

	while ((one = strsep(&rest, ","))) {
		if (ip_net_parse(one, &net) < 0 || seen[net.ip.v6])
			return err_set(
				err, ERR_INVALID,
				"subnet of the built-in network: \"%.100s\" is not "
				"an IPv4 subnet, an IPv6 subnet, or one of each",
				subnets);
		seen[net.ip.v6] = true;
		add_range(d, ranges, routes, one, net.ip.v6);
	}
	return 0;
}

static int builtin(const struct cni_dirs *dirs, const char *subnets, struct cni_net **ret,
		   struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *plugins, *p, *o;
	STR_AUTO leases = xasprintf("%s/networks", conf_cache_dir(dirs));
	BUF_AUTO text = {0};

	json_add_str(d, root, "cniVersion", "1.0.0");
	json_add_str(d, root, "name", builtin_name);
	json_add_bool(d, root, "cribox.builtin", true);
	plugins = json_add_arr(d, root, "plugins");
	p = yyjson_mut_arr_add_obj(d, plugins);
	json_add_str(d, p, "type", "bridge");
	json_add_str(d, p, "bridge", builtin_bridge);
	json_add_bool(d, p, "isGateway", true);
	json_add_bool(d, p, "ipMasq", true);
	json_add_bool(d, p, "hairpinMode", true);
	json_add_bool(d, p, "cribox.guard", true);
	json_add_bool(d, p, "cribox.removeUnused", true);
	o = json_add_obj(d, p, "ipam");
	json_add_str(d, o, "type", "host-local");
	json_add_str(d, o, "dataDir", leases);
	if (add_subnets(d, o, subnets, err) < 0)
		return -1;
	p = yyjson_mut_arr_add_obj(d, plugins);
	json_add_str(d, p, "type", "portmap");
	o = json_add_obj(d, p, "capabilities");
	json_add_bool(d, o, "portMappings", true);
	json_write(d, false, &text);
	return conf_parse(buf_str(&text), text.len, NULL, ret, err);
}

/* --- finding it ------------------------------------------------------------------------ */

static int is_conf(const struct dirent *e)
{
	return e->d_name[0] != '.' &&
	       (str_ends(e->d_name, ".conflist") || str_ends(e->d_name, ".conf") ||
		str_ends(e->d_name, ".json"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* 1 with a network, 0 if there is no configuration file, -1 if there is no valid one. */
static int load_dir(const char *dir, struct cni_net **ret, struct err *err)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, is_conf, by_name), r = 0;

	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(err, errno, "read %s", dir);
	for (int i = 0; i < n; i++) {
		struct err why;

		if (r <= 0 && load_file(dir, list[i]->d_name, ret, &why) == 0)
			r = 1;
		else if (r == 0) {
			*err = why;
			r = -1;
		}
		free(list[i]);
	}
	free(list);
	return r;
}

/* As load_dir; 0 only if the built-in network is to be taken. */
static int load_configured(const struct cni_dirs *dirs, struct cni_net **ret,
			   struct err *err)
{
	int r = load_dir(conf_dir(dirs), ret, err);

	if (r == 0 && dirs->no_builtin)
		return err_set(err, ERR_NOT_FOUND, "no network configuration in %s",
			       conf_dir(dirs));
	return r;
}

int cni_load(const struct cni_dirs *dirs, struct cni_net **ret, struct err *err)
{
	const char *subnet = dirs->subnet;
	int r = load_configured(dirs, ret, err);

	if (r != 0)
		return r < 0 ? -1 : 0;
	if (str_empty(subnet) && choose_subnet(&subnet, err) < 0)
		return -1;
	return builtin(dirs, subnet, ret, err);
}

int conf_check_plugins(const struct cni_dirs *dirs, const struct cni_net *net,
		       struct err *err)
{
	yyjson_val *p;

	json_each (p, net->plugins) {
		const char *type = json_str(p, "type");
		STR_AUTO path = NULL;

		if (cni_plugin_known(type))
			continue;
		path = exec_find(type, conf_bin_dirs(dirs));
		if (!path)
			return err_set(err, ERR_NOT_FOUND,
				       "%s: plugin %s is not in %s and not built in",
				       net->file ? net->file : net->name, type,
				       conf_bin_dirs(dirs));
	}
	return 0;
}

int cni_ready(const struct cni_dirs *dirs, struct err *err)
{
	CNI_NET_AUTO net = NULL;
	int r = load_configured(dirs, &net, err);

	if (r < 0)
		return -1;
	if (r == 0 || !net)
		return builtin(dirs,
			       str_empty(dirs->subnet) ? candidates[0] : dirs->subnet,
			       &net, err);
	return conf_check_plugins(dirs, net, err);
}

/* --- what a plugin gets ---------------------------------------------------------------- */

/* runtimeConfig: the capability arguments whose capability the plugin declares. */
static void add_runtime_config(yyjson_mut_doc *d, yyjson_mut_val *conf,
			       yyjson_val *plugin, yyjson_val *caps)
{
	yyjson_val *k, *v, *arg;
	yyjson_mut_val *rc = NULL;

	json_each_member (k, v, json_obj(plugin, "capabilities")) {
		arg = yyjson_is_true(v) ? json_get(caps, yyjson_get_str(k)) : NULL;
		if (!arg)
			continue;
		if (!rc) {
			yyjson_mut_obj_remove_key(conf, "runtimeConfig");
			rc = json_add_obj(d, conf, "runtimeConfig");
		}
		yyjson_mut_obj_add(rc, yyjson_val_mut_copy(d, k),
				   yyjson_val_mut_copy(d, arg));
	}
}

int conf_for_plugin(const struct cni_net *net, yyjson_val *plugin, yyjson_val *caps,
		    const struct buf *prev, struct buf *out, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *conf = yyjson_val_mut_copy(d, plugin);
	JSON_AUTO prev_doc = NULL;

	if (!conf)
		err_oom(sizeof(*conf));
	yyjson_mut_doc_set_root(d, conf);
	yyjson_mut_obj_remove_key(conf, "cniVersion");
	yyjson_mut_obj_remove_key(conf, "name");
	yyjson_mut_obj_remove_key(conf, "prevResult");
	json_add_str(d, conf, "cniVersion", cni_version_names[net->version]);
	json_add_str(d, conf, "name", net->name);
	add_runtime_config(d, conf, plugin, caps);
	if (prev && prev->len) {
		BUF_AUTO same = {0};

		if (res_convert((const char *)prev->data, prev->len, net->version, &same,
				err) < 0)
			return -1;
		prev_doc = json_parse(same.data, same.len, err);
		if (!prev_doc)
			return -1;
		yyjson_mut_obj_add_val(
			d, conf, "prevResult",
			yyjson_val_mut_copy(d, yyjson_doc_get_root(prev_doc)));
	}
	json_write(d, false, out);
	return 0;
}

/* A runtime's side: chains of plugins, and what is remembered of them. */
#include "cni/cni-int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/str.h"

/* --- arguments ------------------------------------------------------------------------- */

static int check_request(const struct cni_request *req, struct err *err)
{
	if (!conf_name_ok(str_or_empty(req->container_id)))
		return err_set(err, ERR_INVALID, "network: bad container id \"%.64s\"",
			       str_or_empty(req->container_id));
	if (req->ifname && !rtnl_name_ok(req->ifname))
		return err_set(err, ERR_INVALID, "network: bad interface name \"%.64s\"",
			       req->ifname);
	return 0;
}

static int add_arg(struct buf *b, const char *key, const char *value, struct err *err)
{
	if (!value)
		return 0;
	if (strpbrk(value, ";="))
		return err_set(err, ERR_INVALID,
			       "network: %s \"%.64s\" cannot be passed to CNI plugins",
			       key, value);
	buf_add_fmt(b, ";%s=%s", key, value);
	return 0;
}

/* CNI_ARGS, as the runtimes of Kubernetes agree on it. */
static int build_args(const struct cni_request *req, struct buf *b, struct err *err)
{
	buf_add_str(b, "IgnoreUnknown=1");
	if (add_arg(b, "K8S_POD_NAMESPACE", req->pod_namespace, err) < 0 ||
	    add_arg(b, "K8S_POD_NAME", req->pod_name, err) < 0 ||
	    add_arg(b, "K8S_POD_INFRA_CONTAINER_ID", req->container_id, err) < 0 ||
	    add_arg(b, "K8S_POD_UID", req->pod_uid, err) < 0)
		return -1;
	return 0;
}

static int add_ports(yyjson_mut_doc *d, yyjson_mut_val *root,
		     const struct cni_request *req, struct err *err)
{
	yyjson_mut_val *arr = NULL;

	for (size_t i = 0; i < req->nports; i++) {
		const struct cni_port *p = &req->ports[i];
		const char *proto = str_empty(p->protocol) ? "tcp" : p->protocol;
		char lower[8] = "";
		yyjson_mut_val *o;

		if (!p->host_port)
			continue;
		if (strlen(proto) >= sizeof(lower))
			return err_set(err, ERR_INVALID,
				       "port mapping: protocol \"%.32s\"", proto);
		for (size_t c = 0; proto[c]; c++)
			lower[c] = (char)(proto[c] >= 'A' && proto[c] <= 'Z'
						  ? proto[c] | 0x20
						  : proto[c]);
		if (!arr)
			arr = json_add_arr(d, root, "portMappings");
		o = yyjson_mut_arr_add_obj(d, arr);
		json_add_u64(d, o, "hostPort", p->host_port);
		json_add_u64(d, o, "containerPort", p->container_port);
		json_add_str(d, o, "protocol", lower);
		json_add_str(d, o, "hostIP", str_or_empty(p->host_ip));
	}
	return 0;
}

static void add_strings(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key,
			const char *const *list)
{
	yyjson_mut_val *arr;

	if (!list || !*list)
		return;
	arr = json_add_arr(d, obj, key);
	for (; *list; list++)
		yyjson_mut_arr_add_strcpy(d, arr, *list);
}

/* Names and units as in CONVENTIONS.md of the CNI project. */
static int build_caps(const struct cni_request *req, yyjson_doc **ret, struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *o;
	BUF_AUTO text = {0};

	if (add_ports(d, root, req, err) < 0)
		return -1;
	if (req->ingress_rate || req->egress_rate) {
		o = json_add_obj(d, root, "bandwidth");
		if (req->ingress_rate) {
			json_add_u64(d, o, "ingressRate", req->ingress_rate);
			json_add_u64(d, o, "ingressBurst", UINT32_MAX);
		}
		if (req->egress_rate) {
			json_add_u64(d, o, "egressRate", req->egress_rate);
			json_add_u64(d, o, "egressBurst", UINT32_MAX);
		}
	}
	if ((req->dns_servers && *req->dns_servers) ||
	    (req->dns_searches && *req->dns_searches) ||
	    (req->dns_options && *req->dns_options)) {
		o = json_add_obj(d, root, "dns");
		add_strings(d, o, "servers", req->dns_servers);
		add_strings(d, o, "searches", req->dns_searches);
		add_strings(d, o, "options", req->dns_options);
	}
	if (req->nannotations) {
		o = json_add_obj(d, root, "io.kubernetes.cri.pod-annotations");
		for (size_t i = 0; i < req->nannotations; i++)
			json_add_str(d, o, req->annotations[i].key,
				     req->annotations[i].value);
	}
	if (!str_empty(req->cgroup_path))
		json_add_str(d, root, "cgroupPath", req->cgroup_path);
	json_write(d, false, &text);
	*ret = json_parse(text.data, text.len, err);
	return *ret ? 0 : err_wrap(err, "network: capability arguments");
}

/* --- chains ---------------------------------------------------------------------------- */

static struct cni_call make_call(const struct cni_dirs *dirs, const struct cni_net *net,
				 enum cni_command command)
{
	return (struct cni_call){.command = command,
				 .container_id = "",
				 .netns = "",
				 .ifname = "",
				 .args = "",
				 .path = conf_bin_dirs(dirs),
				 .builtin_only = net->builtin_only,
				 .timeout_ns = dirs->timeout_ns};
}

/* Takes a plugin's answer to ADD in the list's version; it replaces *prev. */
static int take_result(const struct cni_net *net, const char *type, const struct buf *out,
		       struct buf *prev, struct err *err)
{
	buf_reset(prev);
	if (res_convert((const char *)out->data, out->len, net->version, prev, err) < 0)
		return err_wrap(err, "plugin %s: what it answered", type);
	return 0;
}

/* Runs one plugin of a list; the result, of ADD only, replaces *prev. */
static int run_one(const struct cni_call *call, const struct cni_net *net,
		   yyjson_val *plugin, yyjson_val *caps, struct buf *prev,
		   struct err *err)
{
	const char *type = json_str(plugin, "type");
	BUF_AUTO conf = {0}, out = {0};

	if (conf_for_plugin(net, plugin, caps, prev, &conf, err) < 0 ||
	    cni_invoke(call, type, conf.data, conf.len, &out, err) < 0 ||
	    (call->command == CNI_ADD && take_result(net, type, &out, prev, err) < 0))
		return err_wrap(err, "network %s: %s", net->name,
				cni_command_names[call->command]);
	return 0;
}

/* ADD and CHECK go from the first plugin to the last. */
static int run_forward(const struct cni_call *call, const struct cni_net *net,
		       yyjson_val *caps, struct buf *prev, struct err *err)
{
	yyjson_val *plugin;

	json_each (plugin, net->plugins)
		if (run_one(call, net, plugin, caps, prev, err) < 0)
			return -1;
	return 0;
}

/* DEL goes backwards and stops at the first that fails; it is run again later. */
static int run_backward(const struct cni_call *call, const struct cni_net *net,
			yyjson_val *caps, struct buf *prev, struct err *err)
{
	for (size_t i = yyjson_arr_size(net->plugins); i-- > 0;)
		if (run_one(call, net, yyjson_arr_get(net->plugins, i), caps, prev, err) <
		    0)
			return -1;
	return 0;
}

/* --- detaching ------------------------------------------------------------------------- */

struct del {
	const struct cni_dirs *dirs;
	const struct cni_request *req;
};

/* The path of the pod's namespace if it is still one; "" if it is gone. */
static const char *living_netns(const char *given, const char *cached)
{
	const char *path = str_empty(given) ? cached : given;
	POD_AUTO pod = {-1, -1};
	struct err ignored;

	if (str_empty(path) || pod_open(path, &pod, &ignored) < 0)
		return "";
	return path;
}

/*
 * Undoes an attachment whose file cannot be read, with the network of today: better than
 * never getting rid of it.
 */
static int del_damaged(const struct del *d, const char *path, const char *ifname,
		       struct err *err)
{
	CNI_NET_AUTO net = NULL;
	struct cni_call call;
	BUF_AUTO none = {0};

	if (cni_load(d->dirs, &net, err) < 0)
		return -1;
	call = make_call(d->dirs, net, CNI_DEL);
	call.container_id = d->req->container_id;
	call.ifname = ifname;
	call.netns = living_netns(d->req->netns, NULL);
	if (run_backward(&call, net, NULL, &none, err) < 0)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return err_sys(err, errno, "remove %s", path);
	return 0;
}

static int del_entry(void *arg, const char *path, const char *ifname, struct err *err)
{
	const struct del *d = arg;
	struct cache_entry e;
	struct cni_call call;
	int r;

	if (cache_read(path, &e, err) < 0) {
		if (err->sys == ENOENT)
			return 0;
		return err->sys ? -1 : del_damaged(d, path, ifname, err);
	}
	/* the file's name is ambiguous ("-" may occur in all of its parts), its contents not */
	if (!str_eq(e.container_id, d->req->container_id)) {
		cache_entry_done(&e);
		return 0;
	}
	call = make_call(d->dirs, e.net, CNI_DEL);
	call.container_id = e.container_id;
	call.ifname = e.ifname;
	call.args = e.args;
	call.netns = living_netns(d->req->netns, e.netns);
	/* plugins older than 0.4.0 know no prevResult in DEL */
	if (e.net->version < CNI_0_4_0)
		buf_reset(&e.result);
	r = run_backward(&call, e.net, e.caps, &e.result, err);
	if (r == 0 && unlink(path) < 0 && errno != ENOENT)
		r = err_sys(err, errno, "remove %s", path);
	cache_entry_done(&e);
	return r;
}

int cni_del(const struct cni_dirs *dirs, const struct cni_request *req, struct err *err)
{
	struct del d = {dirs, req};

	if (check_request(req, err) < 0)
		return -1;
	return cache_each(dirs, req->container_id, req->ifname, del_entry, &d, err);
}

/* --- attaching ------------------------------------------------------------------------- */

/* Also makes sure, before anything is written, that the namespace is one. */
static int loopback_up(const char *netns, struct err *err)
{
	POD_AUTO pod = {-1, -1};

	if (pod_open(netns, &pod, err) < 0 || link_loopback_up(pod.rt, err) < 0)
		return err_wrap(err, "network");
	return 0;
}

static int attach(const struct cni_dirs *dirs, const struct cache_write *w,
		  struct cni_result *ret, struct err *err)
{
	struct cni_call call = make_call(dirs, w->net, CNI_ADD);
	struct cache_write done = *w;
	BUF_AUTO result = {0};

	call.container_id = w->container_id;
	call.ifname = w->ifname;
	call.netns = w->netns;
	call.args = w->args;
	if (cache_write(dirs, w, err) < 0 ||
	    run_forward(&call, w->net, w->caps, &result, err) < 0)
		return -1;
	done.result = &result;
	if (cache_write(dirs, &done, err) < 0)
		return -1;
	return cni_result_parse((const char *)result.data, result.len, w->ifname, ret,
				err);
}

int cni_add(const struct cni_dirs *dirs, const struct cni_net *net,
	    const struct cni_request *req, struct cni_result *ret, struct err *err)
{
	const char *ifname = req->ifname ? req->ifname : "eth0";
	struct cni_request same = *req;
	BUF_AUTO args = {0};
	JSON_AUTO caps = NULL;
	struct cache_write w;
	struct err undo;

	same.ifname = ifname;
	if (check_request(&same, err) < 0)
		return -1;
	if (str_empty(req->netns))
		return err_set(err, ERR_INVALID, "network: no network namespace");
	if (conf_check_plugins(dirs, net, err) < 0 || build_args(req, &args, err) < 0 ||
	    build_caps(req, &caps, err) < 0 || loopback_up(req->netns, err) < 0)
		return -1;
	/* what an attempt of the same name has left half done */
	if (cni_del(dirs, &same, err) < 0)
		return -1;
	w = (struct cache_write){.net = net,
				 .container_id = req->container_id,
				 .ifname = ifname,
				 .netns = req->netns,
				 .args = buf_str(&args),
				 .caps = yyjson_doc_get_root(caps)};
	if (attach(dirs, &w, ret, err) == 0)
		return 0;
	if (cni_del(dirs, &same, &undo) < 0)
		err_wrap(err, "(and it could not be undone: %.200s)", undo.msg);
	return -1;
}

/* --- CHECK, STATUS --------------------------------------------------------------------- */

static int check_entry(void *arg, const char *path, const char *ifname, struct err *err)
{
	const struct del *d = arg;
	struct cache_entry e;
	struct cni_call call;
	int r = 0;

	(void)ifname;
	if (cache_read(path, &e, err) < 0)
		return -1;
	call = make_call(d->dirs, e.net, CNI_CHECK);
	call.container_id = e.container_id;
	call.ifname = e.ifname;
	call.args = e.args;
	call.netns = str_empty(d->req->netns) ? e.netns : d->req->netns;
	if (str_eq(e.container_id, d->req->container_id) && !e.net->disable_check &&
	    e.net->version >= CNI_0_4_0)
		r = run_forward(&call, e.net, e.caps, &e.result, err);
	cache_entry_done(&e);
	return r;
}

int cni_check(const struct cni_dirs *dirs, const struct cni_request *req, struct err *err)
{
	struct del d = {dirs, req};

	if (check_request(req, err) < 0)
		return -1;
	return cache_each(dirs, req->container_id, req->ifname, check_entry, &d, err);
}

int cni_status(const struct cni_dirs *dirs, const struct cni_net *net, struct err *err)
{
	struct cni_call call = make_call(dirs, net, CNI_STATUS);
	BUF_AUTO none = {0};

	if (net->version < CNI_1_1_0)
		return 0;
	return run_forward(&call, net, NULL, &none, err);
}

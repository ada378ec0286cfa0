/* podspec: RunPodSandbox to "pod.run". */
#include <string.h>

#include "base/str.h"
#include "cri/spec.h"

enum { MAX_NAME = 253, MAX_HOSTNAME = 64 };

const Cri__UserNamespace *cri_userns(const Cri__NamespaceOption *o)
{
	const Cri__UserNamespace *u = o ? o->userns_options : NULL;

	return u && u->mode == CRI__NAMESPACE_MODE__POD ? u : NULL;
}

static int check_maps(const char *field, size_t n, Cri__IDMapping **maps, struct err *err)
{
	if (n != 1)
		return err_set(err, ERR_INVALID,
			       "userns_options.%s: %zu mappings, need exactly 1", field,
			       n);
	if (maps[0]->container_id != 0)
		return err_set(err, ERR_INVALID,
			       "userns_options.%s: container id 0 is not mapped", field);
	if (maps[0]->length == 0 || maps[0]->host_id > UINT32_MAX - maps[0]->length)
		return err_set(err, ERR_INVALID, "userns_options.%s: bad length %u",
			       field, maps[0]->length);
	return 0;
}

static int check_userns(const Cri__NamespaceOption *o, struct err *err)
{
	const Cri__UserNamespace *u = o ? o->userns_options : NULL;

	if (!u)
		return 0;
	if (u->mode == CRI__NAMESPACE_MODE__NODE) {
		if (u->n_uids || u->n_gids)
			return err_set(err, ERR_INVALID,
				       "userns_options: mappings without mode POD");
		return 0;
	}
	if (u->mode != CRI__NAMESPACE_MODE__POD)
		return err_set(err, ERR_INVALID,
			       "userns_options.mode: %s is not supported",
			       u->mode == CRI__NAMESPACE_MODE__CONTAINER ? "CONTAINER"
									 : "TARGET");
	if (check_maps("uids", u->n_uids, u->uids, err) < 0 ||
	    check_maps("gids", u->n_gids, u->gids, err) < 0)
		return -1;
	return 0;
}

static void add_maps(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, size_t n,
		     Cri__IDMapping **maps)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, key);

	for (size_t i = 0; i < n; i++) {
		yyjson_mut_val *m = yyjson_mut_arr_add_obj(d, arr);

		json_add_u64(d, m, "container", maps[i]->container_id);
		json_add_u64(d, m, "host", maps[i]->host_id);
		json_add_u64(d, m, "size", maps[i]->length);
	}
}

static const char *mode_name(Cri__NamespaceMode mode)
{
	return mode == CRI__NAMESPACE_MODE__NODE	? "node"
	       : mode == CRI__NAMESPACE_MODE__CONTAINER ? "container"
							: "pod";
}

static int add_ns(const Cri__LinuxPodSandboxConfig *lin, yyjson_mut_doc *d,
		  yyjson_mut_val *obj, struct err *err)
{
	const Cri__NamespaceOption *o = lin && lin->security_context
						? lin->security_context->namespace_options
						: NULL;
	yyjson_mut_val *ns = json_add_obj(d, obj, "ns"), *user;
	const Cri__UserNamespace *u = cri_userns(o);

	if (check_userns(o, err) < 0)
		return -1;
	if (o && (o->network == CRI__NAMESPACE_MODE__CONTAINER ||
		  o->network == CRI__NAMESPACE_MODE__TARGET))
		return err_set(err, ERR_INVALID,
			       "namespace_options.network: only POD or NODE");
	json_add_str(d, ns, "network",
		     o && o->network == CRI__NAMESPACE_MODE__NODE ? "node" : "pod");
	json_add_str(d, ns, "ipc",
		     o && o->ipc == CRI__NAMESPACE_MODE__NODE ? "node" : "pod");
	json_add_str(d, ns, "pid", o ? mode_name(o->pid) : "pod");
	if (u) {
		user = json_add_obj(d, ns, "user");
		add_maps(d, user, "uids", u->n_uids, u->uids);
		add_maps(d, user, "gids", u->n_gids, u->gids);
	}
	return 0;
}

static void add_strings(yyjson_mut_doc *d, yyjson_mut_val *obj, const char *key, size_t n,
			const char *const *list)
{
	yyjson_mut_val *arr = json_add_arr(d, obj, key);

	for (size_t i = 0; i < n; i++)
		yyjson_mut_arr_add_strcpy(d, arr, list[i]);
}

static void add_dns(const Cri__DNSConfig *dns, yyjson_mut_doc *d, yyjson_mut_val *obj)
{
	yyjson_mut_val *v;

	/* an empty one is what clients send that want the host's */
	if (!dns || (!dns->n_servers && !dns->n_searches && !dns->n_options))
		return;
	v = json_add_obj(d, obj, "dns");
	add_strings(d, v, "servers", dns->n_servers, (const char *const *)dns->servers);
	add_strings(d, v, "searches", dns->n_searches,
		    (const char *const *)dns->searches);
	add_strings(d, v, "options", dns->n_options, (const char *const *)dns->options);
}

static int add_ports(const Cri__PodSandboxConfig *c, yyjson_mut_doc *d,
		     yyjson_mut_val *obj, struct err *err)
{
	static const char *const protocols[] = {
		[CRI__PROTOCOL__TCP] = "tcp",
		[CRI__PROTOCOL__UDP] = "udp",
		[CRI__PROTOCOL__SCTP] = "sctp",
	};
	yyjson_mut_val *arr = json_add_arr(d, obj, "ports");

	for (size_t i = 0; i < c->n_port_mappings; i++) {
		const Cri__PortMapping *p = c->port_mappings[i];
		yyjson_mut_val *m;

		if ((unsigned)p->protocol >= ARRAY_LEN(protocols))
			return err_set(err, ERR_INVALID,
				       "port_mappings[%zu].protocol: %d", i,
				       (int)p->protocol);
		if (p->host_port < 0 || p->host_port > 65535 ||
		    (p->host_port &&
		     (p->container_port < 1 || p->container_port > 65535)))
			return err_set(err, ERR_INVALID, "port_mappings[%zu]: %d -> %d",
				       i, p->host_port, p->container_port);
		if (!p->host_port)
			continue;
		m = yyjson_mut_arr_add_obj(d, arr);
		json_add_str(d, m, "protocol", protocols[p->protocol]);
		json_add_i64(d, m, "container_port", p->container_port);
		json_add_i64(d, m, "host_port", p->host_port);
		json_add_str(d, m, "host_ip", p->host_ip);
	}
	return 0;
}

/* R17: a name of words, and a value without control characters. */
static int check_sysctl(const char *key, const char *value, bool net, bool ipc,
			struct err *err)
{
	static const char *const ipc_names[] = {"kernel.msg", "kernel.shm", "kernel.sem",
						"fs.mqueue."};
	bool is_ipc = false;

	for (const char *p = key; *p; p++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"
			    "89._-/",
			    *p) ||
		    (*p == '.' && (p == key || p[1] == '.' || !p[1])))
			return err_set(err, ERR_INVALID, "sysctl \"%s\": not a name",
				       key);
	for (const char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20 && *p != '\t')
			return err_set(err, ERR_INVALID,
				       "sysctl %s: the value holds a control character",
				       key);
	if (strstr(key, ".."))
		return err_set(err, ERR_INVALID, "sysctl \"%s\": not a name", key);
	for (size_t i = 0; i < ARRAY_LEN(ipc_names); i++)
		is_ipc = is_ipc || str_starts(key, ipc_names[i]);
	if (str_starts(key, "net.") ? !net : is_ipc ? !ipc : true)
		return err_set(err, ERR_INVALID,
			       "sysctl %s: not in a namespace of the pod's own", key);
	return 0;
}

static int add_sysctls(const Cri__LinuxPodSandboxConfig *lin, yyjson_mut_doc *d,
		       yyjson_mut_val *obj, struct err *err)
{
	const Cri__NamespaceOption *o = lin && lin->security_context
						? lin->security_context->namespace_options
						: NULL;
	bool net = !o || o->network != CRI__NAMESPACE_MODE__NODE;
	bool ipc = !o || o->ipc != CRI__NAMESPACE_MODE__NODE;
	yyjson_mut_val *v = json_add_obj(d, obj, "sysctls");

	/* what every container runtime gives a pod on a network of its own */
	if (net && !cri_userns(o)) {
		if (!lin || !pb_map_get(lin->sysctls, lin->n_sysctls,
					"net.ipv4.ip_unprivileged_port_start"))
			json_add_str(d, v, "net.ipv4.ip_unprivileged_port_start", "0");
		if (!lin || !pb_map_get(lin->sysctls, lin->n_sysctls,
					"net.ipv4.ping_group_range"))
			json_add_str(d, v, "net.ipv4.ping_group_range", "0 2147483647");
	}
	for (size_t i = 0; lin && i < lin->n_sysctls; i++) {
		if (check_sysctl(lin->sysctls[i]->key, lin->sysctls[i]->value, net, ipc,
				 err) < 0)
			return -1;
		json_add_str(d, v, lin->sysctls[i]->key, lin->sysctls[i]->value);
	}
	return 0;
}

static int check_text(const char *field, const char *s, size_t max, struct err *err)
{
	if (strlen(s) > max)
		return err_set(err, ERR_INVALID, "%s is longer than %zu characters",
			       field, max);
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return err_set(err, ERR_INVALID, "%s holds a control character",
				       field);
	return 0;
}

static int check_metadata(const Cri__PodSandboxConfig *c, struct err *err)
{
	if (!c || !c->metadata)
		return err_set(err, ERR_INVALID, "config.metadata is missing");
	if (!*c->metadata->name)
		return err_set(err, ERR_INVALID, "config.metadata.name is empty");
	if (check_text("config.metadata.name", c->metadata->name, MAX_NAME, err) < 0 ||
	    check_text("config.metadata.namespace", c->metadata->namespace_, MAX_NAME,
		       err) < 0 ||
	    check_text("config.metadata.uid", c->metadata->uid, MAX_NAME, err) < 0 ||
	    check_text("config.hostname", c->hostname, MAX_HOSTNAME, err) < 0)
		return -1;
	if (strchr(c->hostname, '/'))
		return err_set(err, ERR_INVALID, "config.hostname \"%s\" holds a \"/\"",
			       c->hostname);
	if (*c->log_directory && *c->log_directory != '/')
		return err_set(err, ERR_INVALID, "config.log_directory is not absolute");
	if (strstr(c->log_directory, "/../") || str_ends(c->log_directory, "/.."))
		return err_set(err, ERR_INVALID, "config.log_directory holds \"..\"");
	return 0;
}

/* A slice's name, maybe with its path in front, as a kubelet with that driver has it. */
static int add_slice(const char *parent, yyjson_mut_doc *d, yyjson_mut_val *obj,
		     struct err *err)
{
	const char *slash = strrchr(parent, '/'), *name = slash ? slash + 1 : parent;

	if (!*parent)
		name = "system.slice";
	if (!str_ends(name, ".slice"))
		return err_set(
			err, ERR_INVALID,
			"cgroup_parent \"%s\" is not a slice; this runtime uses the "
			"systemd driver",
			parent);
	json_add_str(d, obj, "cgroup_parent", name);
	return 0;
}

static int add_cgroup(const char *parent, bool systemd, yyjson_mut_doc *d,
		      yyjson_mut_val *obj, struct err *err)
{
	if (strstr(parent, ".."))
		return err_set(err, ERR_INVALID, "cgroup_parent \"%s\" holds \"..\"",
			       parent);
	if (systemd)
		return add_slice(parent, d, obj, err);
	if (str_ends(parent, ".slice") && !strchr(parent, '/'))
		return err_set(
			err, ERR_INVALID,
			"cgroup_parent \"%s\" is for the systemd driver; this runtime "
			"uses cgroupfs",
			parent);
	json_add_str(d, obj, "cgroup_parent", parent);
	return 0;
}

int cri_pod_spec(const Cri__RunPodSandboxRequest *req, const struct cri_defaults *def,
		 yyjson_mut_doc *d, yyjson_mut_val *obj, struct err *err)
{
	const Cri__PodSandboxConfig *c = req->config;
	const Cri__LinuxPodSandboxConfig *lin = c ? c->linux : NULL;
	yyjson_mut_val *v;

	if (check_metadata(c, err) < 0)
		return -1;
	json_add_str(d, obj, "namespace", c->metadata->namespace_);
	json_add_str(d, obj, "name", c->metadata->name);
	json_add_str(d, obj, "uid", c->metadata->uid);
	json_add_u64(d, obj, "attempt", c->metadata->attempt);
	json_add_str(d, obj, "hostname", c->hostname);
	json_add_str(d, obj, "log_directory", c->log_directory);
	json_add_str(d, obj, "handler", req->runtime_handler);
	json_add_bool(d, obj, "privileged",
		      lin && lin->security_context && lin->security_context->privileged);
	if (add_cgroup(lin ? lin->cgroup_parent : "", def->systemd, d, obj, err) < 0 ||
	    add_ns(lin, d, obj, err) < 0 || add_ports(c, d, obj, err) < 0 ||
	    add_sysctls(lin, d, obj, err) < 0)
		return -1;
	add_dns(c->dns_config, d, obj);
	v = json_add_obj(d, obj, "annotations");
	for (size_t i = 0; i < c->n_annotations; i++)
		json_add_str(d, v, c->annotations[i]->key, c->annotations[i]->value);
	v = json_add_obj(d, obj, "cni");
	json_add_str(d, v, "conf_dir", def->cni_conf_dir);
	json_add_str(d, v, "bin_dirs", def->cni_bin_dirs);
	json_add_str(d, v, "cache_dir", def->cni_cache_dir);
	json_add_str(d, v, "subnet", def->cni_subnet);
	json_add_str(d, v, "builtin", def->cni_builtin);
	return 0;
}

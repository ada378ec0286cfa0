#include "shim/network.h"

#include <stdlib.h>

#include "base/str.h"
#include "cni/cni.h"
#include "base/num.h"

/* What both directions need; everything is borrowed from the spec or in the arena. */
struct setup {
	struct arena arena;
	struct cni_dirs dirs;
	struct cni_request req;
};

static void setup_done(struct setup *u)
{
	arena_done(&u->arena);
}

static const char *const *strings(yyjson_val *list, struct arena *a)
{
	const char **out =
		arena_array(a, list ? yyjson_arr_size(list) + 1 : 1, sizeof(*out));
	yyjson_val *v;
	size_t n = 0;

	json_each (v, list)
		out[n++] = str_or_empty(yyjson_get_str(v));
	return out;
}

static void add_ports(struct setup *u, yyjson_val *ports)
{
	struct cni_port *out =
		arena_array(&u->arena, ports ? yyjson_arr_size(ports) : 0, sizeof(*out));
	yyjson_val *v;

	u->req.ports = out;
	json_each (v, ports)
		out[u->req.nports++] = (struct cni_port){
			.protocol = json_str(v, "protocol"),
			.host_ip = json_str(v, "host_ip"),
			.host_port = (uint16_t)json_u64(v, "host_port", 0),
			.container_port = (uint16_t)json_u64(v, "container_port", 0),
		};
}

/* kubernetes.io/ingress-bandwidth and egress-bandwidth: "10M" bits per second. */
static uint64_t bandwidth(yyjson_val *annotations, const char *key)
{
	const char *s = json_str(annotations, key);
	char *end;
	double v = s ? strtod(s, &end) : 0;
	uint64_t unit = !s	      ? 0
			: *end == 'k' ? 1000
			: *end == 'M' ? 1000000
			: *end == 'G' ? 1000000000
				      : 1;

	return v > 0 && v < 1e12 ? (uint64_t)(v * (double)unit) : 0;
}

static void add_annotations(struct setup *u, yyjson_val *annotations)
{
	size_t n = annotations ? yyjson_obj_size(annotations) : 0;
	struct cni_pair *out = arena_array(&u->arena, n, sizeof(*out));
	yyjson_val *k, *v;

	u->req.annotations = out;
	json_each_member (k, v, annotations)
		out[u->req.nannotations++] = (struct cni_pair){
			yyjson_get_str(k), str_or_empty(yyjson_get_str(v))};
	u->req.ingress_rate = bandwidth(annotations, "kubernetes.io/ingress-bandwidth");
	u->req.egress_rate = bandwidth(annotations, "kubernetes.io/egress-bandwidth");
}

static void setup(struct shim *s, struct setup *u)
{
	yyjson_val *cni = json_obj(s->pod.spec, "cni"),
		   *dns = json_obj(s->pod.spec, "dns");

	*u = (struct setup){
		.dirs = {.conf_dir = json_str(cni, "conf_dir"),
			 .bin_dirs = json_str(cni, "bin_dirs"),
			 .cache_dir = json_str(cni, "cache_dir"),
			 .subnet = json_str(cni, "subnet"),
			 .no_builtin =
				 str_eq(str_or_empty(json_str(cni, "builtin")), "never")},
		.req = {.container_id = s->id,
			.netns = s->pod.netns,
			.pod_namespace = json_str(s->pod.spec, "namespace"),
			.pod_name = json_str(s->pod.spec, "name"),
			.pod_uid = json_str(s->pod.spec, "uid"),
			.cgroup_path = s->pod.cgroup},
	};
	if (dns) {
		u->req.dns_servers = strings(json_arr(dns, "servers"), &u->arena);
		u->req.dns_searches = strings(json_arr(dns, "searches"), &u->arena);
		u->req.dns_options = strings(json_arr(dns, "options"), &u->arena);
	}
	add_ports(u, json_arr(s->pod.spec, "ports"));
	add_annotations(u, json_obj(s->pod.spec, "annotations"));
}

int network_up(struct shim *s, yyjson_mut_doc *d, yyjson_mut_val *obj, struct err *err)
{
	__attribute__((cleanup(setup_done))) struct setup u;
	CNI_NET_AUTO net = NULL;
	struct cni_result result = {0};
	yyjson_mut_val *ips;

	setup(s, &u);
	if (cni_load(&u.dirs, &net, err) < 0) {
		if (err->code == ERR_NOT_FOUND) /* not yet: it is tried again */
			err->code = ERR_STATE;
		return err_wrap(err, "pod network");
	}
	if (cni_add(&u.dirs, net, &u.req, &result, err) < 0)
		return err_wrap(err, "pod network");
	ips = json_add_arr(d, obj, "ips");
	for (size_t i = 0; i < result.nips; i++)
		yyjson_mut_arr_add_strcpy(d, ips, result.ips[i].address);
	cni_result_done(&result);
	return 0;
}

int network_down(struct shim *s, struct err *err)
{
	__attribute__((cleanup(setup_done))) struct setup u;

	setup(s, &u);
	if (cni_del(&u.dirs, &u.req, err) < 0)
		return err_wrap(err, "pod network");
	return 0;
}

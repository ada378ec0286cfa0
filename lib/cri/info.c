/* info: what the runtime is and can do. */
#include <string.h>

#include "base/str.h"
#include "cri/service-int.h"

void do_Version(struct rpc *r)
{
	Cri__VersionResponse resp = CRI__VERSION_RESPONSE__INIT;

	resp.version = "0.1.0"; /* of the kubelet's runtime API */
	resp.runtime_name = "cribox";
	resp.runtime_version = r->svc->opt.version;
	resp.runtime_api_version = "v1";
	rpc_reply(r, &resp.base);
}

void do_RuntimeConfig(struct rpc *r)
{
	Cri__RuntimeConfigResponse resp = CRI__RUNTIME_CONFIG_RESPONSE__INIT;
	Cri__LinuxRuntimeConfiguration lin = CRI__LINUX_RUNTIME_CONFIGURATION__INIT;

	lin.cgroup_driver = CRI__CGROUP_DRIVER__CGROUPFS;
	resp.linux = &lin;
	rpc_reply(r, &resp.base);
}

/* The pod CIDR is for runtimes that write CNI configurations from templates. */
void do_UpdateRuntimeConfig(struct rpc *r)
{
	Cri__UpdateRuntimeConfigResponse resp = CRI__UPDATE_RUNTIME_CONFIG_RESPONSE__INIT;

	rpc_reply(r, &resp.base);
}

static Cri__RuntimeCondition *condition(struct arena *a, const char *type,
					const struct err *err, const char *reason)
{
	Cri__RuntimeCondition *c = pb_new(&cri__runtime_condition__descriptor, a);

	c->type = type;
	c->status = !err;
	if (err) {
		c->reason = reason;
		c->message = arena_strdup(a, err->msg);
	}
	return c;
}

static void add_handlers(Cri__StatusResponse *resp, struct arena *a)
{
	static const char *const names[] = {"", "cribox", "runc", "crun"};

	resp->runtime_handlers = arena_array(a, ARRAY_LEN(names), sizeof(void *));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		Cri__RuntimeHandler *h = pb_new(&cri__runtime_handler__descriptor, a);

		h->name = names[i];
		h->features = pb_new(&cri__runtime_handler_features__descriptor, a);
		h->features->recursive_read_only_mounts = true;
		h->features->user_namespaces = true;
		resp->runtime_handlers[resp->n_runtime_handlers++] = h;
	}
}

void do_Status(struct rpc *r)
{
	const Cri__StatusRequest *req = (const void *)r->req;
	Cri__StatusResponse resp = CRI__STATUS_RESPONSE__INIT;
	Cri__RuntimeStatus st = CRI__RUNTIME_STATUS__INIT;
	Cri__RuntimeCondition *conditions[2];
	Cri__RuntimeFeatures features = CRI__RUNTIME_FEATURES__INIT;
	Cri__StatusResponse__InfoEntry entry = CRI__STATUS_RESPONSE__INFO_ENTRY__INIT;
	Cri__StatusResponse__InfoEntry *entries[1] = {&entry};
	struct err err;
	bool net = r->svc->host->network_ready(r->svc->host_arg, &err) == 0;

	conditions[0] = condition(&r->arena, "RuntimeReady", NULL, "");
	conditions[1] = condition(&r->arena, "NetworkReady", net ? NULL : &err,
				  "NetworkPluginNotReady");
	st.n_conditions = 2;
	st.conditions = conditions;
	resp.status = &st;
	features.supplemental_groups_policy = true;
	features.user_namespaces_host_network = true;
	resp.features = &features;
	add_handlers(&resp, &r->arena);
	if (req->verbose) {
		entry.key = "config";
		entry.value = r->svc->opt.config_json;
		resp.n_info = 1;
		resp.info = entries;
	}
	rpc_reply(r, &resp.base);
}

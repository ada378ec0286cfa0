#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cri/service-int.h"
#include "os/fd.h"
#include "os/file.h"
#include "os/proc.h"

static void (*const handlers[CRI_RPC_COUNT])(struct rpc *r) = {
#define X(name) [CRI_RPC_##name] = do_##name,
	CRI_HANDLERS(X)
#undef X
};

void cri_service_call(void *arg, struct grpc_call *call, const char *path,
		      const uint8_t *msg, size_t len)
{
	enum cri_rpc rpc = cri_method_find(path);
	struct rpc r = {.svc = arg, .call = call, .msg = msg, .len = len};
	ProtobufCMessage *req;
	struct err err;

	if (rpc == CRI_RPC_COUNT) {
		err_set(&err, ERR_UNIMPLEMENTED, "unknown method %.200s", path);
		grpc_fail(call, &err);
		return;
	}
	if (!handlers[rpc]) {
		err_set(&err, ERR_UNIMPLEMENTED, "%s is not implemented yet",
			cri_method_name(rpc));
		grpc_fail(call, &err);
		return;
	}
	if (pb_unpack(cri_method(rpc)->request, msg, len, &r.arena, &req, &err) < 0) {
		err_wrap(&err, "%s request", cri_method_name(rpc));
		grpc_fail(call, &err);
	} else {
		r.req = req;
		handlers[rpc](&r);
	}
	arena_done(&r.arena);
}

void cri_service_cancel(void *arg, struct grpc_call *call)
{
	/* what a shim does goes on: a retry finds it. A pull or an exec ends. */
	pull_cancel(arg, call);
	exec_cancel(arg, call);
}

void call_reply(struct grpc_call *call, const ProtobufCMessage *msg)
{
	BUF_AUTO out = {0};
	struct err err;

	if (pb_pack(msg, &out, &err) < 0)
		grpc_fail(call, &err);
	else
		grpc_reply(call, out.data ? out.data : (const uint8_t *)"", out.len);
}

void rpc_hold(struct rpc *r, struct pod *p)
{
	struct held *h = xcalloc(1, sizeof(*h));

	h->call = r->call;
	buf_add(&h->msg, r->msg, r->len);
	list_add(&p->held, &h->node);
}

void held_release(struct pod *p)
{
	struct cri_service *s = p->svc;
	struct list calls;

	list_init(&calls);
	list_each (n, &p->held) {
		list_del(n);
		list_add(&calls, n);
	}
	while (!list_empty(&calls)) { /* they may free the pod */
		struct held *h = container_of(calls.next, struct held, node);

		list_del(&h->node);
		cri_service_call(s, h->call, grpc_call_path(h->call), h->msg.data,
				 h->msg.len);
		buf_done(&h->msg);
		free(h);
	}
}

void rpc_reply(struct rpc *r, const ProtobufCMessage *msg)
{
	call_reply(r->call, msg);
}

void rpc_fail(struct rpc *r, const struct err *err)
{
	grpc_fail(r->call, err);
}

void rpc_absent(struct rpc *r, const char *id, const ProtobufCMessage *done,
		const struct err *err)
{
	struct err empty;

	if (!*id) {
		err_set(&empty, ERR_INVALID, "the id is empty");
		rpc_fail(r, &empty);
	} else if (err->code == ERR_NOT_FOUND) {
		rpc_reply(r, done);
	} else {
		rpc_fail(r, err);
	}
}

/* --- creations: a kubelet whose call was cut off asks again, and gets the same id --- */

/* Another call that waits for a creation under way. */
struct waiter {
	struct list node;
	struct grpc_call *call;
};

void creation_init(struct creation *cr, const ProtobufCMessageDescriptor *response,
		   const char *id)
{
	*cr = (struct creation){.response = response, .id = id};
	list_init(&cr->waiters);
}

/* The answer of both calls is one field: the id. */
static void answer(const struct creation *cr, struct grpc_call *call,
		   const struct err *err)
{
	ARENA_AUTO arena = {0};
	void *m = pb_new(cr->response, &arena);

	*(const char **)(void *)((char *)m + cr->response->fields[0].offset) = cr->id;
	if (err)
		grpc_fail(call, err);
	else
		call_reply(call, m);
}

void creation_answer(struct creation *cr, struct grpc_call *call, const struct err *err)
{
	bool seen = call && !grpc_call_cancelled(call);

	if (call)
		answer(cr, call, err);
	list_each (n, &cr->waiters) {
		struct waiter *w = container_of(n, struct waiter, node);

		seen |= !grpc_call_cancelled(w->call);
		answer(cr, w->call, err);
		list_del(&w->node);
		free(w);
	}
	cr->unseen = !seen;
}

void creation_again(struct creation *cr, struct grpc_call *call, bool unused,
		    const char *what, const char *name)
{
	struct waiter *w;
	struct err err;

	if (cr->running) {
		w = xcalloc(1, sizeof(*w));
		w->call = call;
		list_add(&cr->waiters, &w->node);
	} else if (cr->unseen && unused) {
		cr->unseen = false;
		answer(cr, call, NULL);
	} else {
		err_set(&err, ERR_EXISTS, "%s name \"%s\" is held by %s %s", what, name,
			what, cr->id);
		grpc_fail(call, &err);
	}
}

void new_id(char id[ID_LEN + 1])
{
	unsigned char bytes[ID_LEN / 2];

	proc_random(bytes, sizeof(bytes));
	str_hex(id, bytes, sizeof(bytes));
}

/* The only value whose key begins with the prefix; NULL if none or several. */
static void *find_prefix(const struct map *m, const char *prefix, bool *ret_many)
{
	const struct map_slot *slot;
	void *found = NULL;
	size_t at = 0;

	*ret_many = false;
	if (!*prefix)
		return NULL;
	while ((slot = map_next(m, &at)))
		if (str_starts(slot->key, prefix)) {
			if (found) {
				*ret_many = true;
				return NULL;
			}
			found = slot->value;
		}
	return found;
}

static void *find(const struct map *m, const char *id, const char *what, struct err *err)
{
	void *v = map_get(m, id);
	bool many = false;

	if (!v)
		v = find_prefix(m, id, &many);
	if (!v && many)
		err_set(err, ERR_INVALID, "%s id %.80s is ambiguous", what, id);
	else if (!v)
		err_set(err, ERR_NOT_FOUND, "%s \"%.80s\" not found", what, id);
	return v;
}

struct pod *pod_find(struct cri_service *s, const char *id, struct err *err)
{
	struct pod *p = find(&s->pod_ids, id, "pod", err);

	if (p && p->making.running && !p->doc) {
		err_set(err, p->syncing ? ERR_UNAVAILABLE : ERR_NOT_FOUND,
			"pod \"%s\" is still being made", id);
		return NULL;
	}
	return p;
}

struct ctr *ctr_find(struct cri_service *s, const char *id, struct err *err)
{
	struct ctr *c = find(&s->ctr_ids, id, "container", err);

	if (c && !c->doc) {
		err_set(err, ERR_NOT_FOUND, "container \"%s\" is still being made", id);
		return NULL;
	}
	return c;
}

struct cri_service *cri_service_new(struct loop *l, const struct cri_options *opt,
				    const struct cri_host *host, void *arg,
				    const struct log *log, struct err *err)
{
	struct cri_service *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	s->opt = *opt;
	s->host = host;
	s->host_arg = arg;
	s->log = log;
	list_init(&s->pods);
	list_init(&s->pulls);
	list_init(&s->orphans);
	list_init(&s->gathers);
	s->rootfd = -1;
	s->store = store_open(opt->def.root, err);
	if (!s->store || (s->rootfd = store_fd(s->store, STORE_ROOT)) < 0) {
		cri_service_free(s);
		return NULL;
	}
	return s;
}

void cri_service_free(struct cri_service *s)
{
	if (!s)
		return;
	s->closing = true;
	list_each (n, &s->pods)
		pod_free(container_of(n, struct pod, node));
	orphans_free(s);
	cgroups_free(s->cgroups);
	images_done(&s->images);
	store_free(s->store);
	map_done(&s->pod_ids);
	map_done(&s->ctr_ids);
	map_done(&s->pod_names);
	map_done(&s->ctr_names);
	free(s);
}

unsigned cri_service_pods(const struct cri_service *s)
{
	return (unsigned)s->pod_ids.len;
}

/* --- what the runtime is and can do --- */

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

	lin.cgroup_driver = r->svc->opt.def.systemd ? CRI__CGROUP_DRIVER__SYSTEMD
						    : CRI__CGROUP_DRIVER__CGROUPFS;
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

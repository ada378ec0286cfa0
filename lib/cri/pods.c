/* pods: the verbs on pod sandboxes. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "cri/json.h"
#include "cri/service-int.h"
#include "os/file.h"
#include "store/record.h"

char *pod_name_key(const Cri__PodSandboxMetadata *m)
{
	return xasprintf("%s_%s_%s_%u", m->name, m->namespace_, m->uid, m->attempt);
}

struct pod *pod_new(struct cri_service *s, const char *id, const char *name)
{
	struct pod *p = xcalloc(1, sizeof(*p));
	const struct pod *other = map_get(&s->pod_names, name);

	p->svc = s;
	str_copy(p->id, sizeof(p->id), id);
	p->name = xstrdup(name);
	list_init(&p->pending);
	list_init(&p->ctrs);
	list_init(&p->held);
	creation_init(&p->making, &cri__run_pod_sandbox_response__descriptor, p->id);
	list_add(&s->pods, &p->node);
	map_put(&s->pod_ids, p->id, p);
	if (*name &&
	    (!other ||
	     other->making.running)) /* what is left of a creation holds no name */
		map_put(&s->pod_names, p->name, p);
	return p;
}

void pod_free(struct pod *p)
{
	list_each (n, &p->ctrs)
		ctr_free(container_of(n, struct ctr, node));
	map_del(&p->svc->pod_ids, p->id);
	if (map_get(&p->svc->pod_names, p->name) == p)
		map_del(&p->svc->pod_names, p->name);
	list_del(&p->node);
	chan_free(p->chan);
	json_free(&p->doc);
	json_free(&p->usage);
	buf_done(&p->request);
	free(p->name);
	free(p);
}

void pod_gone(struct pod *p)
{
	p->gone = true;
	map_del(&p->svc->pod_ids, p->id);
	if (map_get(&p->svc->pod_names, p->name) == p)
		map_del(&p->svc->pod_names, p->name);
	list_del(&p->node);
	chan_free(p->chan);
	p->chan = NULL;
	p->cleaning++; /* not freed before the others that ask its shim are answered */
	shim_answer_all(p, "it was removed");
	p->cleaning--;
	if (!p->cleaning)
		pod_free(p);
}

void pod_set_doc(struct pod *p, yyjson_val *v)
{
	yyjson_doc *doc = v ? json_copy(v) : NULL;

	if (!doc)
		return;
	json_free(&p->doc);
	p->doc = doc;
}

static yyjson_val *rec(const struct pod *p)
{
	return p->doc ? yyjson_doc_get_root(p->doc) : NULL;
}

bool pod_ready(const struct pod *p)
{
	return str_eq(str_or_empty(json_str(rec(p), "state")), "ready");
}

const Cri__RunPodSandboxRequest *pod_request(const struct pod *p, struct arena *a,
					     struct err *err)
{
	const Cri__RunPodSandboxRequest *req;
	ProtobufCMessage *m;

	if (pb_unpack(&cri__run_pod_sandbox_request__descriptor, p->request.data,
		      p->request.len, a, &m, err) < 0) {
		err_wrap(err, "record of pod %s", p->id);
		return NULL;
	}
	req = (const void *)m;
	if (!req->config || !req->config->metadata) {
		err_set(err, ERR_CORRUPT, "the record of pod %s has no metadata", p->id);
		return NULL;
	}
	return req;
}

int pod_set_request(struct pod *p, struct buf *request, struct err *err)
{
	const Cri__RunPodSandboxRequest *req;
	ARENA_AUTO arena = {0};
	char *name;

	buf_done(&p->request);
	p->request = *request;
	*request = (struct buf){0};
	req = pod_request(p, &arena, err);
	if (!req) {
		buf_done(&p->request);
		return -1;
	}
	name = pod_name_key(req->config->metadata);
	if (map_get(&p->svc->pod_names, p->name) == p)
		map_del(&p->svc->pod_names, p->name);
	free(p->name);
	p->name = name;
	if (!map_get(&p->svc->pod_names, name))
		map_put(&p->svc->pod_names, name, p);
	return 0;
}

int pod_keep(const struct pod *p, struct err *err)
{
	STR_AUTO dir = xasprintf("pods/%s", p->id);
	STR_AUTO path = xasprintf("%s/config", dir);

	if (file_mkdirs(p->svc->rootfd, dir, 0700, err) < 0)
		return -1;
	return record_write(p->svc->rootfd, path, "config", p->request.data,
			    p->request.len, false, err);
}

void pod_abandon(struct pod *p, const struct err *err)
{
	if (map_get(&p->svc->pod_names, p->name) == p)
		map_del(&p->svc->pod_names, p->name);
	creation_answer(&p->making, NULL, err);
}

void pod_cleaned(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct pod *p = q->pod;
	STR_AUTO text = NULL;
	JSON_AUTO doc = NULL;
	struct err ignored;

	(void)m;
	if (!p->making.running || p->gone)
		return;
	if (!err) {
		pod_gone(p);
		return;
	}
	/* it is listed, so that somebody stops and removes it when that works again */
	text = xasprintf("{\"id\":\"%s\",\"state\":\"notready\",\"created_at\":%lld}",
			 p->id, (long long)time_real());
	doc = json_parse(text, strlen(text), &ignored);
	p->making.running = p->making.resumed = false;
	if (doc)
		pod_set_doc(p, yyjson_doc_get_root(doc));
}

void pod_heard(struct pod *p, yyjson_val *v)
{
	/* one that is still being made stays out of the lists */
	if (p->making.running && str_eq(str_or_empty(json_str(v, "state")), "new"))
		return;
	pod_set_doc(p, v);
	if (!p->making.resumed)
		return;
	p->making.resumed = p->making.running = false;
	creation_answer(&p->making, NULL, NULL);
}

static void run_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct pod *p = q->pod;
	struct err e;

	if (!err && !json_obj(m->json, "pod")) {
		err_set(&e, ERR_INTERNAL, "pod %s: malformed answer of its shim", p->id);
		err = &e;
	}
	if (!err) {
		pod_set_doc(p, json_obj(m->json, "pod"));
		p->making.running = false;
		creation_answer(&p->making, q->call, NULL);
		return;
	}
	/* a shim that says no ends, and what it could not undo is cleaned up then */
	if (map_get(&p->svc->pod_names, p->name) == p)
		map_del(&p->svc->pod_names, p->name);
	creation_answer(&p->making, q->call, err);
}

/* A pod for which there is no shim. */
static void unkeep(const struct pod *p)
{
	STR_AUTO dir = xasprintf("pods/%s", p->id);
	struct err ignored;

	file_remove_tree(p->svc->rootfd, dir, &ignored);
}

static bool known_handler(const char *name)
{
	static const char *const names[] = {"", "cribox", "runc", "crun"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], name))
			return true;
	return false;
}

void do_RunPodSandbox(struct rpc *r)
{
	const Cri__RunPodSandboxRequest *req = (const void *)r->req;
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d);
	STR_AUTO name = NULL;
	char id[ID_LEN + 1];
	struct pod *p;
	struct err err;
	int fd;

	json_add_str(d, root, "op", "pod.run");
	if (!known_handler(req->runtime_handler)) {
		err_set(&err, ERR_INVALID, "no runtime handler \"%s\" is configured",
			req->runtime_handler);
		return rpc_fail(r, &err);
	}
	if (cri_pod_spec(req, &r->svc->opt.def, d, root, &err) < 0)
		return rpc_fail(r, &err);
	name = pod_name_key(req->config->metadata);
	p = map_get(&r->svc->pod_names, name);
	if (p)
		return creation_again(&p->making, r->call, pod_ready(p), "pod", name);
	new_id(id);
	json_add_i64(d, root, "created_at", time_real());
	p = pod_new(r->svc, id, name);
	p->making.running = true;
	/* the record is there before the shim: a crid that comes next knows of both */
	if (pb_pack(r->req, &p->request, &err) < 0 || pod_keep(p, &err) < 0 ||
	    (fd = r->svc->host->spawn_shim(r->svc->host_arg, id, &err)) < 0 ||
	    shim_attach(p, fd, &err) < 0) {
		unkeep(p);
		pod_free(p);
		return rpc_fail(r, &err);
	}
	shim_request(p, r->call, NULL, d, &p->request, run_done);
}

static void stop_cleaned(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__StopPodSandboxResponse resp = CRI__STOP_POD_SANDBOX_RESPONSE__INIT;

	if (err && !q->pod->gone) {
		grpc_fail(q->call, err);
		return;
	}
	if (m)
		pod_set_doc(q->pod, json_obj(m->json, "pod"));
	call_reply(q->call, &resp.base);
}

static void stop_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct pod *p = q->pod;

	if (err && !p->chan &&
	    !p->gone) /* the shim died on the way: stopped without it */
		shim_cleanup(p, q->call, NULL, false, stop_cleaned);
	else
		stop_cleaned(q, m, err);
}

void do_StopPodSandbox(struct rpc *r)
{
	const Cri__StopPodSandboxRequest *req = (const void *)r->req;
	Cri__StopPodSandboxResponse resp = CRI__STOP_POD_SANDBOX_RESPONSE__INIT;
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (!p)
		return rpc_absent(r, req->pod_sandbox_id, &resp.base, &err);
	if (!p->chan) {
		shim_cleanup(p, r->call, NULL, false, stop_cleaned);
		return;
	}
	d = shim_op("pod.stop", p->id);
	shim_request(p, r->call, NULL, d, NULL, stop_done);
}

static void remove_cleaned(struct pending *q, struct chan_msg *m, const struct err *err)
{
	Cri__RemovePodSandboxResponse resp = CRI__REMOVE_POD_SANDBOX_RESPONSE__INIT;
	struct pod *p = q->pod;

	(void)m;
	if (err && !p->gone) {
		p->removing = false;
		grpc_fail(q->call, err);
		return;
	}
	if (!p->gone)
		pod_gone(p);
	call_reply(q->call, &resp.base);
}

static void remove_done(struct pending *q, struct chan_msg *m, const struct err *err)
{
	struct pod *p = q->pod;

	if (err && !p->chan &&
	    !p->gone) /* it died on the way: what it left is removed without it */
		shim_cleanup(p, q->call, NULL, true, remove_cleaned);
	else
		remove_cleaned(q, m, err);
}

void do_RemovePodSandbox(struct rpc *r)
{
	const Cri__RemovePodSandboxRequest *req = (const void *)r->req;
	Cri__RemovePodSandboxResponse resp = CRI__REMOVE_POD_SANDBOX_RESPONSE__INIT;
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);
	JSON_MUT_AUTO d = NULL;

	if (!p)
		return rpc_absent(r, req->pod_sandbox_id, &resp.base, &err);
	p->removing = true;
	if (!p->chan) {
		shim_cleanup(p, r->call, NULL, true, remove_cleaned);
		return;
	}
	d = shim_op("pod.remove", p->id);
	shim_request(p, r->call, NULL, d, NULL, remove_done);
}

/*
 * What the kubelet has set in the pod's cgroup when it resized the pod: it is kept, there is
 * nothing else to do ("best effort" in the API).
 */
void do_UpdatePodSandboxResources(struct rpc *r)
{
	const Cri__UpdatePodSandboxResourcesRequest *req = (const void *)r->req;
	Cri__UpdatePodSandboxResourcesResponse resp =
		CRI__UPDATE_POD_SANDBOX_RESOURCES_RESPONSE__INIT;
	const Cri__RunPodSandboxRequest *run;
	Cri__LinuxPodSandboxConfig *lin;
	BUF_AUTO bytes = {0};
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);

	if (!p || !(run = pod_request(p, &r->arena, &err)))
		return rpc_fail(r, &err);
	lin = run->config->linux;
	if (!lin)
		lin = run->config->linux =
			pb_new(&cri__linux_pod_sandbox_config__descriptor, &r->arena);
	if (req->overhead)
		lin->overhead = req->overhead;
	if (req->resources)
		lin->resources = req->resources;
	if (pb_pack(&run->base, &bytes, &err) < 0 ||
	    pod_set_request(p, &bytes, &err) < 0 || pod_keep(p, &err) < 0)
		return rpc_fail(r, &err);
	rpc_reply(r, &resp.base);
}

static Cri__PodSandboxState state(const struct pod *p)
{
	return pod_ready(p) ? CRI__POD_SANDBOX_STATE__SANDBOX_READY
			    : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
}

/* crictl inspectp's info: pid, namespaces, and the config as it was given. */
static int verbose_info(struct pod *p, const Cri__RunPodSandboxRequest *req,
			struct arena *a, Cri__PodSandboxStatusResponse *resp,
			struct err *err)
{
	JSON_MUT_AUTO d = json_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(d), *config;
	Cri__PodSandboxStatusResponse__InfoEntry *e =
		pb_new(&cri__pod_sandbox_status_response__info_entry__descriptor, a);
	BUF_AUTO text = {0};
	int64_t pid = json_i64(rec(p), "pause_pid", 0);

	json_add_i64(d, root, "pid", pid ? pid : json_i64(rec(p), "shim_pid", 0));
	json_add_i64(d, root, "shimPid", json_i64(rec(p), "shim_pid", 0));
	json_add_str(d, root, "processStatus", pod_ready(p) ? "running" : "deleted");
	json_add_bool(d, root, "netNamespaceClosed", !pod_ready(p));
	json_add_str(d, root, "netNamespace", json_str(rec(p), "netns"));
	json_add_str(d, root, "cgroup", json_str(rec(p), "cgroup"));
	json_add_str(d, root, "runtimeHandler", req->runtime_handler);
	if (json_obj(rec(p), "ns"))
		yyjson_mut_obj_add_val(d, root, "namespaces",
				       yyjson_val_mut_copy(d, json_obj(rec(p), "ns")));
	if (cri_json_write(&req->config->base, CRI_JSON_GO, d, &config, err) < 0)
		return -1;
	yyjson_mut_obj_add_val(d, root, "config", config);
	json_write(d, false, &text);
	e->key = "info";
	e->value = arena_strdup(a, buf_str(&text));
	resp->n_info = 1;
	resp->info = arena_memdup(a, &e, sizeof(e));
	return 0;
}

static Cri__PodSandboxNetworkStatus *network(const struct pod *p, struct arena *a)
{
	Cri__PodSandboxNetworkStatus *n =
		pb_new(&cri__pod_sandbox_network_status__descriptor, a);
	yyjson_val *ips = json_arr(rec(p), "ips"), *v;
	size_t i = 0, count = ips ? yyjson_arr_size(ips) : 0;

	if (!count)
		return n;
	n->additional_ips = arena_array(a, count, sizeof(*n->additional_ips));
	json_each (v, ips) {
		const char *ip = arena_strdup(a, str_or_empty(yyjson_get_str(v)));

		if (i++ == 0) {
			n->ip = ip;
			continue;
		}
		n->additional_ips[n->n_additional_ips] =
			pb_new(&cri__pod_ip__descriptor, a);
		n->additional_ips[n->n_additional_ips++]->ip = ip;
	}
	return n;
}

static void fill_linux(Cri__PodSandboxStatus *st, const Cri__PodSandboxConfig *c,
		       struct arena *a)
{
	Cri__Namespace *ns = pb_new(&cri__namespace__descriptor, a);

	st->linux = pb_new(&cri__linux_pod_sandbox_status__descriptor, a);
	st->linux->namespaces = ns;
	if (c->linux && c->linux->security_context &&
	    c->linux->security_context->namespace_options)
		ns->options = c->linux->security_context->namespace_options;
	else
		ns->options = pb_new(&cri__namespace_option__descriptor, a);
}

void do_PodSandboxStatus(struct rpc *r)
{
	const Cri__PodSandboxStatusRequest *req = (const void *)r->req;
	Cri__PodSandboxStatusResponse resp = CRI__POD_SANDBOX_STATUS_RESPONSE__INIT;
	Cri__PodSandboxStatus st = CRI__POD_SANDBOX_STATUS__INIT;
	const Cri__RunPodSandboxRequest *run;
	struct err err;
	struct pod *p = pod_find(r->svc, req->pod_sandbox_id, &err);

	if (!p || !(run = pod_request(p, &r->arena, &err)))
		return rpc_fail(r, &err);
	st.id = p->id;
	st.metadata = run->config->metadata;
	st.state = state(p);
	st.created_at = json_i64(rec(p), "created_at", 1);
	st.network = network(p, &r->arena);
	st.n_labels = run->config->n_labels;
	st.labels = (void *)run->config->labels;
	st.n_annotations = run->config->n_annotations;
	st.annotations = (void *)run->config->annotations;
	st.runtime_handler = run->runtime_handler;
	fill_linux(&st, run->config, &r->arena);
	resp.status = &st;
	if (req->verbose && verbose_info(p, run, &r->arena, &resp, &err) < 0)
		return rpc_fail(r, &err);
	rpc_reply(r, &resp.base);
}

void do_ListPodSandbox(struct rpc *r)
{
	const Cri__ListPodSandboxRequest *req = (const void *)r->req;
	const Cri__PodSandboxFilter *f = req->filter;
	Cri__ListPodSandboxResponse resp = CRI__LIST_POD_SANDBOX_RESPONSE__INIT;
	struct err err;

	resp.items = arena_array(&r->arena, r->svc->pod_ids.len, sizeof(*resp.items));
	list_each (n, &r->svc->pods) {
		struct pod *p = container_of(n, struct pod, node);
		const Cri__RunPodSandboxRequest *run;
		Cri__PodSandbox *item;

		if (!p->doc || (f && *f->id && !str_starts(p->id, f->id)) ||
		    (f && f->state && f->state->state != state(p)))
			continue;
		run = pod_request(p, &r->arena, &err);
		if (!run ||
		    (f && !pb_map_holds(run->config->labels, run->config->n_labels,
					f->label_selector, f->n_label_selector)))
			continue;
		item = pb_new(&cri__pod_sandbox__descriptor, &r->arena);
		item->id = p->id;
		item->metadata = run->config->metadata;
		item->state = state(p);
		item->created_at = json_i64(rec(p), "created_at", 1);
		item->n_labels = run->config->n_labels;
		item->labels = (void *)run->config->labels;
		item->n_annotations = run->config->n_annotations;
		item->annotations = (void *)run->config->annotations;
		item->runtime_handler = run->runtime_handler;
		resp.items[resp.n_items++] = item;
	}
	rpc_reply(r, &resp.base);
}
